"""One interface for numpy and torch arrays, numpy's without loading anything."""

from __future__ import annotations

import subprocess
import sys

import array_api_compat
import numpy as np
import torch

from netassay.numerics.arrays import array_namespace, device_of


def test_each_array_has_its_own_functions() -> None:
    assert array_namespace(np.zeros(2)) is np
    assert array_namespace(np.float32(1)) is np
    assert array_namespace(torch.zeros(2)) is array_api_compat.array_namespace(torch.zeros(2))


def test_each_array_has_a_place() -> None:
    assert np.zeros(2, device=device_of(np.zeros(2))).shape == (2,)
    assert device_of(torch.zeros(2)) == torch.device("cpu")


def test_numpy_arrays_load_nothing() -> None:
    code = """
import sys
import numpy as np
from netassay.numerics.arrays import array_namespace, device_of
array_namespace(np.zeros(1)), device_of(np.zeros(1))
assert "array_api_compat" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
