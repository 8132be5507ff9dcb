"""The public surface: what is written down is what can be imported, and importing is cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

import netassay

HEAVY = ("torch", "scipy", "sklearn", "matplotlib", "onnx", "onnxruntime", "numpy", "pydantic", "jinja2")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", netassay.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(netassay, name) is not None


def test_what_is_written_down_is_what_there_is() -> None:
    assert sorted(netassay.__all__) == sorted({*netassay._HOMES, "__version__"})
    assert set(netassay.__all__) <= set(dir(netassay))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="public are Ball, Box"):
        _ = netassay.certify


def test_importing_loads_nothing_heavy() -> None:
    loaded = run(f"import sys, netassay; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_light_names_load_no_torch() -> None:
    names = "na.Ball, na.Box, na.Budget, na.Norm, na.Robustness, na.ConfidenceGap, na.Reachability, na.Uncertainty, na.risk"
    assert run(f"import sys, netassay as na; {names}; print('torch' in sys.modules)").strip() == "False"
