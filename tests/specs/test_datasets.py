"""Data sets: layouts, scaling, labels, and every kind of bad data."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netassay.errors import DataError, UsageError
from netassay.models.scores import Meaning
from netassay.numerics.box import Box
from netassay.specs.data_files import read_array, read_arrays
from netassay.specs.datasets import load_data
from shape_only import ShapeOnly


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def saved(folder: Path, **arrays: Any) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize("key", ["x", "inputs", "images"])
@pytest.mark.parametrize("label_key", ["y", "labels"])
def test_reads_inputs_and_labels_under_every_key(tmp_path: Path, rng: np.random.Generator, key: str, label_key: str) -> None:
    x = rng.random((4, 5))
    data = load_data(saved(tmp_path, **{key: x, label_key: np.array([0, 2, 1, 0])}), ShapeOnly((5,)))
    np.testing.assert_array_equal(data.inputs, x)
    assert data.inputs.dtype == np.float64
    assert data.labels is not None
    assert data.labels.tolist() == [0, 2, 1, 0]
    assert data.labels.dtype == np.int64
    assert data.indices.tolist() == [0, 1, 2, 3]
    assert data.domain is None


def test_limit_and_index_select(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.random((6, 2))
    reference = saved(tmp_path, x=x, y=np.array([0, 1, 2, 0, 1, 2]))
    np.testing.assert_array_equal(load_data(reference, ShapeOnly((2,)), limit=4).inputs, x[:4])
    one = load_data(reference, ShapeOnly((2,)), index=5)
    np.testing.assert_array_equal(one.inputs, x[5:])
    assert one.indices.tolist() == [5]
    assert one.labels is not None
    assert one.labels.tolist() == [2]
    assert len(load_data(reference, ShapeOnly((2,)), limit=99)) == 6


@pytest.mark.parametrize("index", [-1, 6])
def test_an_index_outside_the_data_is_refused(tmp_path: Path, index: int) -> None:
    with pytest.raises(DataError, match="it has 6 inputs, 0 to 5"):
        load_data(saved(tmp_path, x=np.zeros((6, 2))), ShapeOnly((2,)), index=index)


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--limit"):
        load_data(saved(tmp_path, x=np.zeros((6, 2))), ShapeOnly((2,)), limit=0)


def test_eight_bit_images_become_shares_of_255_and_say_so(tmp_path: Path, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (3, 2, 2), dtype=np.uint8)
    data = load_data(saved(tmp_path, images=images), ShapeOnly((1, 2, 2)))
    np.testing.assert_array_equal(data.inputs[:, 0], images / 255.0)
    assert any("scaled from 0..255" in note for note in data.notes)
    assert data.domain is not None
    assert (data.domain.lower == 0).all()
    assert (data.domain.upper == 1).all()


@pytest.mark.parametrize(
    ("key", "values", "domain", "found"),
    [
        ("images", [0.0, 0.5, 1.0], None, True),
        ("x", [0.0, 0.5, 1.0], None, False),
        ("images", [0.0, 0.5, 0.9], None, False),
        ("images", [-0.5, 0.5, 1.0], None, False),
        ("images", [0.0, 0.5, 1.0], Box.filled((1,), -1.0, 2.0), False),
        ("images", [0, 1, 1], None, False),
    ],
)
def test_real_images_from_0_to_1_are_pixels_and_it_says_so(
    tmp_path: Path, key: str, values: list[float], domain: Box | None, found: bool
) -> None:
    network = ShapeOnly((1,)) if domain is None else ShapeOnly((1,), domain=domain)
    data = load_data(saved(tmp_path, **{key: np.array(values)[:, None]}), network, index=1)
    assert (data.domain is not None) is found
    assert any("taken as the input domain" in note for note in data.notes) is found
    if data.domain is not None:
        assert (data.domain.lower.tolist(), data.domain.upper.tolist()) == ([0.0], [1.0])


def test_eight_bit_inputs_of_a_wider_domain_are_left_alone(tmp_path: Path) -> None:
    images = np.array([[0, 255], [3, 4]], dtype=np.uint8)
    data = load_data(saved(tmp_path, x=images), ShapeOnly((2,), domain=Box.filled((2,), 0, 255)))
    np.testing.assert_array_equal(data.inputs, images.astype(np.float64))
    assert any("taken as they are" in note for note in data.notes)


@pytest.mark.parametrize(
    ("came", "wanted", "move"),
    [
        ((4, 5, 3), (3, 4, 5), lambda x: x.transpose(0, 3, 1, 2)),
        ((4, 5), (1, 4, 5), lambda x: x[:, None]),
        ((4, 5, 1), (1, 4, 5), lambda x: x.reshape(-1, 1, 4, 5)),
        ((20,), (1, 4, 5), lambda x: x.reshape(-1, 1, 4, 5)),
        ((1, 4, 5), (20,), lambda x: x.reshape(-1, 20)),
        ((5,), (1, 1, 5), lambda x: x.reshape(-1, 1, 1, 5)),
    ],
)
def test_other_layouts_are_brought_to_the_models(
    tmp_path: Path, rng: np.random.Generator, came: tuple[int, ...], wanted: tuple[int, ...], move: Any
) -> None:
    x = rng.random((2, *came))
    data = load_data(saved(tmp_path, x=x), ShapeOnly(wanted))
    np.testing.assert_array_equal(data.inputs, move(x))
    assert any(str(came) in note for note in data.notes)


def test_the_models_own_layout_brings_no_note(tmp_path: Path, rng: np.random.Generator) -> None:
    assert load_data(saved(tmp_path, x=rng.random((2, 3, 4, 4))), ShapeOnly((3, 4, 4))).notes == ()


@pytest.mark.parametrize(("came", "wanted"), [((48,), (3, 4, 4)), ((3, 4, 4), (48,)), ((5, 4, 3), (3, 4, 5)), ((4, 5), (5, 4))])
def test_ambiguous_layouts_are_refused(tmp_path: Path, came: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="more than one order"):
        load_data(saved(tmp_path, x=np.zeros((2, *came))), ShapeOnly(wanted))


def test_a_wrong_number_of_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"shape \(6,\) \(6 numbers\); the model takes \(5,\)"):
        load_data(saved(tmp_path, x=np.zeros((2, 6))), ShapeOnly((5,)))


def test_the_files_box_becomes_the_domain(tmp_path: Path) -> None:
    data = load_data(saved(tmp_path, x=np.zeros((1, 2)), lower=np.array([-1.0, 0]), upper=np.array([1.0, 2])), ShapeOnly((1, 2)))
    assert data.domain is not None
    assert data.domain.shape == (1, 2)
    assert data.domain.upper.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"lower": np.zeros(2)}, "needs both"),
        ({"lower": np.ones(2), "upper": np.zeros(2)}, "box is empty"),
        ({"lower": np.zeros(3), "upper": np.ones(3)}, "3 numbers"),
        ({"lower": np.array(["a", "b"]), "upper": np.ones(2)}, "real numbers"),
    ],
)
def test_broken_boxes_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(saved(tmp_path, x=np.zeros((1, 2)), **arrays), ShapeOnly((2,)))


def test_an_input_outside_the_domain_is_named(tmp_path: Path) -> None:
    x = np.array([[0.0, 0.5], [0.25, 1.5]])
    with pytest.raises(DataError, match=r"input 1 is outside the domain: feature \(1,\) is 1.5, allowed are 0 to 1"):
        load_data(saved(tmp_path, x=x), ShapeOnly((2,), domain=Box.filled((2,), 0, 1)))


def test_outside_the_files_own_box_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"allowed are 0 to 0\.5"):
        load_data(saved(tmp_path, x=np.full((1, 2), 0.6), lower=0.0, upper=0.5), ShapeOnly((2,)))


def test_a_bound_rounded_outwards_by_float32_is_still_the_bound(tmp_path: Path) -> None:
    bound = 0.1  # float32(0.1) > 0.1
    data = load_data(saved(tmp_path, x=np.full((1, 2), bound, dtype=np.float32)), ShapeOnly((2,), domain=Box.filled((2,), 0, bound)))
    assert (data.inputs == bound).all()
    assert any("up to float32 rounding" in note for note in data.notes)
    with pytest.raises(DataError, match="outside the domain"):
        load_data(saved(tmp_path, x=np.full((1, 2), float(np.float32(bound)))), ShapeOnly((2,), domain=Box.filled((2,), 0, bound)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    x = np.zeros((3, 2))
    x[2, 1] = bad
    with pytest.raises(DataError, match=r"input 2 has .* at feature \(1,\)"):
        load_data(saved(tmp_path, x=x), ShapeOnly((2,)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 3]), "label 3 of input 1 is out of range; labels are whole numbers from 0 to 2"),
        (np.array([-1, 0]), "label -1 of input 0 is out of range"),
        (np.array([0.5, 0]), "label 0.5 of input 0 is not a whole number"),
        (np.array([np.nan, 0]), "not a whole number"),
        (np.array([0, 1, 2]), "2 inputs need 2 labels"),
        (np.array(["cat", "dog"]), "labels are whole numbers"),
        (np.zeros((2, 3)), "2 inputs need 2 labels"),
    ],
)
def test_bad_labels_are_refused(tmp_path: Path, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(saved(tmp_path, x=np.zeros((2, 2)), y=labels), ShapeOnly((2,)))


def test_whole_labels_in_a_column_of_floats_are_read(tmp_path: Path) -> None:
    data = load_data(saved(tmp_path, x=np.zeros((2, 2)), y=np.array([[2.0], [1.0]])), ShapeOnly((2,)))
    assert data.labels is not None
    assert data.labels.tolist() == [2, 1]


def test_labels_of_a_regression_network_are_not_used_and_it_says_so(tmp_path: Path) -> None:
    data = load_data(saved(tmp_path, x=np.zeros((2, 2)), y=np.array([0.5, 7.5])), ShapeOnly((2,), 1, meaning=Meaning.VALUES))
    assert data.labels is None
    assert any("not used" in note for note in data.notes)


@pytest.mark.parametrize("shape", [(0, 2), (2, 0)])
def test_an_empty_data_set_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="the data set is empty"):
        load_data(saved(tmp_path, x=np.zeros(shape)), ShapeOnly((2,)))


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected an array under x, inputs, images"):
        load_data(saved(tmp_path, y=np.zeros(2)), ShapeOnly((2,)))


def test_text_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="real numbers"):
        load_data(saved(tmp_path, x=np.array([["a"]])), ShapeOnly((1,)))


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pickled"):
        load_data(saved(tmp_path, x=np.array([{"a": 1}], dtype=object)), ShapeOnly((1,)))
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="pickled"):
        load_data(str(tmp_path / "x.npy"), ShapeOnly((1,)))


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    reference = saved(tmp_path, x=np.zeros((1000, 100)))
    with pytest.raises(DataError, match="declares 1 MiB of data; the limit is 0 MiB"):
        read_arrays(reference, limit=1000)


def test_a_header_that_declares_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (1000, 1000)})
    path = tmp_path / "lies.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", stream.getvalue() + b"\0" * 80)
    with pytest.raises(DataError, match="truncated"):
        load_data(str(path), ShapeOnly((1000,)))


@pytest.mark.parametrize("name", ["x.npz", "x.npy"])
@pytest.mark.parametrize("keep", [0, 40, 200])
def test_truncated_files_are_refused(tmp_path: Path, name: str, keep: int) -> None:
    path = tmp_path / name
    (np.savez(path, x=np.ones((8, 8))) if name.endswith("z") else np.save(path, np.ones((8, 8))))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a|truncated"):
        load_data(str(path), ShapeOnly((8,)))


def test_a_damaged_compressed_file_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=rng.random((8, 8)))
    content = bytearray(path.read_bytes())
    content[60:120] = bytes(60)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="not a"):
        load_data(str(path), ShapeOnly((8,)))


def test_reads_npy_in_either_memory_order(tmp_path: Path, rng: np.random.Generator) -> None:
    x = np.asfortranarray(rng.random((3, 2)))
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(load_data(str(tmp_path / "x.npy"), ShapeOnly((2,))).inputs, x)
    np.testing.assert_array_equal(read_array(str(tmp_path / "x.npy")), x)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_reads_csv_with_names_and_labels(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "table.csv"
    rows = [["age", "Label", "size"], ["1.5", "2", "3"], ["4", "0", "-6e1"]]
    path.write_text("\n".join(delimiter.join(row) for row in rows) + "\n", encoding="utf-8")
    data = load_data(str(path), ShapeOnly((2,)))
    np.testing.assert_array_equal(data.inputs, [[1.5, 3], [4, -60]])
    assert data.labels is not None
    assert data.labels.tolist() == [2, 0]
    assert data.feature_names == ("age", "size")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "the data set is empty"),
        ("", "the data set is empty"),
        ("1,2\n3,4\n", "expected a header"),
        ("a,b\n1,x\n", "line 2, column 'b': 'x' is not a number"),
        ("a,b\n1\n", "line 2 has 1 cells, the header has 2"),
        ("a,b,label,y\n1,2,0,0\n", "several label columns"),
        ("a,b,kind\n1,2,0\n", "name it 'label'"),
        ("a,b\n1,nan\n", "finite"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_data(str(tmp_path / "t.csv"), ShapeOnly((2,)))


def test_binary_is_no_csv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="not UTF-8"):
        load_data(str(tmp_path / "t.csv"), ShapeOnly((2,)))


@pytest.mark.parametrize(
    ("body", "features"),
    [("return [[1.0, 2.0]]", None), ("return ([[1.0, 2.0]], [1])", [1]), ("return {'x': [[1.0, 2.0]], 'labels': [2]}", [2])],
)
def test_factories_are_run_and_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, features: list[int] | None) -> None:
    name = f"factory_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"def make():\n    {body}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    data = load_data(f"{name}:make", ShapeOnly((2,)))
    assert data.inputs.tolist() == [[1.0, 2.0]]
    assert (None if data.labels is None else data.labels.tolist()) == features
    assert any("your own code" in note for note in data.notes)


@pytest.mark.parametrize("reference", ["no_such_module_here:make", "math:no_such_function", "math:sqrt", "time:time"])
def test_factories_that_fail_are_named(reference: str) -> None:
    with pytest.raises(DataError, match=reference):
        load_data(reference, ShapeOnly((2,)))


@pytest.mark.parametrize("reference", ["data.txt", "mnist", ""])
def test_unknown_kinds_of_data_list_the_known(reference: str) -> None:
    with pytest.raises(UsageError, match="known: digits, FILE.npz"):
        load_data(reference, ShapeOnly((2,)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_data(str(tmp_path / "none.npz"), ShapeOnly((2,)))


def test_names_must_match_the_features(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'feature_names' has 1 names; expected 2"):
        load_data(saved(tmp_path, x=np.zeros((1, 2)), feature_names=np.array(["a"])), ShapeOnly((2,)))
    data = load_data(saved(tmp_path, x=np.zeros((1, 2)), label_names=np.array(["a", "b", "c"])), ShapeOnly((2,)))
    assert data.label_names == ("a", "b", "c")


def test_a_pair_of_npy_files_is_inputs_and_labels(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.random((4, 5))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.array([0, 2, 1, 0]))
    data = load_data(f"{tmp_path}/x.npy,{tmp_path}/y.npy", ShapeOnly((5,)))
    np.testing.assert_array_equal(data.inputs, x)
    assert data.labels is not None
    assert data.labels.tolist() == [0, 2, 1, 0]
    with pytest.raises(DataError, match=r"no\.npy: no such file"):
        load_data(f"{tmp_path}/x.npy,{tmp_path}/no.npy", ShapeOnly((5,)))
    with pytest.raises(DataError, match="4 inputs need 4 labels"):
        load_data(f"{tmp_path}/x.npy,{tmp_path}/x.npy", ShapeOnly((5,)))
    with pytest.raises(DataError, match="the limit is"):
        read_arrays(f"{tmp_path}/x.npy,{tmp_path}/y.npy", limit=170)  # 160 bytes of inputs, 32 of labels


def test_a_file_whose_name_has_a_comma_is_one_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy,b.npy", np.ones((1, 2)))
    data = load_data(str(tmp_path / "a.npy,b.npy"), ShapeOnly((2,)))
    assert data.labels is None
    assert len(data) == 1


def test_a_factory_cannot_end_the_program_or_write_to_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "import sys\n\n\ndef leave():\n    sys.exit(3)\n\n\ndef talk():\n    print('talk')\n    return [[1.0, 2.0]]\n"
    (tmp_path / "own_data_code.py").write_text(body, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match="own_data_code:leave: the data factory failed: SystemExit: 3"):
        load_data("own_data_code:leave", ShapeOnly((2,)))
    load_data("own_data_code:talk", ShapeOnly((2,)))
    assert capsys.readouterr().out == ""
