"""The command: names, sizes, pages written as they are finished, interrupts, what is not at hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from deepquant import command
from deepquant.drawing import bars, canvas, gallery
from deepquant.report import Result, Table, write
from deepquant.setting import Setting, Size, UnavailableError


def result(name: str) -> Result:
    figure = canvas(2, 2)
    bars(figure.subplots(), ["a", "b"], {"one": [1.0, float("nan")], "two": [2.0, 3.0]}, ylabel="seconds")
    table = Table("Figures", ["what", "value"], [["first", "1"], ["second", "2"]])
    return Result(
        name, "A title", "The setup.", "What is printed.", [table], {"": figure}, {"": "A caption."}, ["Other hardware."], ["It works."]
    )


def test_a_page_holds_tables_drawings_and_differences(tmp_path: Path) -> None:
    page = write(result("some"), tmp_path, Setting(Size.QUICK), 3.0).read_text()
    assert "| what | value |\n|---|---:|\n| first | 1 |\n| second | 2 |" in page
    assert "![A caption.](some.svg)" in page
    assert page.index("It works.") < page.index("What is printed.") < page.index("Other hardware.")
    assert "a try-out" in page
    assert {p.name for p in tmp_path.iterdir()} == {"some.md", "some.svg", "some.png"}


def test_drawings_repeat_to_the_byte(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write(result("some"), tmp_path / folder, Setting(Size.QUICK), 3.0)
    assert (tmp_path / "one" / "some.svg").read_bytes() == (tmp_path / "two" / "some.svg").read_bytes()


def test_a_gallery_gives_every_image_its_caption() -> None:
    import numpy as np

    grey, colour = np.zeros((1, 4, 4)), np.ones((3, 4, 4))
    figure = gallery({"first": [("one\ntwo", grey), ("three", grey)], "second": [("four", colour)]})
    titles = [axes.get_title() for part in figure.subfigs for axes in part.axes]
    assert titles == ["one\ntwo", "\nthree", "\nfour", ""]


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-ins for the modules: most give a page, fig5 lacks something, fig6 is interrupted."""
    measured: list[str] = []

    def load(module: str) -> SimpleNamespace:
        name = module.removeprefix("deepquant.")

        def measure(setting: Setting) -> Result:
            measured.append(f"{name} {setting.size} {setting.seed}")
            if name == "fig5":
                raise UnavailableError("no networks here")
            if name == "fig6":
                raise KeyboardInterrupt
            return result(name)

        return SimpleNamespace(measure=measure)

    monkeypatch.setattr(command, "import_module", load)
    return measured


def test_names_run_in_the_order_given_and_once(experiments: list[str], tmp_path: Path) -> None:
    assert command.main(["table6", "table2", "table6", "--out", str(tmp_path), "--full", "--seed", "4"]) == 0
    assert experiments == ["table6 full 4", "table2 full 4"]
    assert (tmp_path / "table6.md").exists()
    assert (tmp_path / "table2.md").exists()


def test_an_interrupt_keeps_the_finished_pages(experiments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["table2", "fig6", "table6", "--quick", "--out", str(tmp_path)]) == 130
    assert experiments == ["table2 quick 0", "fig6 quick 0"]
    assert (tmp_path / "table2.md").exists()
    assert "interrupted" in capsys.readouterr().err


def test_what_is_not_at_hand_is_said_and_the_rest_is_measured(
    experiments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["fig5", "table2", "--quick", "--out", str(tmp_path)]) == 1
    assert "left out: no networks here" in capsys.readouterr().err
    assert [p.name for p in tmp_path.glob("*.md")] == ["table2.md"]


def test_all_means_every_experiment(experiments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "EXPERIMENTS", {"table2": "one", "table6": "two"})
    assert command.main(["all", "--quick", "--out", str(tmp_path)]) == 0
    assert experiments == ["table2 quick 0", "table6 quick 0"]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["fig99"])


def test_the_script_runs_from_anywhere(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "experiments" / "deepquant" / "run.py"
    shown = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert all(name in shown for name in command.EXPERIMENTS)
