"""The words of reports: names of risks, norms, outcomes and guarantees, and text made safe to print."""

from __future__ import annotations

from netassay.numerics.norms import Norm
from netassay.results.answer import Outcome, Question
from netassay.results.guarantee import Guarantee
from netassay.results.summary import TREATMENT, GroupSummary

RISKS = {
    "robustness": "Robustness",
    "targeted": "Targeted attack",
    "gap": "Confidence gap",
    "uncertainty": "Uncertainty",
    "reachability": "Reachability of a confidence",
    "halfspaces": "Output constraints",
    "output": "Output",
    "custom": "Custom property",
}

NORMS = {Norm.L0: "L0", Norm.L1: "L1", Norm.L2: "L2", Norm.LINF: "L-infinity"}

OUTCOMES = {
    Outcome.MEASURED: "measured",
    Outcome.MISCLASSIFIED: "misclassified",
    Outcome.RISK_AT_CENTER: "risk at the input itself",
    Outcome.NO_WITNESS: "no witness found",
}

QUESTIONS = {
    Question.RADIUS: "maximum safe radius",
    Question.LIPSCHITZ: "slope Q and radius d\u2032",
    Question.REACH: "range reached",
    Question.VERIFY: "verdict on the whole region",
}

QUANTITIES = {
    "radius": "maximum safe radius",
    "slope": "slope Q",
    "d_prime": "Theorem 1's radius d\u2032",
    "minimum": "smallest value in the region",
    "maximum": "largest value in the region",
    "least": "least s in the region",
}

BADGES = {
    Guarantee.PROVED: "proved",
    Guarantee.ATTAINED: "attained",
    Guarantee.STATISTICAL: "statistical",
    Guarantee.SOLVER: "solver",
    Guarantee.HEURISTIC: "estimate",
}

GLOSSARY = (
    (
        "Attained",
        "A replayed input shows it: the witness was run again on the original model, alone, inside the region. Anyone can repeat that.",
    ),
    ("Proved", "No input of the region contradicts it, with every rounding of the arithmetic bounded."),
    ("Estimate", "A number that may be wrong in either direction. It supports no claim of safety."),
    ("Statistical", "Holds with the confidence that is stated beside it."),
    ("Solver", "The word of a solver or of a plain floating-point computation whose rounding was not bounded."),
    (
        "Witness",
        "An input near the original one that shows what is claimed: a violation of the property, a slope, or an output value. "
        "Its file holds the input, the witness and the outputs.",
    ),
    (
        "Property s(x)",
        "A number computed from the network's outputs: s \u2265 0 is safe, s < 0 is a risk. "
        "For robustness a tie (s = 0) already counts as a violation.",
    ),
    (
        "Maximum safe radius",
        "The largest distance from an input within which the property holds everywhere (DeepQuant, Definition 4). "
        "The nearest witness found bounds it from above; only a proof bounds it from below: every change within a proved radius is safe. "
        "That a search found no witness does not show that there is none.",
    ),
    (
        "Distance",
        "L-infinity: the largest change of any feature. L2: Euclidean length. L1: sum of the changes. "
        "L0: number of changed features or pixels; a witness with k changes leaves at most k \u2212 1 as a safe radius.",
    ),
    (
        "Q (Lipschitz metric)",
        "The steepest slope of s between the input and any other input of the ball (DeepQuant, Definition 6). "
        "A slope that was found bounds Q from below; only a proof bounds it from above.",
    ),
    (
        "d\u2032 (Theorem 1)",
        "s(x)/Q, at most the ball's radius. It is a safe radius only if Q is a proved upper bound. From a Q found by search it "
        "is an estimate: it bounds Theorem 1's d\u2032 from above, and the maximum safe radius on neither side.",
    ),
    (
        "Verdict",
        "Whether s is safe at every input of the region. Holds: proved, since a proved lower bound of s is safe. Holds (solver): the same "
        "by a solver's word, which is no proof. Violated: a replayed witness shows it. Unknown: neither, for the reason given.",
    ),
    ("Smallest, median and mean radius", TREATMENT),
    ("Misclassified", "The network already decides wrongly at the unchanged input. Such inputs are counted apart and enter no mean."),
    (
        "Marked witness",
        "A witness so near the decision limit that different arithmetics disagree on it, or that rounding alone could explain it.",
    ),
)


METHOD = (
    (
        "Two sides",
        "Every number of this report is known from two sides. A search looks for inputs that violate the property: each one it finds is a "
        "witness, and bounds the number from one side. A proof shows that no such input exists in a region, and bounds it from the other.",
    ),
    (
        "What a witness is worth",
        "A witness is run again on the original model, alone, and must lie in the region with no tolerance. Whoever has its file can "
        "repeat that. A violation that was found is therefore certain.",
    ),
    (
        "What a proof is worth",
        "Proved means that no input of the region contradicts it, with every rounding of the arithmetic bounded. It is about the model "
        "file named under Provenance, and about no other version of it.",
    ),
    (
        "Between the sides",
        "Where the two sides do not meet, the truth lies somewhere between them. Such inputs are called open; they count neither as safe "
        "nor as unsafe.",
    ),
    (
        "Figures of all inputs",
        "The lower side of a mean, a median or a percentile is made of proved values only, its upper side of attained ones only (of slopes "
        "and of largest values the other way round). Both are rounded outwards.",
    ),
    (
        "Accuracies",
        "Certified accuracy counts the inputs that are decided right and proved safe; attacked accuracy those that are decided right and "
        "have no witness. The true number of inputs that are right and safe lies between the two.",
    ),
    (
        "Statistical",
        "Limits for a population hold with the confidence that stands beside them: exactly for shares (Clopper-Pearson) and medians (order "
        "statistics), approximately for means (bootstrap).",
    ),
)


LONGEST = 10_000
"""Characters of one text from outside that are printed at most."""


def printable(text: object) -> str:
    """Text from outside, without control, direction-changing or half characters that could disguise it, and cut where it has no end.

    Escaping for HTML or Markdown is the task of whoever prints it.
    """
    found = str(text)
    shown = found if len(found) <= LONGEST else f"{found[:LONGEST]}\u2026"
    return shown if shown.isprintable() else "".join(c if c.isprintable() or c == " " else "\ufffd" for c in shown)


def risk_name(family: str) -> str:
    """The heading of a risk family."""
    return RISKS.get(family, printable(family).capitalize() or "Property")


def norm_name(norm: Norm | None) -> str:
    """A norm as headings print it; a plain box has none."""
    return "box" if norm is None else NORMS[norm]


def inputs(number: int) -> str:
    """``1 input``, ``7 inputs``."""
    return f"{number} input" if number == 1 else f"{number} inputs"


def regions(number: int) -> str:
    """``1 region``, ``7 regions``."""
    return f"{number} region" if number == 1 else f"{number} regions"


def title_of(group: GroupSummary) -> str:
    """The heading of a group: risk, parameters and norm."""
    spec = printable(group.spec)
    parameters = f" ({spec})" if ":" in spec else ""
    return f"{risk_name(group.risk)}{parameters}, {norm_name(group.norm)}"
