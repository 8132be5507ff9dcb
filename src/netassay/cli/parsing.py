"""Texts of options become values; every refusal says what came, what was expected and what to do."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from netassay.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netassay.assessment.stopping import Target
    from netassay.numerics.box import Box
    from netassay.numerics.norms import Norm
    from netassay.results.answer import Question

Choice = TypeVar("Choice", bound=StrEnum)

_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def number(text: str, option: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{option} needs a finite number; got {text!r}")
    return value


def numbers(text: str, option: str) -> list[float]:
    """Finite numbers separated by commas, as in ``0,0.5,1``."""
    return [number(part, option) for part in text.split(",")]


def choice(text: str, kind: type[Choice], option: str) -> Choice:
    """A member of an enumeration by its value."""
    if text not in [str(member) for member in kind]:
        raise unknown_name(f"{option} value", text, [str(member) for member in kind])
    return kind(text)


def positive(value: float, option: str) -> float:
    """A finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{option} must be a positive number; got {value:g}")
    return value


def memory(text: str) -> int:
    """Bytes from ``512MiB``, ``2GiB``, ``4g`` or a plain number."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([bkmgt]?)(ib|b)?\s*", text.lower())
    if match is None:
        raise UsageError(f"--memory needs a size such as 512MiB or 2GiB; got {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def norms(texts: Sequence[str] | None) -> list[Norm]:
    """Norms by name, each once; L-infinity if none is named."""
    from netassay.numerics.norms import Norm

    return list(dict.fromkeys(Norm.of(text) for text in texts or ["linf"]))


def radii(texts: Sequence[str] | None, wanted: Sequence[Norm]) -> dict[Norm, float]:
    """One radius per norm, from ``0.1`` (for all) and ``l2=1.5`` (for one); norms without one are left out."""
    from netassay.numerics.norms import Norm

    found: dict[Norm, float] = {}
    for text in sorted(texts or [], key=lambda t: "=" in t):
        name, _, value = text.rpartition("=")
        radius = positive(number(value, "--radius"), "--radius")
        found |= {Norm.of(name): radius} if name else dict.fromkeys(wanted, radius)
    strange = [str(norm) for norm in found if norm not in wanted]
    if strange:
        raise UsageError(f"--radius names {', '.join(strange)}, but --norm asks for {', '.join(map(str, wanted))} only")
    return found


def target(text: str | None, question: Question) -> Target | None:
    """Where a search may stop: a number, or for ``reach`` the ends ``LO,HI`` of a range, of which one may be left out."""
    from netassay.assessment.stopping import checked_target

    if text is None:
        return None
    if question != "reach":
        value = number(text, "--target")
        if value < 0:
            raise UsageError(f"--target must not be negative for {question}; got {text}")
        return checked_target(question, value)
    ends = [number(end, "--target") if end.strip() else None for end in text.split(",")]
    if len(ends) != 2 or ends == [None, None]:
        raise UsageError(f"--target needs LO,HI for reach, with one of them left out if it does not matter, as in ,5; got {text!r}")
    return checked_target(question, (ends[0], ends[1]))


def searched(text: str, option: str) -> Question:
    """A question that a search answers; verdicts have a command of their own."""
    from netassay.results.answer import Question

    known = [str(question) for question in Question if question is not Question.VERIFY]
    if text not in known:
        raise unknown_name(f"{option} value", text, known)
    return Question(text)


def targets(texts: Sequence[str] | None, questions: Sequence[Question]) -> dict[Question, Target]:
    """The target of each question, from ``radius=0.1``; of the only one, from ``0.1``."""
    found: dict[Question, Target] = {}
    for text in texts or []:
        name, _, value = text.rpartition("=")
        if not name and len(questions) != 1:
            raise UsageError(f"--target needs QUESTION=V where several are asked, as in radius=0.1; got {text!r}")
        question = searched(name, "--target") if name else questions[0]
        if question not in questions:
            raise UsageError(f"--target names {question}, but --question asks for {', '.join(map(str, questions))} only")
        goal = target(value, question)
        found |= {} if goal is None else {question: goal}
    return found


def domain(text: str, shape: tuple[int, ...]) -> Box:
    """The box with the same interval for every feature, from ``LO,HI``."""
    from netassay.numerics.box import Box

    ends = numbers(text, "--domain")
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise UsageError(f"--domain needs LO,HI with LO below HI, or 'data'; got {text!r}")
    return Box.filled(shape, *ends)


def corner(text: str, shape: tuple[int, ...], option: str) -> NDArray[np.float64]:
    """A corner of a box: one number per feature in flat order, or one for all."""
    import numpy as np

    values = numbers(text, option)
    size = math.prod(shape)
    if len(values) not in (1, size):
        raise UsageError(f"{option} needs one number or {size}, one for each feature of the model's input {shape}; got {len(values)}")
    return np.array(np.broadcast_to(values, (size,)), dtype=np.float64).reshape(shape)


def mask(text: str | None, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Features that may change: from a ``.npy`` file, or the patch ``X,Y,W,H`` of an image, all channels."""
    if text is None:
        return None
    if text.endswith(".npy"):
        return _to_shape(_file(text) != 0, shape, "--mask")
    return _patch(text, shape)


def _patch(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    import numpy as np

    if len(shape) < 2:
        raise UsageError(f"--mask X,Y,W,H is for images; the model's input is {shape}: give a .npy file of booleans")
    ends = numbers(text, "--mask")
    height, width = shape[-2:]
    if len(ends) != 4 or any(v != int(v) for v in ends):
        raise UsageError(f"--mask needs a .npy file or X,Y,W,H in whole pixels; got {text!r}")
    x, y, w, h = (int(v) for v in ends)
    if min(x, y) < 0 or min(w, h) < 1 or x + w > width or y + h > height:
        raise UsageError(f"--mask {text} leaves the image of {width} x {height} pixels, or is empty")
    chosen = np.zeros(shape, dtype=np.bool_)
    chosen[..., y : y + h, x : x + w] = True
    return chosen


def scale(text: str, box: Box) -> NDArray[np.float64] | None:
    """Unit of distance per feature: None for ``none``, the feature's range for ``domain``, else a ``.npy`` file."""
    import numpy as np

    from netassay.specs.regions import domain_scale

    if text == "none":
        return None
    if text == "domain":
        if not box.bounded:
            raise UsageError("--scale domain needs a bounded input domain: give --domain LO,HI, or data with 'lower' and 'upper'")
        return domain_scale(box)
    if not text.endswith(".npy"):
        raise unknown_name("--scale", text, ["none", "domain", "FILE.npy"])
    return _to_shape(_file(text).astype(np.float64), box.shape, "--scale")


def granularity(text: str | None, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Step per feature (0: continuous), from one number or a ``.npy`` file."""
    import numpy as np

    if text is None:
        return None
    if text.endswith(".npy"):
        return _to_shape(_file(text).astype(np.float64), shape, "--granularity")
    step = number(text, "--granularity")
    if step < 0:
        raise UsageError(f"--granularity must not be negative; got {step:g}")
    return np.full(shape, step, dtype=np.float64)


def one_hot(text: str | None) -> tuple[tuple[int, ...], ...]:
    """Blocks of flat feature positions, from ``3,4,5;6,7``."""
    if text is None:
        return ()
    try:
        return tuple(tuple(int(i) for i in block.split(",")) for block in text.split(";"))
    except ValueError as error:
        raise UsageError(f"--one-hot needs blocks of feature positions such as 3,4,5;6,7; got {text!r}") from error


def per_channel(text: str | None, option: str) -> list[float] | None:
    """Mean or standard deviation: one number, or one per channel."""
    return None if text is None else numbers(text, option)


def _file(path: str) -> NDArray[Any]:
    from netassay.specs.data_files import read_array

    values = read_array(path)
    if values.dtype.kind not in "biuf":
        raise UsageError(f"{path}: expected numbers; got dtype {values.dtype}")
    return values


def _to_shape(values: NDArray[Any], shape: tuple[int, ...], option: str) -> NDArray[Any]:
    """An array of the input's shape, of its flat length, or that broadcasts over its channels."""
    import numpy as np

    if values.shape == shape:
        return values
    if values.ndim == 1 and values.size == math.prod(shape):
        return values.reshape(shape)
    if len(shape) == 3 and values.shape == shape[1:]:
        return np.broadcast_to(values, shape).copy()
    raise UsageError(f"{option}: the array has shape {values.shape}; the model's input is {shape}")
