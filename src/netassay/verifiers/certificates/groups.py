"""Certificates by groups of ReLUs that read the same few inputs: linear forms from a decomposition, tried with the checker's own bounds."""

from __future__ import annotations

import numpy as np

from netassay.checking.certificates.container import Record
from netassay.checking.certificates.groups import Groups, group_bound
from netassay.checking.certificates.records import group_arrays
from netassay.errors import CapabilityError, DataError
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.claim import Claim
from netassay.verifiers.decomposition import Decomposition, ascended
from netassay.verifiers.decomposition_cells import Cells, cut_inputs
from netassay.verifiers.decomposition_sums import Sums, sums_of
from netassay.verifiers.propagation.root import part_of_rows
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import Array


def prove_by_groups(claim: Claim, region: Regions, proof: CaseProof, options: Decomposition) -> None:
    """Closes those open parts for which a decomposition is good enough; none where the network is not of its kind.

    Args:
        claim: The case's claim.
        region: Its region.
        proof: Where records go.
        options: Steps of the ascent, and how finely cells are cut.
    """
    try:
        sums = sums_of(claim, region)
    except CapabilityError:
        return
    owner = part_of_rows(claim)
    for parts in options.parts:
        for part in sorted(proof.open):
            for place, row in enumerate(np.flatnonzero(owner == part).tolist()):
                if proof.over():
                    return
                if _closes(proof, part, place, _groups(sums, row, parts, options.steps, proof)):
                    break


def _groups(sums: Sums, row: int, parts: int, steps: int, proof: CaseProof) -> Groups:
    """The groups of a row, with good slopes as a file holds them."""
    with np.errstate(all="ignore"):
        whole, cells = Cells.of(sums, sums.weights[row], 1), Cells.of(sums, sums.weights[row], parts)
        found = ascended(sums, row, cells, whole.slope[:, 0], steps, proof.over)
    slopes = np.nan_to_num(found, posinf=0.0, neginf=0.0).astype(np.float32).astype(np.float64)
    pieces = np.ones(sums.reads.shape, dtype=np.intp)
    np.put_along_axis(pieces, cut_inputs(sums, sums.weights[row], parts), parts, axis=1)
    there = sums.reads < len(sums.low) - 1
    begin = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return Groups(sums.reads[there], begin, slopes[there], pieces[there], _members(sums))


def _members(sums: Sums) -> dict[int, tuple[Positions, Positions]]:
    """The numbers of each value that are in groups, and which group each is in."""
    found = {}
    for value in np.unique(sums.source[sums.source >= 0]).tolist():
        group, place = np.nonzero(sums.source == value)
        found[value] = sums.unit[group, place], group
    return found


def _closes(proof: CaseProof, part: int, place: int, groups: Groups) -> bool:
    """Whether the checker's bound proves a part by its row ``place``; the record is written then."""
    weights = (np.arange(len(proof.case.parts[part].constants)) == place).astype(np.float32)
    try:
        bound: Array = np.asarray(group_bound(proof.whole, groups, proof.means([part], [weights])))
    except DataError:  # more cells or members than the checker takes
        return False
    if not proof.holds(bound):
        return False
    proof.emit(Record({"record": "groups", "part": part}, group_arrays(groups) | {"weights": weights}))
    proof.open.discard(part)
    return True
