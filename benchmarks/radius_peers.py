"""The attack library Foolbox on the radius problems: its minimal perturbations, at equal numbers of points evaluated.

Every point that an attack asks about is seen by a watching module, which counts it and keeps the nearest one that is
decided otherwise, whether or not the attack returns it. The budget ends an attack by an exception, so none can spend more. What
was kept is judged in float64, as witnesses are, and a point on the boundary is moved out as far as that takes.

Attacks that need one start from the nearest of the other inputs that is decided otherwise (our searches start from
nothing). Attacks whose inputs influence each other in a batch are given one input at a time.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netassay.assessment.assess import problems as bound_problems
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.models.torch_module import from_module
from netassay.numerics.box import Box
from netassay.numerics.norms import Norm
from netassay.specs.problem import Problem
from netassay.specs.risks import parse_risk

INSTALLED = all(importlib.util.find_spec(name) is not None for name in ("foolbox", "numba"))

BACK_OFF = (1.0, 1 + 1e-6, 1 + 1e-5, 1 + 1e-4, 1 + 1e-3, 1 + 1e-2)
"""How far a point on the boundary is moved outwards until float64 sees the other decision."""

HALVINGS = 12
"""Attacks at a fixed radius: how often the radius is halved between success and failure."""


class BudgetSpent(Exception):  # noqa: N818
    """Raised into an attack at its last point."""


class Watch(nn.Module):
    """The network on inputs scaled to [0, 1], with a count and a memory.

    Args:
        problems: One problem for each row of every batch.
        limit: Points allowed per problem.

    Attributes:
        labels: (N,) decisions at the centres; centers: (N, *shape) them.
        asked, differentiated: Points evaluated, and those of them whose gradient was taken, per problem.
        points: (N, *shape) nearest points decided otherwise, as the network saw them; the centres where there is none.
    """

    def __init__(self, problems: Sequence[Problem], limit: int) -> None:
        super().__init__()
        self.network, self._norm, self._limit = problems[0].network, problems[0].ball.p, limit
        self._low, self._high = _edges(self.network)
        self._lower, self._upper = (torch.tensor(side, dtype=torch.float32) for side in _domain(self.network))
        self.labels = torch.tensor([_label(problem) for problem in problems])
        self.centers = torch.as_tensor(np.stack([p.center for p in problems]), dtype=torch.float32)
        self.points, self.asked, self.differentiated = self.centers.clone(), 0, 0
        self._nearest = torch.full((len(problems),), torch.inf)

    def scaled(self, points: Tensor) -> Tensor:
        """Points (N, *shape) of the network's units in [0, 1]."""
        return ((points - self._low) / (self._high - self._low)).clamp(0, 1)

    def forward(self, scaled: Tensor) -> Tensor:
        """Logits (N, labels)."""
        assert len(scaled) == len(self.centers), "each row of a batch belongs to the problem of the same place"
        if self.asked >= self._limit:
            raise BudgetSpent
        self.asked += 1
        points = torch.minimum(torch.maximum(scaled * (self._high - self._low) + self._low, self._lower), self._upper)
        logits = self.network.scores(points, Scale.LOGITS)
        if logits.requires_grad:
            logits.register_hook(self._count_gradient)  # type: ignore[no-untyped-call]
        self._remember(points.detach(), logits.detach())
        return logits

    def _count_gradient(self, gradient: Tensor) -> Tensor:
        self.differentiated += 1
        return gradient

    def _remember(self, points: Tensor, logits: Tensor) -> None:
        offsets = (points - self.centers).flatten(1)
        distance = self._norm.length(offsets)
        closer = (distance < self._nearest) & (margins(logits, self.labels) <= 0)
        self._nearest = torch.where(closer, distance, self._nearest)
        self.points[closer] = points[closer]


def _edges(network: Network) -> tuple[float, float]:
    """The smallest interval that holds every feature's: Foolbox knows one interval for all."""
    return float(network.domain.lower.min()), float(network.domain.upper.max())


def _domain(network: Network) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return network.domain.lower, network.domain.upper


def _label(problem: Problem) -> int:
    return int(problem.property.parameters()["label"])


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """(N,) by how much the logit of each row's label exceeds all others."""
    own = logits.gather(1, labels.unsqueeze(1)).squeeze(1)
    return own - logits.scatter(1, labels.unsqueeze(1), -torch.inf).amax(dim=1)


@dataclass(frozen=True, eq=False)
class Setting:
    """What an attack is given.

    Args:
        model: Foolbox's view of the watched network.
        inputs, starts: (N, *shape) in [0, 1]: where to begin from and, for attacks that need it, points decided otherwise.
        labels: (N,) decisions at the inputs.
        norm: What to minimise.
        queries: Points allowed per input.
    """

    model: Any
    inputs: Tensor
    labels: Tensor
    starts: Tensor
    norm: Norm
    queries: int

    def run(self, attack: Any, **options: Any) -> None:
        """Runs an attack on the inputs."""
        attack.run(self.model, self.inputs, self.labels, **options)


@dataclass(frozen=True)
class Peer:
    """One attack.

    Args:
        norms: What it minimises.
        run: Runs it.
        gradients: Whether it asks for gradients.
        alone: Whether it is given one input at a time.
        slow: Whether 10,000 points take it minutes.
    """

    norms: tuple[str, ...]
    run: Callable[[Setting], None]
    gradients: bool = True
    alone: bool = False
    slow: bool = False


def _attack_named(name: str, **options: Any) -> Any:
    return getattr(importlib.import_module("foolbox").attacks, name)(**options)


def _fast_minimum_norm(setting: Setting) -> None:
    kind = {Norm.LINF: "LInf", Norm.L2: "L2", Norm.L1: "L1", Norm.L0: "L0"}[setting.norm]
    setting.run(_attack_named(f"{kind}FMNAttack", steps=setting.queries))


def _decoupled(setting: Setting) -> None:
    setting.run(_attack_named("DDNAttack", steps=setting.queries))


def _carlini_wagner(setting: Setting) -> None:
    setting.run(_attack_named("L2CarliniWagnerAttack", steps=setting.queries // 9))  # nine searches, by default


def _elastic_net(setting: Setting) -> None:
    setting.run(_attack_named("EADAttack", steps=setting.queries // 9, decision_rule="L1"))


def _brendel_bethge(setting: Setting) -> None:
    kind = {Norm.LINF: "Linfinity", Norm.L2: "L2", Norm.L1: "L1", Norm.L0: "L0"}[setting.norm]
    setting.run(_attack_named(f"{kind}BrendelBethgeAttack", steps=setting.queries), starting_points=setting.starts)


def _projected_gradient(setting: Setting) -> None:
    """Bisection over the radius, one attack from a random start at each."""
    kind = {Norm.LINF: "LinfPGD", Norm.L2: "L2PGD", Norm.L1: "SparseL1DescentAttack"}[setting.norm]
    steps = max(1, setting.queries // HALVINGS - 1)
    attack = _attack_named(kind, steps=steps, rel_stepsize=2.5 / steps**0.5, random_start=True)  # nearer than with 2.5 / steps
    low, high = 0.0, float(setting.norm.length((setting.starts - setting.inputs).flatten(1)))
    for _ in range(HALVINGS):
        radius = (low + high) / 2
        found = attack.run(setting.model, setting.inputs, setting.labels, epsilon=radius)
        wrong = bool(margins(setting.model(found), setting.labels) <= 0)
        low, high = (low, radius) if wrong else (radius, high)


def _boundary(setting: Setting) -> None:
    setting.run(_attack_named("BoundaryAttack", steps=setting.queries), starting_points=setting.starts)


def _hop_skip_jump(setting: Setting) -> None:
    attack = _attack_named("HopSkipJumpAttack", steps=setting.queries, constraint=str(setting.norm))
    setting.run(attack, starting_points=setting.starts)


def _pointwise(setting: Setting) -> None:
    setting.run(_attack_named("PointwiseAttack"), starting_points=setting.starts)


PEERS: dict[str, Peer] = {
    "FMN": Peer(("linf", "l2", "l1", "l0"), _fast_minimum_norm),
    "DDN": Peer(("l2",), _decoupled),
    "Carlini-Wagner": Peer(("l2",), _carlini_wagner, alone=True, slow=True),
    "elastic net": Peer(("l1",), _elastic_net, alone=True, slow=True),
    "Brendel-Bethge": Peer(("linf", "l2", "l1", "l0"), _brendel_bethge, alone=True, slow=True),
    "PGD, bisected": Peer(("linf", "l2", "l1"), _projected_gradient, alone=True, slow=True),
    "Boundary": Peer(("l2",), _boundary, gradients=False, alone=True, slow=True),
    "HopSkipJump": Peer(("linf", "l2"), _hop_skip_jump, gradients=False, alone=True),
    "Pointwise": Peer(("l1", "l0"), _pointwise, gradients=False, alone=True),
}


@functools.cache
def warm_up(name: str, norm: Norm) -> None:
    """Lets an attack compile what it compiles, on two inputs of a tiny network, so that nobody's time is charged with it."""
    torch.manual_seed(0)
    network = from_module(nn.Linear(4, 2), (4,), domain=Box.filled((4,), 0, 1), name="warm up")
    inputs = np.random.default_rng(0).random((8, 4), dtype=np.float32).astype(np.float64)
    distances(PEERS[name], bound_problems(network, inputs, None, risk=parse_risk("robustness"), norm=norm)[:2], 30, 0)


def distances(peer: Peer, problems: Sequence[Problem], queries: int, seed: int) -> tuple[NDArray[np.float64], float, float]:
    """Distance (N,) of the nearest confirmed witness of each problem, inf where none; mean points and mean gradients per problem."""
    starts = _starts(problems)
    groups = [[i] for i in range(len(problems))] if peer.alone else [list(range(len(problems)))]
    found, asked, differentiated = np.full(len(problems), np.inf), 0, 0
    for group in groups:
        watch = Watch([problems[i] for i in group], queries)
        _attack(peer, watch, starts[group], problems[group[0]].ball.p, queries, seed)
        asked, differentiated = asked + watch.asked * len(group), differentiated + watch.differentiated * len(group)
        for i, point in zip(group, watch.points.numpy(), strict=True):
            found[i] = _confirmed(problems[i], point)
    return found, asked / len(problems), differentiated / len(problems)


def _attack(peer: Peer, watch: Watch, starts: Tensor, norm: Norm, queries: int, seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what Foolbox draws from)
    model = importlib.import_module("foolbox").PyTorchModel(watch.eval(), bounds=(0, 1), device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            peer.run(Setting(model, watch.scaled(watch.centers), watch.labels, watch.scaled(starts), norm, queries))
        except BudgetSpent:
            return
        except (AssertionError, ValueError, RuntimeError, np.linalg.LinAlgError) as error:  # what it found until then counts
            print(f"    {peer.run.__name__.strip('_')} gave up: {type(error).__name__} {error}", flush=True)


def _starts(problems: Sequence[Problem]) -> Tensor:
    """For each problem the nearest other input that is decided otherwise (N, *shape)."""
    network, rng = problems[0].network, np.random.default_rng(0)
    centers = np.stack([p.center for p in problems])
    drawn = rng.uniform(*_domain(network), (1000, *network.input_shape))
    pool = torch.as_tensor(np.concatenate([centers, drawn]), dtype=torch.float32)
    with torch.no_grad():
        logits = torch.cat([network.scores(pool[i : i + 100], Scale.LOGITS) for i in range(0, len(pool), 100)])
    chosen = []
    for problem in problems:
        away = _norms(problem, pool)
        away[margins(logits, torch.full((len(pool),), _label(problem))) >= 0] = torch.inf
        chosen.append(pool[int(away.argmin())])
    return torch.stack(chosen)


def _norms(problem: Problem, points: Tensor) -> Tensor:
    offsets = (points - torch.tensor(problem.center, dtype=points.dtype)).flatten(1)
    lengths: Tensor = problem.ball.p.length(offsets)
    return lengths


@functools.cache
def _float64(network: Network) -> Network:
    return network.in_float64() or network


def _confirmed(problem: Problem, point: NDArray[np.float32]) -> float:
    """The distance of the point, or of the same a little further out, at which float64 decides otherwise; inf where it does not."""
    center, domain = problem.center, problem.network.domain
    if np.array_equal(point, center.astype(point.dtype)):
        return float("inf")
    for factor in BACK_OFF:
        moved = np.clip(center + (point - center) * factor, domain.lower, domain.upper)
        with torch.no_grad():
            logits = _float64(problem.network).scores(torch.as_tensor(moved[None]), Scale.LOGITS)
        if bool(margins(logits, torch.tensor([_label(problem)])) <= 0):
            return float(problem.ball.distance(moved[None])[0])
    return float("inf")
