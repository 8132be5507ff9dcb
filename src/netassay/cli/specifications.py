"""Verdicts on VNN-LIB specifications: one problem per input box, and what the neural network verification competition calls the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from netassay.errors import DataError, InconsistentClaimsError

if TYPE_CHECKING:
    from netassay.models.network import Network
    from netassay.results.answer import VerifyAnswer
    from netassay.results.bracket import Bracket
    from netassay.results.verdicts import Conclusion
    from netassay.results.witness import Witness
    from netassay.specs.problem import Problem
    from netassay.specs.vnnlib import Case, Specification

SUFFIXES = (".vnnlib", ".vnnlib.gz")
VERSION_2 = "2.0"
TIME_OUT = "time-out"
DEFAULT_TIMEOUT = 60.0
"""Seconds for one question where the command line limits nothing."""
LEAST_SECONDS = 0.01
"""Left to a question whose time is used up before it begins: enough to say so."""
EXCLUDED = "limit: the point found violates the closed conditions only, not the strict or rounded ones of the specification"


def is_specification(name: str) -> bool:
    """Whether a file is a VNN-LIB specification, by its name."""
    return name.lower().endswith(SUFFIXES)


def problems_of(network: Network, specification: Specification, name: str) -> list[Problem]:
    """One problem per case, all under the specification's name; the index is that of the case where there are several.

    Raises:
        DataError: If the network has other numbers of inputs or outputs.
    """
    from netassay.numerics.box import Box
    from netassay.specs.problem import Problem

    shape, outputs = network.input_shape, network.output_size
    if (specification.inputs, specification.outputs) != (prod(shape), outputs):
        raise DataError(
            f"{name} is about {specification.inputs} inputs and {specification.outputs} outputs; {network.name} has {prod(shape)} "
            f"(of shape {shape}) and {outputs}: take the specification that belongs to the network"
        )
    found = []
    for i, case in enumerate(specification.cases):
        box = Box(case.box.lower.reshape(shape), case.box.upper.reshape(shape))
        index = i if len(specification.cases) > 1 else None
        found.append(Problem(network, box, case.unsafe, index, asked=Path(name).name))
    return found


def settled(answers: Sequence[VerifyAnswer], problems: Sequence[Problem], specification: Specification) -> list[VerifyAnswer]:
    """The answers, with violations withdrawn whose witness the specification itself, read exactly, does not admit.

    Problems are closed and rounded outwards, so that what is proved of them holds for the file; a violation of them need not be one.
    A witness on the very edge is moved onto the file's own numbers, and replayed again, first.
    """
    cases = specification.cases
    return [_settled(a, problems[i], cases[0 if len(cases) == 1 else i if a.index is None else a.index]) for i, a in enumerate(answers)]


def _settled(answer: VerifyAnswer, problem: Problem, case: Case) -> VerifyAnswer:
    from netassay.results.answer import Verdict

    if answer.verdict is not Verdict.VIOLATED or (answer.witness is not None and _admitted(case, answer.witness)):
        return answer
    moved = None if answer.witness is None else _moved(answer.witness, problem, case)
    if moved is None:
        return replace(answer, verdict=Verdict.UNKNOWN, reason=EXCLUDED)
    return replace(answer, witness=moved, bracket=_with_value(answer.bracket, moved.value))


def _admitted(case: Case, witness: Witness) -> bool:
    return case.admits(witness.point.reshape(-1), witness.outputs)


def _moved(witness: Witness, problem: Problem, case: Case) -> Witness | None:
    """The witness on the nearest point that the file's own numbers allow, replayed; None if it is no violation there."""
    import numpy as np

    from netassay.checking.replay import Replayer

    low, high = case.nearest.lower, case.nearest.upper
    low, high = np.where(case.strict_lower, np.nextafter(low, np.inf), low), np.where(case.strict_upper, np.nextafter(high, -np.inf), high)
    point = np.clip(np.asarray(witness.point, dtype=np.float64).reshape(-1), low, high).reshape(witness.point.shape)
    replayer = Replayer(problem.network)
    replay = replayer.replay(problem, point)
    if not replay.confirmed or not all(replay.violated.values()):
        return None
    moved = replayer.witness(problem, point, replay)
    return moved if _admitted(case, moved) else None


def _with_value(bracket: Bracket, value: float) -> Bracket:
    """The bracket whose attained side is what the moved witness attains."""
    upper = bracket.upper
    return bracket if upper is None else replace(bracket, upper=replace(upper, value=value))


def violation(answers: Sequence[VerifyAnswer]) -> VerifyAnswer | None:
    """The first violation."""
    from netassay.results.answer import Verdict

    return next((a for a in answers if a.verdict is Verdict.VIOLATED), None)


def competition_word(conclusion: Conclusion, version: str) -> str:
    """What the competition calls the outcome: ``sat`` is a violation, ``unsat`` a proof; a solver's word is no proof, so ``unknown``."""
    from netassay.results.guarantee import Guarantee
    from netassay.specs.vnnlib_witness import TO_VNNCOMP, TO_VNNLIB_2

    unproved = conclusion.word == "holds" and conclusion.guarantee is not Guarantee.PROVED
    late = conclusion.word == "unknown" and conclusion.reason.startswith(TIME_OUT)
    return (TO_VNNLIB_2 if version == VERSION_2 else TO_VNNCOMP)["timeout" if late else "unknown" if unproved else conclusion.word]


def competition_witness(violated: VerifyAnswer, specification: Specification) -> str:
    """``sat`` and the witness of a violation as the specification's version of VNN-LIB writes it."""
    from netassay.specs.vnnlib_witness import format_assignment, format_witness

    witness = violated.witness
    if witness is None:
        raise InconsistentClaimsError("a violation has no witness; please report this")
    if specification.version != VERSION_2:
        return format_witness(witness.point, witness.outputs)
    values = [float(v) for v in (*witness.point.reshape(-1), *witness.outputs.reshape(-1))]
    sizes = [prod(variable.shape) for variable in specification.variables]
    ends = list(accumulate(sizes))
    return format_assignment([(v, values[end - n : end]) for v, n, end in zip(specification.variables, sizes, ends, strict=True)])
