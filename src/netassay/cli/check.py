"""``netassay check``: are certificates proofs? Independent of all that finds proofs; needs no torch."""

from __future__ import annotations

import json as json_text
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netassay.cli.check_store import check_store, is_store
from netassay.cli.exit_codes import ExitCode
from netassay.cli.options import DebugOption, JsonOption
from netassay.cli.stored import CampaignOption
from netassay.errors import UsageError

if TYPE_CHECKING:
    from netassay.checking.certificates.reading import CertificateOutcome
    from netassay.models.graph import Graph

CertificateArgument = Annotated[
    str,
    typer.Argument(
        metavar="CERTIFICATE|STORE", help="A file of --certificate, or a store: all certificates of a campaign.", show_default=False
    ),
]
OnnxArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The .onnx file that it is about.", show_default=False)]
SpecificationArgument = Annotated[
    str | None,
    typer.Argument(metavar="SPEC", help="The .vnnlib specification, if it is about one; else it spells its claim out.", show_default=False),
]
ExactOption = Annotated[bool, typer.Option("--exact", help="Compute in rational numbers: for small networks.")]


def check(
    certificate: CertificateArgument,
    model: OnnxArgument,
    spec: SpecificationArgument = None,
    exact: ExactOption = False,
    campaign: CampaignOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> ExitCode:
    """Proves again what a certificate claims: ACCEPTED with the claim, or REJECTED with what fails first (exit code 1).

    Nothing that the file computed is believed; it only says how the region is divided and which slopes and multipliers to use.
    Of a store every certificate is compared with its answer too, and what was found is kept there, for 'netassay report'.
    """
    from netassay.checking.certificates.reading import check_certificate
    from netassay.checking.certificates.specification import of_specification
    from netassay.specs.vnnlib import read_vnnlib

    if not model.lower().endswith(".onnx"):
        raise UsageError(f"MODEL has to be a .onnx file; got {model!r}")
    if is_store(certificate):
        if spec is not None:
            raise UsageError(f"the certificates of a store spell their claims out; leave out {spec}")
        return check_store(certificate, graphs_of(model), number=campaign, exact=exact, json=json, arithmetic=_arithmetic(exact))
    if campaign is not None:
        raise UsageError(f"--campaign goes with a store; {certificate} is none")
    begun = time.monotonic()
    specification = None if spec is None else read_vnnlib(spec)
    specified = None if specification is None else (lambda graph: of_specification(graph, specification))
    found = check_certificate(certificate, graphs_of(model), specified, exact=exact)
    seconds = time.monotonic() - begun
    if json:
        print(json_text.dumps(_document(certificate, found, exact, seconds), indent=2, allow_nan=False))
    else:
        _tell(found, exact, seconds)
    return ExitCode.OK if found.checked.accepted else ExitCode.VIOLATION


def graphs_of(model: str) -> list[Graph]:
    """The network of a file, as it is and without a final softmax or sigmoid."""
    from netassay.models.heads import settle
    from netassay.models.onnx_reader import read_onnx

    graph = read_onnx(model).graph
    settled = settle(graph, None).graph
    return [graph] if settled is graph else [graph, settled]


def _arithmetic(exact: bool) -> str:
    return "rational numbers" if exact else "float64, every rounding bounded"


def _document(certificate: str, found: CertificateOutcome, exact: bool, seconds: float) -> dict[str, Any]:
    statement = found.statement
    return {
        "certificate": certificate,
        "accepted": found.checked.accepted,
        "reason": found.checked.reason,
        "claim": [] if statement is None else statement.symbols(),
        "words": found.claim,
        "float32": None if statement is None else statement.float32,
        "assumed": found.assumed,
        "network_sha256": None if statement is None else statement.network_sha256,
        "claim_sha256": None if statement is None else statement.sha256,
        "arithmetic": _arithmetic(exact),
        "leaves": found.checked.leaves,
        "seconds": round(seconds, 3),
    }


def _tell(found: CertificateOutcome, exact: bool, seconds: float) -> None:
    checked, statement = found.checked, found.statement
    print("ACCEPTED" if checked.accepted else f"REJECTED: {checked.reason}")
    if statement is not None:
        level = "as float32 evaluates it" if statement.float32 else "in real arithmetic"
        print(f"claim, for the network {statement.network_sha256[:16]}... {level}:" if checked.accepted else "what it claims:")
        for line in statement.symbols():
            print(f"  {line}")
    if found.assumed:
        print(f"  assuming that {found.assumed}")
    print(f"  in the words of its author, which nobody checks: {found.claim.encode('ascii', 'replace').decode('ascii')}")
    print(f"{checked.leaves} leaves in {seconds:.2f} s, in {_arithmetic(exact)}")
