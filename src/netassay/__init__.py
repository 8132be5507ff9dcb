"""netassay: how safe a neural network is, in two-sided answers.

An answer has an attained side, shown by a witness that anybody can replay, and a proved side. The names below
are loaded when they are first used: importing netassay imports neither torch nor anything else that is heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netassay._version import __version__

if TYPE_CHECKING:
    from netassay.api import assess as assess
    from netassay.api import lipschitz as lipschitz
    from netassay.api import methods as methods
    from netassay.api import radius as radius
    from netassay.api import reach as reach
    from netassay.api import report as report
    from netassay.api import stream as stream
    from netassay.api import verification_methods as verification_methods
    from netassay.api import verify as verify
    from netassay.models.load import load_network as load
    from netassay.models.load import wrap as Network
    from netassay.models.scores import Scale as Scale
    from netassay.numerics.box import Box as Box
    from netassay.numerics.budget import Budget as Budget
    from netassay.numerics.norms import Norm as Norm
    from netassay.results.answer import Question as Question
    from netassay.results.answer import Verdict as Verdict
    from netassay.specs.confidence_gap import ConfidenceGap as ConfidenceGap
    from netassay.specs.custom import Custom as Custom
    from netassay.specs.datasets import load_data as load_data
    from netassay.specs.halfspaces import OutputHalfspaces as OutputHalfspaces
    from netassay.specs.reachability import Output as Output
    from netassay.specs.reachability import Reachability as Reachability
    from netassay.specs.regions import Ball as Ball
    from netassay.specs.risks import parse_risk as risk
    from netassay.specs.robustness import Robustness as Robustness
    from netassay.specs.uncertainty import Uncertainty as Uncertainty
    from netassay.specs.vnnlib import read_vnnlib as read_vnnlib

_HOMES = {
    "Ball": "netassay.specs.regions:Ball",
    "Box": "netassay.numerics.box:Box",
    "Budget": "netassay.numerics.budget:Budget",
    "ConfidenceGap": "netassay.specs.confidence_gap:ConfidenceGap",
    "Custom": "netassay.specs.custom:Custom",
    "Network": "netassay.models.load:wrap",
    "Norm": "netassay.numerics.norms:Norm",
    "Output": "netassay.specs.reachability:Output",
    "OutputHalfspaces": "netassay.specs.halfspaces:OutputHalfspaces",
    "Question": "netassay.results.answer:Question",
    "Reachability": "netassay.specs.reachability:Reachability",
    "Robustness": "netassay.specs.robustness:Robustness",
    "Scale": "netassay.models.scores:Scale",
    "Uncertainty": "netassay.specs.uncertainty:Uncertainty",
    "Verdict": "netassay.results.answer:Verdict",
    "assess": "netassay.api:assess",
    "lipschitz": "netassay.api:lipschitz",
    "load": "netassay.models.load:load_network",
    "load_data": "netassay.specs.datasets:load_data",
    "methods": "netassay.api:methods",
    "radius": "netassay.api:radius",
    "read_vnnlib": "netassay.specs.vnnlib:read_vnnlib",
    "reach": "netassay.api:reach",
    "report": "netassay.api:report",
    "risk": "netassay.specs.risks:parse_risk",
    "stream": "netassay.api:stream",
    "verification_methods": "netassay.api:verification_methods",
    "verify": "netassay.api:verify",
}
"""Where each public name is defined."""

__all__ = [
    "Ball",
    "Box",
    "Budget",
    "ConfidenceGap",
    "Custom",
    "Network",
    "Norm",
    "Output",
    "OutputHalfspaces",
    "Question",
    "Reachability",
    "Robustness",
    "Scale",
    "Uncertainty",
    "Verdict",
    "__version__",
    "assess",
    "lipschitz",
    "load",
    "load_data",
    "methods",
    "radius",
    "reach",
    "read_vnnlib",
    "report",
    "risk",
    "stream",
    "verification_methods",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'netassay' has no attribute {name!r}; public are {', '.join(__all__)}")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
