"""Replays points on the original model: nothing is called a witness before this agrees.

A point is judged alone (batch of one), in region and domain with zero tolerance in float64, and its value is
recomputed by every engine there is: the network in its own dtype, the network in float64, and, for
models read from a file, an independent evaluator of that file (onnxruntime where it is installed).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.errors import ModelError, NotFiniteError
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.results.guarantee import Arithmetic
from netassay.results.witness import Replay, Witness
from netassay.specs.labelling import risk_class
from netassay.specs.problem import Problem
from netassay.specs.regions import Box

Array = NDArray[np.float64]

REMEMBERED = 32
"""Outputs that a replayer keeps at hand."""


def rounding_of(arithmetic: Arithmetic) -> float:
    """How much of its size a value evaluated in that arithmetic may be off by rounding alone."""
    return 1e-9 if arithmetic is Arithmetic.FLOAT64 else 2e-5


@dataclass(frozen=True)
class Engine:
    """One way to evaluate the model: raw outputs (N, m) in float64 of points (N, *shape), one point at a time."""

    name: str
    arithmetic: Arithmetic
    outputs: Callable[[NDArray[np.floating]], Array]

    @property
    def rounding(self) -> float:
        """How much of a value's size this engine may differ from another by rounding alone."""
        return rounding_of(self.arithmetic)


class Replayer:
    """The engines of one network, and what they say of a point.

    Attributes:
        exact: The engine whose values are reported: float64 where the network has it, else its own dtype.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        own = _own(network)
        double = network if network.dtype == "float64" else network.in_float64()
        doubles = [] if double is None or double is network else [Engine("torch-float64", Arithmetic.FLOAT64, _torch_outputs(double))]
        originals = [Engine(name, _arithmetic(name), call) for name, call in network.originals().items()]
        self.engines: list[Engine] = [own, *doubles, *originals]
        self.exact = doubles[0] if doubles else own
        self._remembered: dict[tuple[str, bytes], Array] = {}

    def values(self, problem: Problem, points: NDArray[np.floating], engine: Engine | None = None) -> Array:
        """s at points (N, *shape) by one engine (the exact one by default); NaN where the network gives NaN."""
        return self._expression(problem, (engine or self.exact).outputs(points))

    def _expression(self, problem: Problem, outputs: Array) -> Array:
        scores = self.network.convention.scores(outputs, problem.property.on)
        return np.asarray(problem.property.values(scores), dtype=np.float64)

    def outputs(self, point: NDArray[np.floating], engine: Engine | None = None) -> Array:
        """Raw outputs (m,) at one point (exact engine by default); the last few are remembered, since centres come again and again."""
        engine = engine or self.exact
        key = (engine.name, np.asarray(point, dtype=np.float64).tobytes())
        if key not in self._remembered:
            while len(self._remembered) >= REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
            self._remembered[key] = engine.outputs(point[None])[0]
        return self._remembered[key]

    def value(self, problem: Problem, point: NDArray[np.floating], engine: Engine | None = None) -> float:
        """s at one point, remembered like ``outputs``."""
        return float(self._expression(problem, self.outputs(point, engine)[None])[0])

    def replay(
        self, problem: Problem, point: NDArray[np.floating], bears_out: Callable[[Engine, float, float], bool] | None = None
    ) -> Replay:
        """Evaluates ``point`` and the centre on every engine.

        Args:
            problem: What the point is a witness in.
            point: One input, model shape.
            bears_out: Given engine, s(point) and s(center), whether they bear out the claim; None where the claim
                is the violation itself.
        """
        region = problem.region
        inside = bool(region.contains(np.asarray(point, dtype=np.float64)[None])[0])
        values = {e.name: self.value(problem, point, e) for e in self.engines}
        violated = {name: problem.property.is_violated(value) for name, value in values.items()}
        claim = None
        if bears_out is not None:
            center = problem.center.astype(point.dtype)
            at_center = {e.name: self.value(problem, center, e) for e in self.engines}
            claim = all(bears_out(e, values[e.name], at_center[e.name]) for e in self.engines)
        return Replay(values, inside, violated, claim)

    def settled(self, problem: Problem, point: NDArray[np.floating], bears_out: Callable[[Engine, float, float], bool]) -> Witness | None:
        """The witness of a claim that the exact engine bears out; marked where another one does not; None otherwise."""
        replay = self.replay(problem, point, bears_out)
        if not replay.confirmed:
            exact = self.replay(problem, point, lambda engine, value, center: engine is not self.exact or bears_out(engine, value, center))
            if not exact.confirmed:
                return None
        return self.witness(problem, point, replay)

    def witness(self, problem: Problem, point: NDArray[np.floating], replay: Replay) -> Witness:
        """The witness record of a replayed point: outputs, distance, label and risk class."""
        region = problem.region
        exact = np.asarray(point, dtype=np.float64)
        outputs = self.outputs(point)
        distance = None if isinstance(region, Box) else float(region.distance(exact[None])[0])
        value = replay.values[self.exact.name]
        label = self._label(outputs)
        center_label = self._label(self.outputs(problem.center))
        risk = risk_class(problem.property, self.network, outputs, center_label, replay.violated[self.exact.name])
        return Witness(np.array(point), outputs, distance, value, label, risk, replay, self._mark(replay))

    def _label(self, outputs: Array) -> int | None:
        if not self.network.labels:
            return None
        return int(np.argmax(self.network.convention.scores(outputs, Scale.LOGITS)))

    def _mark(self, replay: Replay) -> str:
        """Why the point is near the limit, if it is."""
        if replay.claim is False:
            return f"engines differ by more than the rounding allowed for: the value is that of {self.exact.name}"
        if not replay.agreed:
            return "engines disagree on the sign of s: the point is within their rounding of the limit"
        noise = _noise(self.network.dtype) * max(1.0, max(abs(v) for v in replay.values.values()))
        if self.exact.arithmetic is not Arithmetic.FLOAT64 and abs(replay.values[self.exact.name]) <= noise:
            return f"near the limit: the model has no float64 evaluation and |s| is within its rounding ({noise:.1e})"
        return ""


def _own(network: Network) -> Engine:
    """The network in its own dtype: by numpy where it offers that, by torch otherwise."""
    plain = network.by_numpy()
    if plain is not None:
        return Engine(f"numpy-{network.dtype}", Arithmetic(network.dtype), plain)
    return Engine(f"torch-{network.dtype}", Arithmetic(network.dtype), _torch_outputs(network))


def _arithmetic(name: str) -> Arithmetic:
    """Engines are named ``engine-dtype``; anything else counts as unchecked."""
    dtype = name.rpartition("-")[2]
    return Arithmetic(dtype) if dtype in set(Arithmetic) else Arithmetic.UNCHECKED


def _noise(dtype: str) -> float:
    return 1e-5 if dtype == "float32" else 1e-13


def _torch_outputs(network: Network) -> Callable[[NDArray[np.floating]], Array]:
    def call(points: NDArray[np.floating]) -> Array:
        import torch  # proofs on small networks do without it

        dtype = torch.float32 if network.dtype == "float32" else torch.float64
        rows = torch.tensor(np.asarray(points), dtype=dtype, device=network.device)
        with torch.no_grad():
            outputs = torch.cat([network.outputs(rows[i : i + 1]) for i in range(len(rows))])
        return np.asarray(outputs.cpu().numpy(), dtype=np.float64)

    return call


def require_repeatable(replayer: Replayer, center: Array, *, times: int = 3) -> None:
    """Raises ModelError if the network's own outputs at one input differ from call to call by more than rounding."""
    own = replayer.engines[0]
    seen = np.stack([own.outputs(np.asarray(center)[None])[0] for _ in range(times)])
    spread = float(np.ptp(seen, axis=0).max()) if np.isfinite(seen).all() else 0.0
    if spread > 1e-5 * max(1.0, float(np.abs(seen).max(initial=0.0, where=np.isfinite(seen)))):
        raise ModelError(
            f"{replayer.network.name} gives other outputs each time it is asked about one input (they differ by {spread:.2g}): no witness "
            "could be replayed; fix its seed, or switch dropout and other noise off"
        )


def classify(replayer: Replayer, center: Array) -> Array:
    """Raw outputs (m,) at a centre by the exact engine; raises NotFiniteError where they are NaN or infinite."""
    outputs = replayer.outputs(center)
    if not np.isfinite(outputs).all():
        raise NotFiniteError(f"the network gives {outputs}: nothing can be measured around an input without finite outputs")
    return outputs
