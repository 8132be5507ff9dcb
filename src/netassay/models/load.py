"""One door for every kind of model: files, programs, the user's own code, built-ins, modules and functions."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from netassay.errors import ModelError, NetassayError, UsageError
from netassay.models.network import Network
from netassay.models.operators import Shape
from netassay.models.scores import Decision, Meaning
from netassay.numerics.box import Box

BUILTINS = ("digits-mlp", "digits-cnn")
PICKLES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib"})
KNOWN = "FILE.onnx, FILE.pt2, package.module:factory, " + ", ".join(BUILTINS)
Domain = Box | tuple[float, float]


@dataclass(frozen=True)
class _Wanted:
    """What the caller said about the model, whatever its kind."""

    domain: Domain | None
    outputs: Meaning | None
    decision: Decision
    mean: ArrayLike | None
    std: ArrayLike | None
    device: str
    shape: Shape | None = None


def load_network(
    reference: str | Path,
    *,
    input_domain: Domain | None = None,
    outputs: Meaning | str | None = None,
    decision: Decision | str = Decision.ARGMAX,
    mean: ArrayLike | None = None,
    std: ArrayLike | None = None,
    device: str = "cpu",
    trust: bool = False,
    input_shape: Sequence[int] | None = None,
) -> Network:
    """Loads a network.

    Args:
        reference: ``FILE.onnx``; ``FILE.pt2`` (``torch.export.save``); ``package.module:factory``, which runs your own
            code; or a built-in, ``digits-mlp`` or ``digits-cnn``. The factory takes nothing and returns a ``Network``; or a
            ``torch.nn.Module`` or a function on batches that has an attribute ``input_shape`` (and, if you like,
            ``input_domain``, a pair or a ``Box``); or a tuple of one of these and its input shape, or of the two and its domain.
        input_domain: Valid inputs before any preprocessing: a pair for all features, or a box. Files carry none: without it
            the domain is unbounded (built-ins: [0, 1]).
        outputs: What the outputs mean; None to go by the model (see ``heads.settle``).
        decision: Which score wins.
        mean: Normalisation put inside the network: (x - mean) / std; one number, one per channel or per feature.
        std: See ``mean``.
        device: Torch device.
        trust: Unpickle what a ``.pt2`` file holds; only for files from a source that you trust.
        input_shape: Shape of one input of a factory's model that does not state its own.
    Raises:
        ModelError: If the model cannot be read, trusted or evaluated.
        UsageError: For an unknown kind of model, or options that do not fit.
    """
    shape = None if input_shape is None else tuple(int(n) for n in input_shape)
    wanted = _Wanted(input_domain, _meaning(outputs), _decision(decision), mean, std, device, shape)
    text = str(reference)
    suffix = Path(text).suffix.lower()
    if text in BUILTINS:
        return _builtin(text, wanted)
    if suffix == ".onnx":
        return _onnx(text, wanted)
    if suffix == ".pt2":
        return _program(text, wanted, trust=trust)
    if suffix in PICKLES:
        raise ModelError(
            f"{text}: a pickle runs code when it is opened, so it is refused. Write a function that builds the module and "
            "loads its weights with torch.load(..., weights_only=True), and give package.module:function; or save the model "
            "with torch.onnx.export (.onnx) or torch.export.save (.pt2)"
        )
    if ":" in text and not Path(text).exists():
        return _factory(text, wanted)
    raise UsageError(f"unknown kind of model {text!r}; known: {KNOWN}")


def wrap(
    model: Any,
    *,
    input_shape: Sequence[int] | None = None,
    domain: Domain | None = None,
    outputs: Meaning | str | None = None,
    decision: Decision | str = Decision.ARGMAX,
    mean: ArrayLike | None = None,
    std: ArrayLike | None = None,
    device: str = "cpu",
    **options: Any,
) -> Network:
    """A network from a torch module or any function on batches.

    Args:
        model: A ``torch.nn.Module`` (see ``torch_module.from_module``), a function (see ``black_box.BlackBox``), or a network.
        input_shape: Without the batch axis; not needed where ``domain`` is a box or the model has an ``input_shape``.
        domain: Valid inputs before preprocessing: a pair for all features, or a box; unbounded by default.
        outputs: As for ``load_network``.
        decision: As for ``load_network``.
        mean: As for ``load_network``.
        std: As for ``load_network``.
        device: As for ``load_network``.
        options: Further options of ``from_module`` (``name``, ``graph``) or ``BlackBox`` (``name``, ``takes``, ``float64``, ``identity``).
    Raises:
        UsageError: If the shape is not known, or the model is neither.
        ModelError: If the model does not evaluate.
    """
    wanted = _Wanted(domain, _meaning(outputs), _decision(decision), mean, std, device)
    return _wrapped(model, None if input_shape is None else tuple(int(n) for n in input_shape), wanted, options)


def _meaning(outputs: Meaning | str | None) -> Meaning | None:
    try:
        return None if outputs is None else Meaning(outputs)
    except ValueError:
        raise UsageError(f"unknown outputs {outputs!r}; known: {', '.join(Meaning)}") from None


def _decision(decision: Decision | str) -> Decision:
    try:
        return Decision(decision)
    except ValueError:
        raise UsageError(f"unknown decision {decision!r}; known: {', '.join(Decision)}") from None


def _box(domain: Domain | None, shape: Shape) -> Box | None:
    if domain is None or isinstance(domain, Box):
        return domain
    if isinstance(domain, str) or not isinstance(domain, Sequence) or len(domain) != 2:
        raise UsageError(f"a domain is a Box or a pair (lower, upper); got {domain!r}")
    lower, upper = (np.asarray(v, dtype=np.float64) for v in domain)
    try:
        return Box(np.broadcast_to(lower, shape), np.broadcast_to(upper, shape))
    except ValueError as error:
        raise UsageError(f"a domain with corners of shapes {lower.shape} and {upper.shape} does not fit inputs of shape {shape}") from error


def _finished(network: Network, wanted: _Wanted) -> Network:
    """The network with preprocessing inside and its domain set, in that order: the domain is that of the raw inputs."""
    from netassay.models.torch_network import GraphNetwork

    if wanted.mean is not None or wanted.std is not None:
        if not isinstance(network, GraphNetwork):
            raise UsageError(
                f"{network.name}: mean and std need a network with an operator graph; normalise inside your module or function instead"
            )
        network = network.with_preprocessing(wanted.mean, wanted.std)
    box = _box(wanted.domain, network.input_shape)
    return network if box is None else network.with_domain(box)


def _builtin(name: str, wanted: _Wanted) -> Network:
    from netassay.models.builtin import builtin

    if wanted.outputs not in (None, Meaning.LOGITS) or wanted.decision is not Decision.ARGMAX:
        raise UsageError(f"{name} is a classifier that gives logits and decides by argmax; outputs and decision cannot be changed")
    return _finished(builtin(name, device=wanted.device), wanted)


def _onnx(path: str, wanted: _Wanted) -> Network:
    from netassay.models.onnx_network import load_onnx

    return _finished(load_onnx(path, outputs=wanted.outputs, decision=wanted.decision, device=wanted.device), wanted)


def _program(path: str, wanted: _Wanted, *, trust: bool) -> Network:
    from netassay.models.program_file import load_program
    from netassay.models.torch_module import from_program

    notes = ("loaded as trusted: what the file pickles was unpickled",) if trust else ()
    program = load_program(path, trust=trust)
    network = from_program(
        program, name=Path(path).name, outputs=wanted.outputs, decision=wanted.decision, device=wanted.device, notes=notes
    )
    return _finished(network, wanted)


def _factory(reference: str, wanted: _Wanted) -> Network:
    """Calls the user's factory; the current folder can be imported from, as with ``python -m``."""
    module_name, _, attribute = reference.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with redirect_stdout(sys.stderr):  # stdout belongs to the answer
            made = getattr(importlib.import_module(module_name), attribute)()
    except NetassayError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"{reference}: the model factory failed: {type(error).__name__}: {error}; known kinds of model: {KNOWN}"
        ) from error
    shape: Shape | None = None
    if isinstance(made, tuple):
        made, shape, wanted = _unpacked(reference, made, wanted)
    network = _wrapped(made, shape, wanted, {})
    network.notes = (*network.notes, f"{reference}: the model comes from your own code, which was run")
    return network


def _unpacked(reference: str, made: tuple[Any, ...], wanted: _Wanted) -> tuple[Any, Shape, _Wanted]:
    if len(made) not in (2, 3) or not isinstance(made[1], Sequence) or not all(isinstance(n, int) for n in made[1]):
        raise ModelError(f"{reference}: returned a tuple of {len(made)}; expected (model, input shape) or (model, input shape, domain)")
    if len(made) == 3 and wanted.domain is None:
        wanted = replace(wanted, domain=made[2])
    return made[0], tuple(made[1]), wanted


def _wrapped(model: Any, shape: Shape | None, wanted: _Wanted, options: dict[str, Any]) -> Network:
    if isinstance(model, Network):
        if options or wanted.outputs is not None or wanted.decision is not Decision.ARGMAX:
            raise UsageError(f"{model.name} is a network already: its outputs, decision and kind are settled")
        return _finished(model, wanted)
    if not callable(model):
        raise UsageError(f"expected a torch module, a function on batches or a network; got {type(model).__name__}")
    domain = wanted.domain if wanted.domain is not None else getattr(model, "input_domain", None)
    shape = shape or (domain.shape if isinstance(domain, Box) else _declared_shape(model, wanted.shape))
    kind = _from_module if _is_module(model) else _from_function
    return kind(model, _box(domain, shape) or Box.unbounded(shape), wanted, options)


def _is_module(model: Any) -> bool:
    """Whether it is a torch module, without importing torch for what cannot be one."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _declared_shape(model: Any, otherwise: Shape | None) -> Shape:
    declared = getattr(model, "input_shape", otherwise)
    if declared is None:
        raise UsageError(
            f"the input shape of {type(model).__name__} is not known: set its attribute input_shape, let the factory return "
            "(model, input_shape), or in Python give input_shape= or a domain that is a Box of that shape"
        )
    return tuple(int(n) for n in declared)


def _from_module(model: Any, box: Box, wanted: _Wanted, options: dict[str, Any]) -> Network:
    from netassay.models.torch_module import from_module

    raw = Box.unbounded(box.shape) if wanted.mean is not None or wanted.std is not None else box
    network = from_module(model, domain=raw, outputs=wanted.outputs, decision=wanted.decision, device=wanted.device, **options)
    return _finished(network, _Wanted(box, None, wanted.decision, wanted.mean, wanted.std, wanted.device))


def _from_function(model: Any, box: Box, wanted: _Wanted, options: dict[str, Any]) -> Network:
    from netassay.models.black_box import BlackBox

    if wanted.mean is not None or wanted.std is not None:
        raise UsageError("mean and std need a network with an operator graph; normalise inside your function instead")
    return BlackBox(model, box, outputs=wanted.outputs, decision=wanted.decision, device=wanted.device, **options)
