"""Data sets: inputs with labels, read from files, from the user's own code, or built in.

======================  ==========================================================================================
``digits``              scikit-learn's digits, the part that the built-in networks were not trained on
``FILE.npz``            inputs under ``x``, ``inputs`` or ``images``; optional labels under ``y`` or ``labels``, corners
                        of the input domain under ``lower`` and ``upper``, ``feature_names`` and ``label_names``
``FILE.npy``            inputs only
``X.npy,Y.npy``         inputs of one file and labels of another
``FILE.csv``            a header of feature names; labels in a column named ``label``, ``labels``, ``y``, ``class`` or ``target``,
                        or in the one that is named as label column
``FOLDER``              pictures (PNG, JPEG, BMP) in one subfolder per class, or without subfolders and labels; needs the extra ``images``
``module:factory``      the user's own function: it returns inputs, (inputs, labels), or a dict with the keys of a ``.npz``
======================  ==========================================================================================

Files are data only: nothing in them is executed, pickled arrays are refused, and the sizes that a file
declares are checked before anything of that size is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError, RegionError, UsageError
from netassay.models.network import Network
from netassay.numerics.box import Box
from netassay.specs.data_files import INPUT_KEYS, LABEL_KEYS, read_arrays
from netassay.specs.image_folders import Pictures
from netassay.specs.layouts import channels_first, to_input_shape

CLASSES = "; every label needs its class folder, also one without pictures, or name the folders by their labels: 0, 1, 2"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs that fit a network.

    Args:
        inputs: (N, *input_shape) float64, finite, inside ``domain`` and the network's own domain.
        labels: (N,) int64 in 0..labels-1, or None.
        domain: Valid inputs as the data declare them, or None.
        indices: (N,) positions in the whole data set, counted from 0.
        feature_names: One per feature in flat order, or empty.
        label_names: One per label, or empty.
        notes: What was done to the data, in sentences.
        source_shape: Shape of one input before it was brought to the network's, channels first; () if unknown.
    """

    inputs: NDArray[np.float64]
    labels: NDArray[np.int64] | None
    domain: Box | None
    indices: NDArray[np.int64]
    feature_names: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source_shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)


def load_data(
    reference: str, network: Network, *, limit: int | None = None, index: int | None = None, label_column: str | None = None
) -> Dataset:
    """Reads ``reference`` (see the module) in the layout of ``network``; all of it, the first ``limit`` inputs, or the one at ``index``.

    8-bit integers become real numbers in [0, 1], unless the input domain reaches above 1. Real numbers under ``images`` whose least is
    0 and whose greatest is 1 are pixels in [0, 1], if neither data nor network say what inputs are valid. ``label_column`` names the
    column of a table that holds the labels.

    Raises:
        DataError: For an empty data set, an input of the wrong shape, not finite or outside the domain, and labels
            that are not integers, out of range or not as many as the inputs.
        UsageError: For a reference of an unknown kind, a limit below 1, or a label column of what is no table.
    """
    arrays, notes = read_arrays(reference, label_column=label_column)
    return build(reference, arrays, network, limit=limit, index=index, notes=tuple(notes))


def build(
    reference: str,
    arrays: Mapping[str, Any],
    network: Network,
    *,
    limit: int | None = None,
    index: int | None = None,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """The data set made of named arrays, as in a ``.npz``; see ``load_data``."""
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1; got {limit}")
    said = list(notes)
    inputs = _inputs(reference, arrays)
    chosen = _selection(reference, len(inputs), limit, index)
    domain = _domain(reference, arrays, network.input_shape, said)
    converted = _converted(reference, inputs[chosen], [d for d in (network.domain, domain) if d is not None], said)
    if domain is None and inputs.dtype == np.uint8 and converted.max(initial=0.0) <= 1:
        domain = Box.filled(network.input_shape, 0.0, 1.0)
    if domain is None and not network.domain.bounded and _runs_from_0_to_1(inputs, arrays):
        domain = Box.filled(network.input_shape, 0.0, 1.0)
        said.append(f"{reference}: its images run from 0 to 1; that is taken as the input domain, unless --domain says otherwise")
    shaped, how = _shaped(reference, converted, network.input_shape)
    said += [f"{reference}: {how}"] if how else []
    _check_finite(reference, shaped, chosen)
    for box in (network.domain, domain):
        if box is not None:
            shaped = _settled(reference, shaped, inputs.dtype, box, said)
            _check_inside(reference, shaped, chosen, box)
    labels = _labels(reference, arrays, len(inputs), network, said)
    return Dataset(
        inputs=shaped,
        labels=None if labels is None else labels[chosen],
        domain=domain,
        indices=chosen,
        feature_names=_names(reference, arrays, "feature_names", int(np.prod(network.input_shape))),
        label_names=_names(reference, arrays, "label_names", network.labels) if network.labels else (),
        notes=tuple(said),
        source_shape=channels_first(inputs.shape[1:]),
    )


def _runs_from_0_to_1(inputs: NDArray[Any] | Pictures, arrays: Mapping[str, Any]) -> bool:
    """Whether real numbers are called images and, over the whole data set, take exactly the range of scaled pixels."""
    if isinstance(inputs, Pictures) or inputs.dtype.kind != "f" or next(k for k in INPUT_KEYS if k in arrays) != "images":
        return False
    return bool(inputs.min() == 0 and inputs.max() == 1)


def _inputs(reference: str, arrays: Mapping[str, Any]) -> NDArray[Any] | Pictures:
    key = next((k for k in INPUT_KEYS if k in arrays), None)
    if key is None:
        came = ", ".join(sorted(arrays)) or "nothing"
        raise DataError(f"{reference}: no inputs; expected an array under {', '.join(INPUT_KEYS)}, got {came}")
    given = arrays[key]
    if isinstance(given, Pictures):
        return given
    inputs = np.asarray(given)
    if inputs.dtype.kind not in "biuf":
        raise DataError(f"{reference}: inputs must be real numbers; {key!r} has dtype {inputs.dtype}")
    if inputs.ndim == 0 or inputs.size == 0:
        raise DataError(f"{reference}: the data set is empty: {key!r} has shape {inputs.shape}; give at least one input")
    return inputs


def _selection(reference: str, count: int, limit: int | None, index: int | None) -> NDArray[np.int64]:
    if index is None:
        return np.arange(count if limit is None else min(limit, count), dtype=np.int64)
    if not 0 <= index < count:
        raise DataError(f"{reference}: no input at index {index}; it has {count} inputs, 0 to {count - 1}")
    return np.array([index], dtype=np.int64)


def _domain(reference: str, arrays: Mapping[str, Any], shape: tuple[int, ...], said: list[str]) -> Box | None:
    """The box that the data declare under ``lower`` and ``upper``: numbers, or arrays of an input's shape."""
    present = [k for k in ("lower", "upper") if k in arrays]
    if not present:
        return None
    if len(present) == 1:
        raise DataError(f"{reference}: only {present[0]!r} is given; a domain needs both 'lower' and 'upper'")
    corners = [_corner(reference, np.asarray(arrays[k]), k, shape) for k in ("lower", "upper")]
    try:
        box = Box(*corners)
    except RegionError as error:
        raise DataError(f"{reference}: 'lower' and 'upper' give no domain: {error}") from error
    if reference != "digits":
        said.append(f"{reference}: its 'lower' and 'upper' give the input domain")
    return box


def _corner(reference: str, values: NDArray[Any], key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if values.dtype.kind not in "biuf":
        raise DataError(f"{reference}: {key!r} must be real numbers; got dtype {values.dtype}")
    if values.size == 1:
        return np.full(shape, float(values.reshape(())), dtype=np.float64)
    rows, _ = _shaped(f"{reference}: {key!r}", values.astype(np.float64)[None], shape)
    return rows.reshape(shape)


def _converted(reference: str, inputs: NDArray[Any], boxes: list[Box], said: list[str]) -> NDArray[np.float64]:
    """float64; 8-bit integers as shares of 255 unless a finite upper bound of the domain is above 1."""
    values = inputs.astype(np.float64)
    if inputs.dtype != np.uint8:
        return values
    if any((box.upper[np.isfinite(box.upper)] > 1).any() for box in boxes):
        said.append(f"{reference}: 8-bit inputs are taken as they are (0 to 255), since the input domain reaches above 1")
        return values
    said.append(f"{reference}: 8-bit inputs are scaled from 0..255 to [0, 1]")
    return values / 255.0


def _shaped(reference: str, batch: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[NDArray[np.float64], str]:
    try:
        return to_input_shape(batch, shape)
    except DataError as error:
        raise DataError(f"{reference}: {error}") from error


def _check_finite(reference: str, inputs: NDArray[np.float64], indices: NDArray[np.int64]) -> None:
    bad = np.argwhere(~np.isfinite(inputs))
    if len(bad):
        at = tuple(int(i) for i in bad[0])
        raise DataError(f"{reference}: input {indices[at[0]]} has {inputs[at]} at feature {at[1:]}; every feature must be a finite number")


def _settled(reference: str, inputs: NDArray[np.float64], dtype: np.dtype[Any], box: Box, said: list[str]) -> NDArray[np.float64]:
    """Moves values onto a bound that they exceed only because their file's float type rounded that very bound outwards."""
    if dtype.kind != "f" or dtype.itemsize >= 8:
        return inputs
    low, high = (corner.astype(dtype).astype(np.float64) for corner in (box.lower, box.upper))
    rounded = ((inputs > box.upper) & (inputs == high)) | ((inputs < box.lower) & (inputs == low))
    if not rounded.any():
        return inputs
    said.append(f"{reference}: {int(rounded.sum())} values lie on a bound of the domain up to {dtype} rounding and are moved onto it")
    return np.where(rounded, np.clip(inputs, box.lower, box.upper), inputs)


def _check_inside(reference: str, inputs: NDArray[np.float64], indices: NDArray[np.int64], box: Box) -> None:
    outside = np.argwhere((inputs < box.lower) | (inputs > box.upper))
    if not len(outside):
        return
    at = tuple(int(i) for i in outside[0])
    allowed = f"{box.lower[at[1:]]:.10g} to {box.upper[at[1:]]:.10g}"
    raise DataError(
        f"{reference}: input {indices[at[0]]} is outside the domain: feature {at[1:]} is {inputs[at]:.10g}, allowed are {allowed} "
        f"({len(outside)} such values in all); mend the data, or give the right domain (--domain LO,HI)"
    )


def _labels(reference: str, arrays: Mapping[str, Any], count: int, network: Network, said: list[str]) -> NDArray[np.int64] | None:
    key = next((k for k in LABEL_KEYS if arrays.get(k) is not None), None)
    if key is None:
        return None
    if not network.labels:
        said.append(f"{reference}: {key!r} is not used, since the outputs of {network.name} are values, not labels")
        return None
    values = np.asarray(arrays[key])
    if values.shape == (count, 1):
        values = values[:, 0]
    if values.dtype == np.bool_:
        values = values.astype(np.int64)
    if values.shape != (count,):
        raise DataError(f"{reference}: {count} inputs need {count} labels; {key!r} has shape {values.shape}")
    return _whole_labels(reference, values, network.labels)


def _whole_labels(reference: str, values: NDArray[Any], count: int) -> NDArray[np.int64]:
    run = f"labels are whole numbers from 0 to {count - 1}"
    if values.dtype.kind not in "biuf":
        raise DataError(f"{reference}: {run}; got dtype {values.dtype}, first {values[0]!r}")
    broken = np.flatnonzero(~np.isfinite(values) | (values != np.floor(values)))
    if len(broken):
        raise DataError(f"{reference}: label {values[broken[0]]} of input {broken[0]} is not a whole number; {run}")
    wrong = np.flatnonzero((values < 0) | (values >= count))
    if len(wrong):
        raise DataError(f"{reference}: label {values[wrong[0]]:g} of input {wrong[0]} is out of range; {run}")
    return values.astype(np.int64)


def _names(reference: str, arrays: Mapping[str, Any], key: str, count: int) -> tuple[str, ...]:
    if key not in arrays:
        return ()
    names = tuple(str(name) for name in np.asarray(arrays[key]).reshape(-1))
    if len(names) != count:
        hint = "" if not any(isinstance(values, Pictures) for values in arrays.values()) else CLASSES
        raise DataError(f"{reference}: {key!r} has {len(names)} names; expected {count}{hint}")
    return names
