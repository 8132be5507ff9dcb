"""The experiments are no part of the package: their folder is put on the path here; small networks are trained once for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "experiments"))

from deepquant import classifiers
from deepquant.setting import Setting, Size


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture
def setting(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """A quick setting whose six networks see each training digit four times."""
    monkeypatch.setitem(classifiers.FIG9_SCHOOLING, Size.QUICK, classifiers.Schooling(640, 4))
    return Setting(Size.QUICK, cache, say=lambda _: None)
