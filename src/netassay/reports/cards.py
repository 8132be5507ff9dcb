"""One card per input: the input beside its witnesses, what changed, and how the search got there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from netassay.numerics.norms import Norm
from netassay.reports import images, plots
from netassay.reports.figures import count, duration, figure, upper
from netassay.reports.images import Difference, Picture
from netassay.reports.presentation import Presentation, probabilities
from netassay.reports.saliency import SaliencyMap, saliency_map
from netassay.reports.text import label_name, outcome_cell, place, verdict_cell
from netassay.reports.wording import BADGES, norm_name, printable
from netassay.results.answer import Answer, LipschitzAnswer, RadiusAnswer, ReachAnswer, TargetResult, Verdict, VerifyAnswer
from netassay.results.bracket import Bracket
from netassay.results.guarantee import Guarantee
from netassay.results.summary import shows
from netassay.results.trace import Trace
from netassay.results.witness import Witness

MOST_FEATURES = 12
MOST_LABELS = 5
STRIP_PIXELS = 96


@dataclass(frozen=True, slots=True)
class Change:
    """One changed feature."""

    name: str
    before: str
    after: str
    change: str
    scaled: str
    share: float


@dataclass(frozen=True, slots=True)
class Share:
    """The probability of one label, before (None where not known) and after, in per cent."""

    label: str
    before: str | None
    after: str
    share_before: float
    share_after: float


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the search's way."""

    picture: Picture | None
    s: str
    alt: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values of one point, as a description list."""

    pairs: tuple[tuple[str, str], ...]
    marked: str
    file: str | None


@dataclass(frozen=True, slots=True)
class Point:
    """One witness beside its input."""

    heading: str
    facts: Facts
    before: Picture | None
    after: Picture | None
    difference: Difference | None
    saliency: SaliencyMap | None
    limit: str
    magnified: str
    captions: tuple[str, str, str]
    changes: tuple[Change, ...]
    changed: int
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Rival:
    """One rival label of a verification that was split by labels."""

    label: str
    lead: str
    end: str
    time: str


@dataclass(frozen=True, slots=True)
class Card:
    """All there is to see of one answer; ``verdict`` is empty for questions that have none."""

    heading: str
    outcome: str
    verdict: str
    points: tuple[Point, ...]
    rivals: tuple[Rival, ...]
    frames: tuple[Frame, ...]
    trace: Markup | None
    trace_caption: str


def card(answer: Answer, show: Presentation, files: Mapping[str, str]) -> Card:
    """The card of one answer that ``tells`` something.

    Args:
        answer: The answer.
        show: How to show it.
        files: Path of each stored witness, by its sha256.
    """
    label = label_name(answer.label, show.label_names)
    trace, caption = _trace(answer)
    return Card(
        heading=place(answer) + (f", decided {label}" if label else ""),
        outcome=outcome_cell(answer),
        verdict=verdict_cell(answer),
        points=tuple(_point(answer, w, heading, show, files) for heading, w in shown_witnesses(answer)),
        rivals=tuple(_rival(answer, t, show) for t in answer.targets) if isinstance(answer, VerifyAnswer) else (),
        frames=_frames(answer, show),
        trace=trace,
        trace_caption=caption,
    )


def tells(answer: Answer) -> bool:
    """Whether an answer has more to show than its row in the table."""
    return bool(shown_witnesses(answer)) or (isinstance(answer, VerifyAnswer) and bool(answer.targets))


def shown_witnesses(answer: Answer) -> list[tuple[str, Witness]]:
    """The witnesses that a card shows, with their headings; the falling slope only where it is not the steepest."""
    found: list[tuple[str, Witness | None]] = []
    if isinstance(answer, RadiusAnswer):
        found = [("Nearest witness", answer.witness)]
    elif isinstance(answer, LipschitzAnswer):
        same = answer.witness is not None and answer.falling_witness is not None and answer.witness.sha256 == answer.falling_witness.sha256
        found = [("Steepest slope", answer.witness), ("Steepest fall", None if same else answer.falling_witness)]
    elif isinstance(answer, ReachAnswer):
        found = [("Smallest value reached", answer.minimum_witness), ("Largest value reached", answer.maximum_witness)]
    elif isinstance(answer, VerifyAnswer):
        found = [("Violation" if answer.verdict is Verdict.VIOLATED else "Smallest value reached, no violation", answer.witness)]
    return [(heading, w) for heading, w in found if w is not None and shows(w)]


def _rival(answer: VerifyAnswer, target: TargetResult, show: Presentation) -> Rival:
    end = str(target.verdict)
    if target.discarded:
        end += ", by the first bounds"
    elif target.verdict is Verdict.HOLDS and (known := target.guarantee or answer.guarantee) is not Guarantee.PROVED:
        end += f" ({'not rated' if known in (None, Guarantee.ATTAINED) else BADGES[known]})"
    lead = "" if target.upper is None else upper(target.upper)
    return Rival(label_name(target.label, show.label_names), lead, end, duration(target.seconds))


def _point(answer: Answer, witness: Witness, heading: str, show: Presentation, files: Mapping[str, str]) -> Point:
    before = after = None
    changed_picture: Difference | None = None
    if show.image_layout is not None:
        shown = images.value_range(answer.center, witness.point)
        before = images.picture(answer.center, show.image_layout, shown)
        after = images.picture(witness.point, show.image_layout, shown)
        changed_picture = images.difference(answer.center, witness.point, show.image_layout, shown)
    changes, changed = ((), 0) if show.image_layout is not None else _changes(answer.center, witness.point, show)
    return Point(
        heading=heading,
        facts=Facts(_facts(answer, witness, show), printable(witness.marked), files.get(witness.sha256)),
        before=before,
        after=after,
        difference=changed_picture,
        saliency=saliency_map(answer, show),
        limit="" if changed_picture is None else figure(changed_picture.limit),
        magnified="" if changed_picture is None else figure(changed_picture.magnified, digits=2),
        captions=_captions(answer, witness, show),
        changes=changes,
        changed=changed,
        shares=_shares(answer, witness, show),
    )


def _captions(answer: Answer, witness: Witness, show: Presentation) -> tuple[str, str, str]:
    before, after = label_name(answer.label, show.label_names), label_name(witness.label, show.label_names)
    return (f"Input: {before}" if before else "Input", f"Witness: {after}" if after else "Witness", "Difference")


def _facts(answer: Answer, witness: Witness, show: Presentation) -> tuple[tuple[str, str], ...]:
    before, after = label_name(answer.label, show.label_names), label_name(witness.label, show.label_names)
    verdict = "borne out by every engine" if witness.replay.confirmed else "engines disagree"
    pairs = [
        ("Decision", f"{before} \u2192 {after}" if before != after else f"{before} (unchanged)") if after else None,
        (f"Distance ({norm_name(answer.region.norm)})", _distance(witness.distance, answer)) if witness.distance is not None else None,
        ("s at the input", figure(answer.center_value)),
        ("s at the witness", figure(witness.value)),
        ("Kind of risk", str(witness.risk).replace("-", " ")) if _violates(answer) else None,
        ("Replay", f"{verdict} ({', '.join(sorted(witness.replay.values))})"),
    ]
    return tuple(p for p in pairs if p is not None)


def _violates(answer: Answer) -> bool:
    """Whether the witness is one of a violation, whose kind matters."""
    return isinstance(answer, RadiusAnswer) or (isinstance(answer, VerifyAnswer) and answer.verdict is Verdict.VIOLATED)


def _distance(distance: float, answer: Answer) -> str:
    if answer.region.norm is Norm.L0:
        return f"{count(distance)} changed"
    return upper(distance) + (" in scaled units" if answer.region.scaled else "")


def _changes(before: NDArray[np.floating], after: NDArray[np.floating], show: Presentation) -> tuple[tuple[Change, ...], int]:
    """The largest changes, by size in units of the scale where there is one, and how many there are."""
    old, new = (np.asarray(v, dtype=np.float64).reshape(-1) for v in (before, after))
    change = new - old
    scale = show.scale_of(before.shape)
    size = np.abs(change if scale is None else change / scale)
    order = [int(i) for i in np.argsort(-size, kind="stable") if size[i] > 0]
    rows = tuple(
        Change(
            name=printable(show.feature_name(i, before.shape)),
            before=f"{old[i]:.5g}",
            after=f"{new[i]:.5g}",
            change=f"{'+' if change[i] > 0 else ''}{figure(float(change[i]))}",
            scaled="" if scale is None else f"{'+' if change[i] > 0 else ''}{figure(float(change[i] / scale[i]))}",
            share=float(np.sign(change[i]) * size[i] / size[order[0]]),
        )
        for i in order[:MOST_FEATURES]
    )
    return rows, len(order)


def _shares(answer: Answer, witness: Witness, show: Presentation) -> tuple[Share, ...]:
    """Probabilities of the labels that matter most at the witness or at the input."""
    if show.output_meaning is None:
        return ()
    after = probabilities(witness.outputs, show.output_meaning, show.decision)
    raw = None if answer.index is None else show.outputs_before.get(answer.index)
    before = None if raw is None else probabilities(raw, show.output_meaning, show.decision)
    if after is None or (before is not None and len(before) != len(after)):
        return ()
    weight = after if before is None else np.maximum(before, after)
    order = sorted(np.argsort(-weight, kind="stable")[:MOST_LABELS].tolist(), key=lambda i: -after[i])
    return tuple(
        Share(
            label_name(i, show.label_names),
            None if before is None else _per_cent(float(before[i])),
            _per_cent(float(after[i])),
            0.0 if before is None else float(before[i]),
            float(after[i]),
        )
        for i in order
    )


def _per_cent(share: float) -> str:
    """A probability with one decimal; never rounded to certainty."""
    if 0 < share < 5e-4:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"


def _frames(answer: Answer, show: Presentation) -> tuple[Frame, ...]:
    """The way of the search from the input to the best point (DeepQuant, Fig. 11), for uncertainty and for ranges.

    A search for a near witness of another risk passes through far points that would only confuse.
    """
    frames: Sequence[tuple[float, NDArray[np.floating]]] = answer.frames
    if not frames or not (isinstance(answer, ReachAnswer) or answer.risk.name == "uncertainty"):
        return ()
    if not np.array_equal(frames[0][1], answer.center):
        frames = [(answer.center_value, answer.center), *frames]
    shown = images.value_range(*(point for _, point in frames))
    found = []
    for i, (s, point) in enumerate(frames):
        where = "the input" if i == 0 else f"step {i} of the search"
        small = None if show.image_layout is None else images.picture(point, show.image_layout, shown, longest=STRIP_PIXELS)
        found.append(Frame(small, figure(s), f"{where}, s = {figure(s)}"))
    return tuple(found)


def _trace(answer: Answer) -> tuple[Markup | None, str]:
    """The anytime trace of the answer's quantity."""
    drawn: list[tuple[Trace, Bracket]] = []
    title, caption = "", ""
    if isinstance(answer, RadiusAnswer):
        drawn, title = [(answer.trace, answer.bracket)], "radius, upper side"
        caption = "Nearest violation found so far, against the queries spent. Only the last point is shown as a witness."
    elif isinstance(answer, LipschitzAnswer):
        drawn, title = [(answer.trace, answer.bracket)], "Q, lower side"
        caption = "Steepest slope found so far, against the queries spent."
    elif isinstance(answer, ReachAnswer):
        drawn, title = [(answer.minimum_trace, answer.minimum), (answer.maximum_trace, answer.maximum)], "values reached"
        caption = "Smallest and largest value reached so far, against the queries spent."
    elif isinstance(answer, VerifyAnswer):
        drawn, title = [(answer.trace, answer.bracket)], "min s, upper side"
        caption = "Smallest value of s reached so far, against the queries spent."
    traces, brackets = [t for t, _ in drawn], [b for _, b in drawn]
    if any(p.lower is not None and p.upper is not None for t in traces for p in t):
        title = "both sides"
        proved = any(s is not None and s.guarantee is Guarantee.PROVED for b in brackets for s in (b.lower, b.upper))
        caption += " Green: what was proved so far." if proved else ""
    return plots.trace_plot(traces, value_title=title, label=f"{caption} {place(answer)}.", brackets=brackets), caption
