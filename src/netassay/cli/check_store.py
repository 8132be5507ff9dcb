"""``netassay check STORE MODEL``: all certificates of a campaign, each against the answer that it is kept for."""

from __future__ import annotations

import json as json_text
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netassay._version import __version__
from netassay.cli.delivery import now
from netassay.cli.exit_codes import ExitCode
from netassay.cli.progress import now_and_then
from netassay.cli.stored import campaign_of, convention_of
from netassay.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netassay.checking.certificates.statement import Statement
    from netassay.models.graph import Graph
    from netassay.results.answer import Answer
    from netassay.store import Campaign
    from netassay.store.certificates import Check, Kept
    from netassay.store.store import Store

CHECKER = f"netassay check {__version__}"
MAGIC = b"SQLite format 3\0"
TOLD = 20
"""Rejected certificates that are told one by one."""


@dataclass(frozen=True)
class Found:
    """One certificate and what checking it found."""

    answer: Answer
    kept: Kept
    check: Check


def is_store(reference: str) -> bool:
    """Whether that names a store rather than a certificate."""
    if "://" in reference:
        return True
    try:
        with Path(reference).open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def check_store(reference: str, graphs: Sequence[Graph], *, number: int | None, exact: bool, json: bool, arithmetic: str) -> ExitCode:
    """Checks the certificates of a campaign and adds to the store what that found, one by one; says what it came to.

    Args:
        reference: The store.
        graphs: Forms of the model.
        number: Of the campaign; None for the last one.
        exact: Whether to compute in rational numbers.
        json: Whether to print one JSON object.
        arithmetic: The numbers in words.
    Raises:
        UsageError: If the model is not the one that the campaign asked about: its certificates are not to blame for that.
    """
    from netassay.results.proofs import is_proved
    from netassay.store.writer import open_writer

    found: list[Found] = []
    with open_writer(reference) as writer:
        store = writer.store()
        campaign = campaign_of(store, number, reference, quiet=json)
        checking = _Checking(store, campaign, graphs, exact, arithmetic, store.outputs(campaign.id))
        pairs = list(store.certified(campaign.id))
        if any(kept is not None and kept.file is not None for _, kept in pairs):
            _require_own(campaign, graphs)
        files, due = sum(kept is not None and kept.file is not None for _, kept in pairs), now_and_then()
        rejected = 0
        for answer, kept in pairs:
            if kept is not None and kept.file is not None:
                seen = checking.check(answer, kept.file)
                writer.check(kept, seen)
                found.append(Found(answer, kept, seen))
                rejected += not seen.accepted
                if not json and not seen.accepted and rejected <= TOLD:
                    print(f"REJECTED: {_named(answer)}: {seen.reason}", file=sys.stderr)
                if not json and due():
                    print(f"{len(found):,} of {files:,} checked, {rejected:,} rejected", file=sys.stderr, flush=True)
    proved = sum(is_proved(answer) for answer, _ in pairs)
    if json:
        print(json_text.dumps(_document(reference, campaign, found, len(pairs), proved), indent=2, allow_nan=False))
    else:
        _tell(campaign, found, len(pairs), proved)
    if any(not f.check.accepted for f in found):
        return ExitCode.VIOLATION
    return ExitCode.OK if found else ExitCode.UNKNOWN


@dataclass(frozen=True)
class _Checking:
    """Checks the certificates of one campaign.

    Args:
        store, campaign: Where they are kept.
        graphs: Forms of the model.
        exact, arithmetic: In which numbers.
        outputs: The network's outputs at the inputs, by the index of the input.
    """

    store: Store
    campaign: Campaign
    graphs: Sequence[Graph]
    exact: bool
    arithmetic: str
    outputs: Mapping[int, NDArray[np.float64]]

    def check(self, answer: Answer, file: str) -> Check:
        """What checking one certificate finds; a file that is damaged is rejected like one that proves nothing."""
        from netassay.checking.certificates.reading import check_certificate
        from netassay.store.certificates import Check

        begun, reason, leaves = time.monotonic(), "", 0
        try:
            with tempfile.TemporaryDirectory(prefix="netassay-") as folder:
                path = Path(folder) / "certificate"
                path.write_bytes(self.store.file(file))
                outcome = check_certificate(path, self.graphs, None, exact=self.exact)
            reason, leaves = outcome.checked.reason, outcome.checked.leaves
            if outcome.checked.accepted:
                reason = self._difference(outcome.statement, answer)
        except InputError as error:
            reason = str(error)
        return Check(
            accepted=not reason,
            reason=reason,
            checker=CHECKER,
            arithmetic=self.arithmetic,
            leaves=leaves,
            checked=now(),
            seconds=time.monotonic() - begun,
        )

    def _difference(self, statement: Statement | None, answer: Answer) -> str:
        from netassay.checking.answered import Setting, difference

        shown, outputs = self.campaign.presentation, None if answer.index is None else self.outputs.get(answer.index)
        convention = convention_of(self.campaign)
        if statement is None or outputs is None or convention is None:
            return "whether it is about this answer cannot be seen: the store does not say what the network's outputs are"
        return difference(statement, answer, Setting(convention, outputs, shown.lower, shown.upper, shown.scale))


def _require_own(campaign: Campaign, graphs: Sequence[Graph]) -> None:
    """Raises UsageError if none of the model's forms is the network of the campaign."""
    from netassay.models.network import identity
    from netassay.reports.wording import printable

    convention = convention_of(campaign)
    if convention is not None and campaign.model_sha256 not in {identity(graph.sha256, convention) for graph in graphs}:
        raise UsageError(
            f"MODEL is another network than that of campaign {campaign.id}, which asked about {printable(campaign.model)} "
            f"(SHA-256 {printable(campaign.model_sha256[:16])}...); name its file, or another campaign (--campaign N)"
        )


def _named(answer: Answer) -> str:
    from netassay.results.summary import question_of

    words = f"{question_of(answer)} of input {answer.index}, {answer.risk.spec}, {answer.region.norm}"
    return words.encode("ascii", "replace").decode("ascii")


def _tell(campaign: Campaign, found: Sequence[Found], answers: int, proved: int) -> None:
    accepted = [f for f in found if f.check.accepted]
    seconds, leaves = sum(f.check.seconds for f in found), sum(f.check.leaves for f in found)
    print(f"campaign {campaign.id}: {answers:,} answers, {proved:,} of them proved; {len(found):,} have certificates")
    print(f"{len(accepted):,} ACCEPTED, {len(found) - len(accepted):,} REJECTED; {leaves:,} leaves in {seconds:.2f} s")
    for reason, count in Counter(f.check.reason for f in found if not f.check.accepted).most_common(TOLD):
        print(f"  {count:,} x {reason.encode('ascii', 'replace').decode('ascii')}")


def _document(reference: str, campaign: Campaign, found: Sequence[Found], answers: int, proved: int) -> dict[str, Any]:
    accepted = sum(f.check.accepted for f in found)
    return {
        "store": reference,
        "campaign": campaign.id,
        "answers": answers,
        "proved": proved,
        "certificates": len(found),
        "accepted": accepted,
        "rejected": len(found) - accepted,
        "checker": CHECKER,
        "checks": [
            {
                "index": f.answer.index,
                "answer": _named(f.answer),
                "file": f.kept.file,
                "accepted": f.check.accepted,
                "reason": f.check.reason,
                "leaves": f.check.leaves,
                "seconds": round(f.check.seconds, 4),
            }
            for f in found
        ],
    }
