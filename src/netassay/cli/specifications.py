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
    from netassay.results.verdicts import Conclusion
    from netassay.specs.problem import Problem
    from netassay.specs.vnnlib import Case, Specification

SUFFIXES = (".vnnlib", ".vnnlib.gz")
VERSION_2 = "2.0"
TIME_OUT = "time-out"
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


def settled(answers: Sequence[VerifyAnswer], specification: Specification) -> list[VerifyAnswer]:
    """The answers, with violations withdrawn whose witness the specification itself, read exactly, does not admit.

    Problems are closed and rounded outwards, so that what is proved of them holds for the file; a violation of them need not be one.
    """
    if len(specification.cases) == 1:
        return [_settled(answer, specification.cases[0]) for answer in answers]
    return [_settled(a, specification.cases[i if a.index is None else a.index]) for i, a in enumerate(answers)]


def _settled(answer: VerifyAnswer, case: Case) -> VerifyAnswer:
    from netassay.results.answer import Verdict

    witness = answer.witness
    if answer.verdict is not Verdict.VIOLATED or (witness is not None and case.admits(witness.point.reshape(-1), witness.outputs)):
        return answer
    return replace(answer, verdict=Verdict.UNKNOWN, reason=EXCLUDED)


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
