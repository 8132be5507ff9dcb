"""``--certificate`` and ``check``: what is proved is accepted, anything else is rejected or refused; no torch is needed for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Run, loaded_by_check

DECLARED = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
BOX = "(and (>= X_0 0.6)(<= X_0 0.9)(>= X_1 0.1)(<= X_1 {top})(<= Y_0 Y_1))"


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """Of ``classifier``: safe and two hold, unsafe does not."""
    for name, tops in {"safe": (0.4,), "unsafe": (0.7,), "two": (0.4, 0.5)}.items():
        cases = " ".join(BOX.format(top=top) for top in tops)
        (tmp_path / f"{name}.vnnlib").write_text(f"{DECLARED}(assert (or {cases}))\n")
    return tmp_path


@pytest.mark.parametrize("name", ["safe", "two"])
def test_a_proof_of_a_specification_is_accepted(run: Run, specs: Path, classifier: str, name: str) -> None:
    done = run("verify", classifier, specs / f"{name}.vnnlib", "--certificate", "a.cert", "--timeout", 20)
    assert done.code == 0, done.err
    assert "certificate: a.cert" in done.err
    for more in ((), ("--exact",)):
        told = run("check", "a.cert", classifier, specs / f"{name}.vnnlib", *more)
        assert told.code == 0, told.err
        assert told.out.startswith("ACCEPTED")
        assert "y[0] - y[1] > 0" in told.out


def test_json_says_what_was_checked(run: Run, specs: Path, classifier: str) -> None:
    run("verify", classifier, specs / "safe.vnnlib", "--certificate", "a.cert", "--timeout", 20)
    done = run("check", "a.cert", classifier, specs / "safe.vnnlib", "--json")
    answer = done.json
    assert (answer["accepted"], answer["reason"], answer["leaves"]) == (True, "", 1)
    assert len(answer["claim_sha256"]) == len(answer["network_sha256"]) == 64
    (line,) = answer["claim"]
    assert line.startswith("case 0: for all x with 0.6 <= x[0] <= 0.9, ")
    assert line.endswith("x[1] <= 0.4: (y[0] - y[1] > 0)")


def test_another_specification_or_network_is_rejected(run: Run, specs: Path, classifier: str, regression: str) -> None:
    run("verify", classifier, specs / "safe.vnnlib", "--certificate", "a.cert", "--timeout", 20)
    for model, spec in ((classifier, "unsafe"), (classifier, "two"), (regression, "safe")):
        done = run("check", "a.cert", model, specs / f"{spec}.vnnlib")
        assert done.code == 1
        assert done.out.startswith("REJECTED: it is about another")


def test_what_is_not_proved_has_no_certificate(run: Run, specs: Path, classifier: str) -> None:
    done = run("verify", classifier, specs / "unsafe.vnnlib", "--certificate", "a.cert", "--timeout", 20)
    assert done.code == 1
    assert "no certificate is written" in done.err
    assert not Path("a.cert").exists()


def test_bad_files_are_refused(run: Run, specs: Path, classifier: str) -> None:
    Path("a.cert").write_bytes(b"nothing of the kind")
    for arguments in (("a.cert", classifier), ("missing.cert", classifier), ("a.cert", "model.pt2"), ("a.cert", "missing.onnx")):
        done = run("check", *arguments, specs / "safe.vnnlib")
        assert done.code == 2
        assert done.err.startswith("error: ")


def test_a_certificate_of_a_specification_needs_it(run: Run, specs: Path, classifier: str) -> None:
    run("verify", classifier, specs / "safe.vnnlib", "--certificate", "a.cert", "--timeout", 20)
    done = run("check", "a.cert", classifier)
    assert done.code == 2
    assert "is about a specification" in done.err


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_balls_around_inputs(run: Run, classifier: str, points: str, norm: str) -> None:
    """The certificate spells its claim out: the inputs that are proved, one case each."""
    options = ("--norm", norm, "--radius", 0.1, "--certificate", "a.cert", "--timeout", 20, "--domain", "0,1")
    done = run("verify", classifier, points, *options)
    assert "certificate: a.cert" in done.err, done.err
    told = run("check", "a.cert", classifier)
    assert told.code == 0
    assert "case 1" in told.out
    assert "case 2" not in told.out


def test_the_proved_side_of_a_radius(run: Run, classifier: str, points: str) -> None:
    done = run("radius", classifier, points, "--index", 0, "--seconds", 3, "--certificate", "a.cert", "--domain", "0,1")
    assert "certificate: a.cert" in done.err, done.err
    assert run("check", "a.cert", classifier, "--exact").out.startswith("ACCEPTED")


def test_the_proved_ends_of_a_range(run: Run, regression: str) -> None:
    done = run("reach", regression, "--lower", "0,0", "--upper", "10,10", "--seconds", 3, "--certificate", "a.cert")
    assert "certificate: a.cert" in done.err, done.err
    told = run("check", "a.cert", regression)
    assert told.out.startswith("ACCEPTED")
    assert "(y[0] + 9.0" in told.out
    assert "(- y[0] + 21.0" in told.out


@pytest.mark.parametrize("risk", ["robustness@logits", "robustness"])
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_the_proved_sides_of_slopes(run: Run, classifier: str, points: str, norm: str, risk: str) -> None:
    options = ("--norm", norm, "--radius", 0.1, "--seconds", 3, "--certificate", "a.cert", "--domain", "0,1")
    done = run("lipschitz", classifier, points, "--index", 0, "--risk", risk, *options)
    assert "certificate: a.cert" in done.err, done.err
    for more in ((), ("--exact",)):
        told = run("check", "a.cert", classifier, *more)
        assert told.code == 0, told.err
        assert told.out.startswith("ACCEPTED")
        assert "s(x0) - s(x) <= " in told.out
        assert "s(x0) >= " in told.out


def test_a_certificate_needs_a_model_that_the_checker_reads(run: Run, points: str) -> None:
    done = run("verify", "digits-mlp", points, "--radius", 0.1, "--certificate", "a.cert")
    assert done.code == 2
    assert "needs a .onnx model" in done.err


@pytest.mark.parametrize("of", ["specification", "inputs"])
def test_a_claim_about_float32_is_proved_as_such(run: Run, specs: Path, classifier: str, points: str, of: str) -> None:
    asked = (specs / "safe.vnnlib",) if of == "specification" else (points, "--radius", 0.1)
    about = asked[:1] if of == "specification" else ()
    done = run("verify", classifier, *asked, "--float32", "--certificate", "a.cert", "--timeout", 20)
    assert "certificate: a.cert" in done.err, done.err
    told = run("check", "a.cert", classifier, *about)
    assert told.out.startswith("ACCEPTED")
    assert "as float32 evaluates it" in told.out
    assert run("check", "a.cert", classifier, *about, "--json").json["float32"] is True


def test_checking_loads_neither_torch_nor_any_verifier(run: Run, specs: Path, classifier: str) -> None:
    run("verify", classifier, specs / "safe.vnnlib", "--certificate", "a.cert", "--timeout", 20)
    assert loaded_by_check("a.cert", classifier, str(specs / "safe.vnnlib")) == "[]"
