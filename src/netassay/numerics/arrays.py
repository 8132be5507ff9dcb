"""The array API of numpy and torch arrays; numpy's own names are that interface, so numpy arrays load nothing further."""

from __future__ import annotations

from typing import Any

import numpy as np

STANDARD = hasattr(np, "__array_namespace_info__")
"""Whether numpy itself follows the array API (since 2.1)."""


def array_namespace(values: Any) -> Any:
    """The functions of the array API for one array: numpy for its arrays and scalars, else those of ``array_api_compat``."""
    if STANDARD and isinstance(values, np.ndarray | np.generic):
        return np
    import array_api_compat

    return array_api_compat.array_namespace(values)


def device_of(values: Any) -> Any:
    """Where an array lies: "cpu" for numpy's."""
    if isinstance(values, np.ndarray | np.generic):
        return "cpu"
    import array_api_compat

    return array_api_compat.device(values)
