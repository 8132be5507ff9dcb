"""``--certificate`` and ``--certificates``: after a proof, the file that ``netassay check`` proves it again from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netassay.cli.options import OutputOptions
from netassay.errors import CapabilityError, NetassayError, UsageError

if TYPE_CHECKING:
    from netassay.assessment.certifying import Certificates
    from netassay.models.network import Network
    from netassay.results.answer import Answer, VerifyAnswer
    from netassay.specs.problem import Problem
    from netassay.specs.vnnlib import Specification

NAME = "certificate.cert"
"""Of the file in ``--out``."""

NOTHING = "nothing is proved that it could be about"

CertificatesOption = Annotated[
    str | None,
    typer.Option(
        "--certificates",
        metavar="none|cheap|all",
        help="Certificates in the store, for 'netassay check': of all proved answers, of none, or where they take at most a fifth of "
        "the answers' time (default: cheap, for a .onnx model).",
        rich_help_panel="Campaign",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class CertificateOptions:
    """Of what certificates are written, and where."""

    certificate: Annotated[
        str | None,
        typer.Option(
            "--certificate",
            metavar="FILE",
            help="Write what is proved into FILE, for 'netassay check'; it is proved once more for that, in as much time again.",
            rich_help_panel="Certificates",
            show_default=False,
        ),
    ] = None
    certificates: Annotated[
        str | None,
        typer.Option(
            "--certificates",
            metavar="none|cheap|all",
            help=f"Write {NAME} into --out, or one for each answer into the store: of all that is proved, of nothing, or where that "
            "takes at most a fifth of the answers' time (default: cheap, for a .onnx model, where --out or a store is named).",
            rich_help_panel="Certificates",
            show_default=False,
        ),
    ] = None

    def wanted(self, model: str, output: OutputOptions) -> Wanted:
        """What a command without a store is to write.

        Raises:
            UsageError: For what cannot be meant, or checked.
        """
        from netassay.assessment.certifying import Certificates

        policy = _policy(self.certificates, "--certificate" if self.certificate is not None else "--certificates", model)
        if self.certificate is None:
            default = Certificates.CHEAP if output.out != OutputOptions.out and _checkable(model) else Certificates.NONE
            return Wanted(policy or default, Path(output.out) / NAME, model, told=policy is not None, own=True)
        policy = policy or _policy("all", "--certificate", model) or Certificates.ALL
        if not Path(self.certificate).absolute().parent.is_dir():
            raise UsageError(f"--certificate {self.certificate}: its folder does not exist; make it first")
        return Wanted(policy, Path(self.certificate), model, told=True, own=False)

    def stored(self, model: str, network: Network) -> Certificates:
        """Of which answers of a campaign certificates are kept; raises UsageError as ``wanted`` does."""
        if self.certificate is not None:
            raise UsageError("--certificate FILE does not go with --store; --certificates all keeps one for each answer in the store")
        return stored(self.certificates, model, network)


@dataclass(frozen=True)
class Wanted:
    """What is to be written.

    Args:
        policy: Of which answers.
        path: The file.
        model: The model's file.
        told: Whether the user asked for it, and hears why there is none.
        own: Whether the file belongs to the answers in ``--out``: none of an earlier run is left beside those of this one.
    """

    policy: Certificates
    path: Path
    model: str
    told: bool
    own: bool

    def certify(self, problems: Sequence[Problem], answers: Sequence[Answer], spent: float, limit: float | None) -> None:
        """Writes the certificate of what is proved around inputs, or over a box: a case for each answer.

        Args:
            problems, answers: What was asked, and what came of it.
            spent: Seconds that the answers took.
            limit: Seconds that they might take; None for no limit.
        """
        from netassay.assessment.certifying import Certificates, certificates, joined, proved

        if self.policy is Certificates.NONE:
            return
        held = [one for p, a in zip(problems, answers, strict=False) if (one := proved(p, a)) is not None]
        if not self.told and any(answer.provenance.interrupted for answer in answers):
            held.clear()
        if not held or (reason := _other_network(self.model, problems[0].network)):
            self._none(NOTHING if not held else reason)
            return
        tried = [one for one in certificates(held, self.policy.seconds(spent, limit)) if one is not None]
        made, reasons = [one for one in tried if not one.reason], "; ".join(dict.fromkeys(one.reason for one in tried if one.reason))
        if not made:
            self._none(reasons)
            return
        size = joined(made, self.path)
        self._say(f"certificate: {self.path} ({size} bytes), of {len(made)} of {len(tried)} proved answers", reasons)

    def certify_specification(
        self, problems: Sequence[Problem], answers: Sequence[VerifyAnswer], specification: Specification, spent: float, limit: float | None
    ) -> None:
        """Writes the certificate of a specification as a whole: of all its cases, or none.

        Args:
            problems, answers: Its cases.
            specification: What the checker reads the claim from.
            spent: Seconds that the answers took.
            limit: Seconds that they might take; None for no limit.
        """
        from netassay.assessment.certifying import TOOL, Certificates, proved
        from netassay.checking.certificates.specification import of_specification
        from netassay.numerics.budget import Clock
        from netassay.verifiers.certificates.produce import write_certificate

        if self.policy is Certificates.NONE:
            return
        held = [one for p, a in zip(problems, answers, strict=False) if (one := proved(p, a)) is not None]
        if len(held) < len(problems):
            self._none("not every case of the specification is proved" if held else NOTHING)
            return
        graph, clock = problems[0].network.graph, Clock(self.policy.seconds(spent, limit))
        words, regions = f"the network satisfies the specification {problems[0].asked}", [one.problem.region for one in held]
        try:
            if graph is None:
                raise CapabilityError("the network is a black box")
            claim = replace(of_specification(graph, specification), float32=any(one.float32 for one in held))
            made = write_certificate(self.path, graph, claim, words, TOOL, regions=regions, spelled_out=False, over=lambda: clock.expired)
        except NetassayError as error:
            self._none(str(error))
            return
        if made.complete:
            self._say(f"certificate: {self.path} ({made.size} bytes)")
        else:
            self._none(f"it was not found in time ({made.reason})")

    def _none(self, why: str) -> None:
        if self.own:
            self.path.unlink(missing_ok=True)
        if self.told:
            print(f"no certificate is written into {self.path}: {why}", file=sys.stderr)

    def _say(self, text: str, reasons: str = "") -> None:
        print(text + (f"; {reasons}" if reasons and self.told else ""), file=sys.stderr)


def stored(asked: str | None, model: str, network: Network) -> Certificates:
    """Of which answers of a campaign certificates are kept, as ``--certificates`` says it.

    Raises:
        UsageError: If certificates are asked for that could not be checked.
    """
    from netassay.assessment.certifying import Certificates

    policy = _policy(asked, "--certificates", model)
    if policy is Certificates.NONE or (policy is None and not _checkable(model)):
        return Certificates.NONE
    reason = _other_network(model, network)
    if reason and policy is not None:
        raise UsageError(f"--certificates {policy}: {reason}; leave it out")
    return Certificates.NONE if reason else policy or Certificates.CHEAP


def _policy(asked: str | None, option: str, model: str) -> Certificates | None:
    """The policy that was typed, if one was; refuses what no certificate can be checked for, before anything is computed."""
    from netassay.assessment.certifying import Certificates
    from netassay.cli import parsing

    found = None if asked is None else parsing.choice(asked, Certificates, "--certificates")
    if found in (None, Certificates.NONE) or _checkable(model):
        return found
    raise UsageError(f"{option} needs a .onnx model, which 'netassay check' can read; got {model!r}")


def _checkable(model: str) -> bool:
    return model.lower().endswith(".onnx")


def _other_network(model: str, network: Network) -> str:
    """Why a certificate of this network could not be checked against the model's file; empty where it can."""
    from netassay.cli.check import graphs_of

    if network.graph is not None and network.graph.sha256 in {graph.sha256 for graph in graphs_of(model)}:
        return ""
    return f"only the network of {model} itself can be checked, and another was asked about (--mean, --std and --outputs may change it)"
