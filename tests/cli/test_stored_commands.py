"""report, export, show and compare: from a real store, without the engine, and harmless for stores that strangers give."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cli.conftest import Run
from netassay.results.answer import Answer
from netassay.results.schema import validate
from netassay.store.writer import open_writer
from reports.campaign_answers import campaign_answers
from store import stores

COUNT = 12


def kept(path: Path, answers: list[Answer], *, job: str = stores.JOB, asked: int | None = None, model: str = "m") -> Path:
    """A store with one campaign of these answers."""
    with open_writer(str(path)) as writer:
        writer.begin(
            replace(stores.HEADING, model=model, command=f"netassay assess {model}"), [(job, len(answers) if asked is None else asked)]
        )
        assert writer.save(stores.attempt(job), stores.packed(answers))
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two campaigns: of a model, and of one that learnt from fewer inputs."""
    path = kept(tmp_path_factory.mktemp("store") / "runs.db", campaign_answers(COUNT))
    return kept(path, campaign_answers(COUNT, train=400), job=stores.OTHER, model="small")


def test_show_lists_campaigns_and_figures(run: Run, store: Path) -> None:
    assert "small" in run("show", store).out
    listed = run("show", store, "--json").json
    validate(listed)
    assert [(c["model"], c["finished"], c["asked"]) for c in listed["campaigns"]] == [("m", 72, 72), ("small", 72, 72)]
    figures = run("show", store, "--campaign", 1)
    assert figures.code == 0, figures.err
    assert "radius" in figures.out
    assert "d_prime" in figures.out
    document = run("show", store, "--campaign", 1, "--json").json
    validate(document)
    assert len(document["results"]["index"]) == 72


def test_show_tells_the_answers_about_an_input(run: Run, store: Path) -> None:
    shown = run("show", store, "--campaign", 1, "--input", 3)
    assert shown.code == 0, shown.err
    rows = [line.split() for line in shown.out.splitlines() if line.strip().startswith("3 ")]
    assert len(rows) == 6
    document = run("show", store, "--campaign", 1, "--input", 3, "--input", 5, "--json").json
    validate(document)
    assert sorted(set(document["results"]["index"])) == [3, 5]
    assert "no answer about input 99" in run("show", store, "--campaign", 1, "--input", 99).err
    assert run("show", store, "--input", 3, "--fail-under", "0.1").code == 2


def test_show_ranks_models_on_shared_inputs(run: Run, store: Path) -> None:
    ranked = run("show", store, "--rank", "--json").json
    validate(ranked)
    assert {r["question"] for r in ranked["rankings"]} == {"radius", "verify"}
    assert all({m["campaign"] for m in r["models"]} == {1, 2} for r in ranked["rankings"])
    assert "surely better than" in run("show", store, "--rank").out


@pytest.mark.parametrize(
    ("demand", "code", "word"),
    [
        ("radius.linf.max <= 1", 0, "met"),
        ("radius.linf.min >= 0.5", 1, "missed"),
        ("radius.l1.min >= 0.5", 3, "undecided"),
        ("verify.linf.robust >= 99.9%", 1, "missed"),
        ("radius.linf.robust >= 1", 2, "radius behind @"),
        ("speed", 2, "expected"),
    ],
)
def test_demands_decide_the_exit_code(run: Run, store: Path, demand: str, code: int, word: str) -> None:
    done = run("show", store, "--campaign", 1, "--fail-under", demand)
    assert done.code == code
    assert word in done.err


def test_missing_answers_leave_demands_undecided(run: Run, tmp_path: Path) -> None:
    part = kept(tmp_path / "part.db", campaign_answers(COUNT), asked=6 * COUNT + 1)
    assert run("show", part, "--fail-under", "radius.linf.max <= 1").code == 3
    assert run("show", part, "--fail-under", "1e-12").code in (1, 3)


def test_junit_has_a_failure_for_what_is_missed_and_an_error_for_what_is_open(run: Run, store: Path) -> None:
    demands = ("radius.linf.max <= 1", "radius.linf.min >= 0.5", "radius.l1.min >= 0.5", "0.01")
    options = [part for demand in demands for part in ("--fail-under", demand)]
    done = run("show", store, "--campaign", 1, *options, "--junit", "out.xml")
    assert done.code == 1
    (suite,) = ElementTree.parse("out.xml").getroot()
    cases = {case.attrib["name"]: [child.tag for child in case] for case in suite}
    assert cases["radius.linf.max <= 1 (robustness@logits)"] == []
    assert cases["radius.linf.min >= 0.5 (robustness@logits)"] == ["failure"]
    assert cases["radius.l1.min >= 0.5"] == ["error"]
    assert sum(name.endswith("radius >= 0.01") for name in cases) == COUNT
    assert sum(name.endswith(": holds") for name in cases) == COUNT
    for tag, count in (("failure", suite.attrib["failures"]), ("error", suite.attrib["errors"])):
        assert int(count) == sum(case.find(tag) is not None for case in suite)


def test_report_writes_a_page_and_valid_figures(run: Run, store: Path) -> None:
    done = run("report", store, "out", "--campaign", 1, "--input", 3, "--pages", 1, "--json", "--fail-under", "radius.linf.max <= 1")
    assert done.code == 0, done.err
    validate(done.json)
    assert Path("out/inputs/3.html").is_file()
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "radius.linf.max &lt;= 1" in page
    assert "<b>null</b>" not in page
    assert "report: again" in run("report", store, "again").out


def test_export_has_every_answer_in_both_forms(run: Run, store: Path) -> None:
    assert run("export", store, "out.csv", "--json").json == {"file": "out.csv", "rows": 144}
    with Path("out.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["campaign"] for row in rows] == ["1"] * 72 + ["2"] * 72
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    assert run("export", store, "out.parquet", "--campaign", 2).code == 0
    table = pq.read_table("out.parquet").to_pylist()
    assert [row["index"] for row in table] == [int(row["index"]) for row in rows[72:]]
    assert run("export", store, "out.xlsx").code == 2


def test_compare_tells_models_apart(run: Run, store: Path) -> None:
    done = run("compare", store, store, "--campaign-a", 1, "--campaign-b", 2)
    assert done.code == 0, done.err
    assert "surely worse" in done.out
    assert "sign test" in done.out
    validate(run("compare", store, store, "--campaign-a", 1, "--campaign-b", 2, "--json").json)
    itself = run("compare", store, store, "--campaign-a", 1, "--campaign-b", 1).out
    assert "surely worse: none; surely better: none" in itself
    assert "sign test" not in itself


@pytest.mark.parametrize("command", [("show",), ("report", "out"), ("export", "out.csv"), ("compare", "other.db")])
def test_what_is_no_store_is_refused(run: Run, command: tuple[str, ...]) -> None:
    Path("other.db").write_bytes(b"not a store" * 1000)
    with Path("huge.db").open("wb") as stream:
        stream.truncate(1024**3)
    for name in ("missing.db", "other.db", "huge.db"):
        done = run(command[0], name, *command[1:])
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("error: ")
    assert not Path("out").exists()
    assert not Path("out.csv").exists()


@pytest.mark.parametrize("place", ["taken/below", "n" * 300])
@pytest.mark.parametrize("command", ["report", "export"])
def test_a_place_that_cannot_be_made_is_refused(run: Run, store: Path, command: str, place: str) -> None:
    Path("taken").write_text("a file")
    done = run(command, store, f"{place}/answers.csv" if command == "export" else place)
    assert done.code == 2, done.err
    told = done.err.splitlines()[-1]
    assert told.startswith(f"error: {place.split('/', maxsplit=1)[0]}")
    assert "that can be made" in told


def test_numbers_that_are_not_there_are_refused(run: Run, store: Path) -> None:
    assert "has no campaign 7; it has 1, 2" in run("show", store, "--campaign", 7).err
    assert "no answer about input 99" in run("report", store, "out", "--campaign", 1, "--input", 99).err
    assert run("report", store, "out", "--confidence", 2).code == 2


WITHOUT_TORCH = """
import sys
class Without:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "torch":
            raise ImportError("torch is not to be imported")
sys.meta_path.insert(0, Without())
from netassay.cli.main import app
app()
"""


def test_no_command_needs_an_engine(store: Path, tmp_path: Path) -> None:
    """Each runs in a process in which torch cannot be imported."""
    for arguments in (["report", store, "out"], ["export", store, "out.csv"], ["show", store, "--rank"], ["compare", store, store]):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ,
            check=False,
        )
        assert done.returncode == 0, done.stderr
