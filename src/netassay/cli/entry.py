"""The entry point of the ``netassay`` command.

In the competition of verifiers every instance is a process of its own, so that start-up counts: its usual call is read here,
without the library that builds command lines (half a second of CPU time), and only what its verdict needs is loaded.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from netassay.cli.competition import Verified, compete, verified
from netassay.cli.specifications import DEFAULT_TIMEOUT, LEAST_SECONDS, is_specification, problems_of

if TYPE_CHECKING:
    from netassay.models.network import Network

_PLAIN_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Call:
    """The usual call: ``verify MODEL.onnx SPEC.vnnlib --vnncomp``, or in the standard's form ``verify SPEC --network N=MODEL.onnx``.

    Args:
        model, spec: Files.
        timeout: Seconds from the start of the process.
        witness: Where to write a violation.
        standard: Whether it is the form of VNN-LIB 2.0, which prints the witness.
    """

    model: str
    spec: str
    timeout: float = DEFAULT_TIMEOUT
    witness: str | None = None
    standard: bool = False


def usual_call(arguments: Sequence[str]) -> Call | None:
    """What the arguments of the command ask for; None where they say anything beyond the usual call, or anything wrong.

    The general command line reads such arguments then, and says what is wrong with them.
    """
    if arguments[:1] != ["verify"]:
        return None
    options: dict[str, str] = {}
    named: list[str] = []
    words = iter(arguments[1:])
    for word in words:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            named.append(word)
        elif word == "--vnncomp":
            options[word] = ""
        elif name in ("--timeout", "--witness", "--network") and name not in options:
            options[name] = value if equals else next(words, "")
            if not options[name] or options[name].startswith("-"):
                return None
        else:
            return None
    return _call(named, options)


def _call(named: list[str], options: dict[str, str]) -> Call | None:
    standard = "--network" in options
    if standard:
        name, _, file = options["--network"].partition("=")
        named = [file, *named] if name else []
    elif "--vnncomp" not in options:
        return None
    timeout = options.get("--timeout", str(DEFAULT_TIMEOUT))
    if len(named) != 2 or not _PLAIN_NUMBER.fullmatch(timeout) or not float(timeout) > 0:
        return None
    model, spec = named
    if not model.lower().endswith(".onnx") or not is_specification(spec):
        return None
    return Call(model, spec, float(timeout), options.get("--witness"), standard)


def answered(call: Call) -> Verified:
    """The verdicts of a usual call, by the default method."""
    from netassay.assessment.light import light_network
    from netassay.assessment.verify import verify
    from netassay.numerics.budget import Budget
    from netassay.specs.vnnlib import read_vnnlib

    started = time.monotonic()
    specification = read_vnnlib(call.spec)
    network: Network | None = light_network(call.model)
    if network is None:
        from netassay.models.load import load_network

        network = load_network(call.model, outputs="values")
    problems = problems_of(network, specification, call.spec)
    seconds = max(LEAST_SECONDS, call.timeout - (time.monotonic() - started))
    return verified(specification, problems, lambda: verify(problems, budget=Budget(queries=None, seconds=seconds)))


def run(leave: Callable[[int], object] | None = None) -> None:
    """The installed command.

    Threads that wait without spinning: small batches on a busy machine are otherwise up to a thousand times slower. torch reads
    this when it is first imported, which no command does before it runs.

    Args:
        leave: Ends the process after a usual call; by default at once.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    call = usual_call(sys.argv[1:])
    if call is None:
        from netassay.cli.main import app

        app()
    else:
        (leave or _leave)(_competed(call))


def _leave(code: int) -> None:
    """Ends the process without taking apart what it has loaded, which takes a fifth of the time of an easy verdict."""
    sys.stderr.flush()
    os._exit(code)


def _competed(call: Call) -> int:
    """The exit code: 0, or what a disk that cannot be written to makes of it."""
    try:
        compete(partial(answered, call), witness=call.witness, standard=call.standard)
        sys.stdout.flush()
    except Exception as error:
        from netassay.cli.edge import failed

        return failed(error, debug=False)
    return 0
