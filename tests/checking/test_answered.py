"""A claim is taken for an answer's only if it says all that the answer says: exactly, whatever falls short by the least bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from netassay.assessment.ask import ask
from netassay.assessment.assess import problems
from netassay.assessment.certifying import proved
from netassay.assessment.verify import verify
from netassay.checking.answered import Setting, difference
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.scores import Scores
from netassay.checking.certificates.slope_claims import Slopes
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.scores import Decision, Meaning, OutputConvention
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, LipschitzAnswer, Question, RadiusAnswer, Verdict, VerifyAnswer
from netassay.specs.problem import Problem
from netassay.specs.risks import parse_risk

POINT = np.array([[0.7, 0.4, 0.2, 0.05]])


def network(outputs: int = 3, convention: OutputConvention | None = None) -> GraphNetwork:
    rng = np.random.default_rng(5)
    builder = GraphBuilder((4,))
    hidden = builder.add(op.Dense(rng.integers(-3, 4, (6, 4)) / 4.0, rng.integers(-2, 3, 6) / 4.0), 0)
    value = builder.add(op.Dense(rng.integers(-3, 4, (outputs, 6)) / 4.0, np.zeros(outputs)), builder.add(nl.Relu(), hidden))
    return GraphNetwork(builder.build(value), name="small", convention=convention or OutputConvention(), domain=Box.filled((4,), 0.0, 1.0))


def asked(
    question: Question, norm: str = "linf", risk: str = "robustness", radius: float = 0.02, net: GraphNetwork | None = None
) -> Problem:
    net = net or network()
    limit = None if question is Question.RADIUS else radius
    return problems(net, POINT, None, risk=parse_risk(risk), norm=norm, radius=limit, indices=[7])[0]


def answered(question: Question, problem: Problem) -> Answer:
    if question is Question.VERIFY:
        return verify([problem], budget=Budget(seconds=20.0))[0]
    return ask(question, [problem], budget=Budget(queries=200), seed=1, prover="auto")[0]


def setting(problem: Problem) -> Setting:
    net = problem.network
    outputs = net.in_float64().outputs(torch.tensor(problem.center[None]))[0].detach().numpy().astype(np.float64)
    return Setting(net.convention, outputs, net.domain.lower, net.domain.upper, None)


def claimed(problem: Problem, answer: Answer) -> Statement:
    held = proved(problem, answer)
    assert held is not None, answer
    return held.statement()


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("question", [Question.VERIFY, Question.RADIUS, Question.REACH, Question.LIPSCHITZ])
def test_what_is_proved_of_an_answer_is_about_it(question: Question, norm: str) -> None:
    problem = asked(question, norm, risk="robustness@logits")
    answer = answered(question, problem)
    assert difference(claimed(problem, answer), answer, setting(problem)) == ""


VALUED = ("robustness", "robustness:0.001", "gap:runner-up", "reachability:0:above:0.99")


@pytest.mark.parametrize(
    ("question", "risk"), [(q, risk) for q in (Question.LIPSCHITZ, Question.REACH) for risk in (*VALUED, "uncertainty:0.5")]
)
def test_values_and_slopes_of_probabilities(question: Question, risk: str) -> None:
    problem = asked(question, risk=risk)
    answer = answered(question, problem)
    statement, about = claimed(problem, answer), setting(problem)
    assert difference(statement, answer, about) == ""
    turned = replace(about, convention=OutputConvention(decision=Decision.ARGMIN), outputs=-about.outputs)
    assert difference(statement, answer, turned) != ""
    (case,) = statement.cases
    for one in range(len(case.parts) if len(case.parts) > 1 else 0):
        less = replace(case, parts=case.parts[:one] + case.parts[one + 1 :])
        assert difference(replace(statement, cases=(less,)), answer, about) != ""


def test_slopes_of_divergences_have_to_be_those_of_the_divergence() -> None:
    problem = asked(Question.LIPSCHITZ, risk="uncertainty:0.001")
    answer = answered(Question.LIPSCHITZ, problem)
    statement, about = claimed(problem, answer), setting(problem)
    assert difference(statement, answer, about) == ""
    (given,) = statement.cases[0].parts
    for rows, constants in (
        (given.rows * 0.5, given.constants),
        (given.rows * [1, 1, 1 - 1e-9], given.constants),
        (np.repeat(given.rows, 2, axis=0), np.repeat(given.constants, 2)),
        (given.rows, given.constants + 1e-9),
    ):
        other = replace(statement.cases[0], parts=(Part(rows, constants),))
        assert difference(replace(statement, cases=(other,)), answer, about) != ""
    twice = replace(statement.cases[0], parts=(given, given))
    assert difference(replace(statement, cases=(twice,)), answer, about) != ""


@pytest.mark.parametrize("side", [0, 1])
def test_ranges_of_divergences_have_to_be_as_narrow(side: int) -> None:
    problem = asked(Question.REACH, risk="uncertainty:0.5")
    answer = answered(Question.REACH, problem)
    statement, about = claimed(problem, answer), setting(problem)
    given = statement.cases[0].parts
    for change in (lambda p: Part(p.rows, p.constants + 1e-8), lambda p: Part(p.rows - 1e-12, p.constants)):
        parts = tuple(change(p) if i == side else p for i, p in enumerate(given))
        assert difference(replace(statement, cases=(replace(statement.cases[0], parts=parts),)), answer, about) != ""


LOGITS = ("robustness", "robustness:0.001@logits", "gap:runner-up", "gap:smallest@logits", "reachability:0:above:9@logits")
PROBABILITIES = ("robustness:0.001", "gap:runner-up:1e-4", "reachability:0:above:0.99", "reachability:1:below:1e-4", "uncertainty:1e-4")


@pytest.mark.parametrize("risk", [*LOGITS, *PROBABILITIES])
def test_risks(risk: str) -> None:
    problem = asked(Question.VERIFY, risk=risk)
    answer = answered(Question.VERIFY, problem)
    assert difference(claimed(problem, answer), answer, setting(problem)) == ""


@pytest.mark.parametrize(
    "convention",
    [OutputConvention(decision=Decision.ARGMIN), OutputConvention(Meaning.BINARY_LOGIT)],
)
def test_conventions(convention: OutputConvention) -> None:
    net = network(1 if convention.meaning is Meaning.BINARY_LOGIT else 3, convention)
    problem = asked(Question.VERIFY, net=net, radius=0.005)
    answer = answered(Question.VERIFY, problem)
    statement = claimed(problem, answer)
    assert difference(statement, answer, setting(problem)) == ""
    other = replace(setting(problem), outputs=-setting(problem).outputs)
    assert difference(statement, answer, other) != ""


def part(statement: Statement, change: Callable[[Part], Part]) -> Statement:
    (case,) = statement.cases
    return replace(statement, cases=(Case(case.region, (change(case.parts[0]), *case.parts[1:])),))


def region(statement: Statement, change: Callable[[Region], Region]) -> Statement:
    (case,) = statement.cases
    return replace(statement, cases=(Case(change(case.region), case.parts),))


def raised(values: np.ndarray, at: int, to: float) -> np.ndarray:
    found = values.copy()
    found[at] = np.nextafter(found[at], to)
    return found


SHORT: dict[str, Callable[[Statement], Statement]] = {
    "not strict": lambda s: replace(s, strict=False),
    "one comparison less": lambda s: replace(s, cases=(Case(s.cases[0].region, s.cases[0].parts[1:]),)),
    "another comparison": lambda s: part(s, lambda p: Part(-p.rows, p.constants)),
    "one bit less": lambda s: part(s, lambda p: Part(p.rows, np.nextafter(p.constants, np.inf))),
    "either of two": lambda s: part(s, lambda p: Part(np.repeat(p.rows, 2, axis=0), np.repeat(p.constants, 2))),
    "no case": lambda s: replace(s, cases=()),
    "two cases": lambda s: replace(s, cases=s.cases * 2),
    "lower corner": lambda s: region(s, lambda r: replace(r, lower=raised(raised(raised(r.lower, 1, 1.0), 1, 1.0), 1, 1.0))),
    "upper corner": lambda s: region(s, lambda r: replace(r, upper=raised(raised(raised(r.upper, 2, 0.0), 2, 0.0), 2, 0.0))),
    "elsewhere": lambda s: region(s, lambda r: replace(r, lower=r.lower + 0.5, upper=r.upper + 0.5)),
    "other inputs": lambda s: replace(s, inputs=3, cases=(Case(Region(np.zeros(3), np.ones(3)), s.cases[0].parts),)),
}


@pytest.mark.parametrize("kind", SHORT)
def test_less_is_not_enough(kind: str) -> None:
    problem = asked(Question.VERIFY)
    answer = answered(Question.VERIFY, problem)
    assert difference(SHORT[kind](claimed(problem, answer)), answer, setting(problem)) != ""


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_balls_have_to_be_those_of_the_answer(norm: str) -> None:
    problem = asked(Question.RADIUS, norm)
    answer = answered(Question.RADIUS, problem)
    statement, about = claimed(problem, answer), setting(problem)
    ball = statement.cases[0].region.ball
    assert ball is not None
    for other in (
        replace(ball, radius=float(np.nextafter(ball.radius, 0.0))),
        replace(ball, norm=3 - ball.norm),
        replace(ball, center=raised(ball.center, 0, 1.0)),
        replace(ball, scale=ball.scale * 0.5),
    ):
        assert difference(region(statement, lambda r, b=other: replace(r, ball=b)), answer, about) != ""
    larger = region(statement, lambda r: replace(r, ball=replace(ball, radius=ball.radius * 2), lower=np.zeros(4), upper=np.ones(4)))
    assert difference(larger, answer, about) == "", "a larger region says more"


def test_l0_balls() -> None:
    problem = asked(Question.VERIFY, "l0", risk="gap:0:1@logits", radius=1.0)
    answer = answered(Question.VERIFY, problem)
    statement, about = claimed(problem, answer), setting(problem)
    assert difference(statement, answer, about) == ""
    two = replace(answer, region=replace(answer.region, radius=2.0))
    assert "smaller radius" in difference(statement, two, about)
    within = region(statement, lambda r: replace(r, upper=np.where(np.arange(4) == 3, 0.5, r.upper)))
    assert "4 may change" in difference(within, answer, about), "a pixel may take any value of the domain"


def test_the_arithmetic_has_to_be_that_of_the_answer() -> None:
    problem = asked(Question.VERIFY)
    real = answered(Question.VERIFY, problem)
    (deployed,) = verify([problem], budget=Budget(seconds=20.0), float32=True)
    statements = [claimed(problem, one) for one in (real, deployed)]
    assert [s.float32 for s in statements] == [False, True]
    found = [[difference(s, a, setting(problem)) == "" for s in statements] for a in (real, deployed)]
    assert found == [[True, False], [False, True]]


def test_ends_of_a_range() -> None:
    problem = asked(Question.REACH, risk="gap:0:1@logits", radius=0.05)
    answer = answered(Question.REACH, problem)
    statement, about = claimed(problem, answer), setting(problem)
    low, high = statement.cases[0].parts
    for parts in ((low,), (high,), (Part(low.rows, low.constants + 1e-8), high), (low, Part(high.rows, high.constants + 1e-8))):
        assert difference(replace(statement, cases=(Case(statement.cases[0].region, parts),)), answer, about) != ""


SLOPES: dict[str, Callable[[Case, Slopes], Case]] = {
    "a steeper fall": lambda c, s: replace(c, slopes=replace(s, falling=s.falling * (1 + 1e-8))),
    "a steeper rise": lambda c, s: replace(c, slopes=replace(s, rising=(s.rising or 0.0) * (1 + 1e-8))),
    "no rise": lambda c, s: replace(c, slopes=replace(s, rising=None)),
    "less at the centre": lambda c, s: replace(c, slopes=replace(s, least=(s.least or 0.0) * 0.1)),
    "nothing at the centre": lambda c, s: replace(c, slopes=replace(s, least=None)),
    "another distance": lambda c, s: replace(c, slopes=replace(s, norm=2)),
    "another unit": lambda c, s: replace(c, slopes=replace(s, scale=s.scale * 0.5)),
    "another centre": lambda c, s: replace(c, slopes=replace(s, center=raised(s.center, 0, 1.0))),
    "another s": lambda c, s: replace(c, parts=(Part(-c.parts[0].rows, c.parts[0].constants), *c.parts[1:])),
    "one part less": lambda c, s: replace(c, parts=c.parts[1:]),
    "one part more": lambda c, s: replace(c, parts=(*c.parts, Part(c.parts[0].rows * 2, c.parts[0].constants))),
    "the greatest of two": lambda c, s: replace(c, parts=(Part(c.parts[0].rows.repeat(2, axis=0), np.zeros(2)), *c.parts[1:])),
    "a smaller region": lambda c, s: replace(c, region=replace(c.region, upper=raised(raised(c.region.upper, 2, 0.0), 2, 0.0))),
    "values": lambda c, s: replace(c, slopes=None),
}


@pytest.mark.parametrize("kind", SLOPES)
def test_slopes_have_to_be_those_of_the_answer(kind: str) -> None:
    problem = asked(Question.LIPSCHITZ, risk="robustness@logits")
    answer = answered(Question.LIPSCHITZ, problem)
    assert isinstance(answer, LipschitzAnswer)
    assert answer.d_prime_lower is not None
    statement, about = claimed(problem, answer), setting(problem)
    (case,) = statement.cases
    assert case.slopes is not None
    assert difference(statement, answer, about) == ""
    assert difference(replace(statement, cases=(SLOPES[kind](case, case.slopes),)), answer, about) != ""


def test_slopes_that_say_more_do() -> None:
    problem = asked(Question.LIPSCHITZ, risk="robustness@logits")
    answer = answered(Question.LIPSCHITZ, problem)
    assert isinstance(answer, LipschitzAnswer)
    statement, about = claimed(problem, answer), setting(problem)
    (case,) = statement.cases
    assert case.slopes is not None
    less = replace(case, slopes=replace(case.slopes, falling=case.slopes.falling / 2, rising=0.0))
    assert difference(replace(statement, cases=(less,)), answer, about) == ""
    assert "about slopes" in difference(statement, answered(Question.REACH, problem), about)
    twice = replace(answer, d_prime_lower=replace(answer.d_prime_lower, value=answer.d_prime_lower.value * 2))  # type: ignore[type-var, union-attr]
    assert "Theorem 1" in difference(statement, twice, about)


def test_only_as_many_features_as_may_change_have_to_be_covered() -> None:
    free = np.array([True, True, False, True])
    problem = problems(network(), POINT, None, risk=parse_risk("robustness"), norm=Norm.LINF, radius=0.02, indices=[7], mask=free)[0]
    answer = answered(Question.VERIFY, problem)
    statement, about = claimed(problem, answer), setting(problem)
    assert answer.region.free_features == 3
    assert difference(statement, answer, about) == ""
    fixed = region(
        statement,
        lambda r: replace(
            r, lower=np.where(np.arange(4) == 1, problem.center, r.lower), upper=np.where(np.arange(4) == 1, problem.center, r.upper)
        ),
    )
    assert "3 may change" in difference(fixed, answer, about)


def test_answers_that_prove_nothing_and_strange_ones() -> None:
    problem = asked(Question.VERIFY)
    answer = answered(Question.VERIFY, problem)
    assert isinstance(answer, VerifyAnswer)
    statement, about = claimed(problem, answer), setting(problem)
    unproved = replace(answer, verdict=Verdict.UNKNOWN, reason="time-out", bracket=replace(answer.bracket, lower=None))
    strange = [
        unproved,
        replace(answer, center=np.full(4, np.nan)),
        replace(answer, region=replace(answer.region, radius=float("inf"))),
        replace(answer, region=replace(answer.region, radius=None, norm=None)),
        *(
            replace(answer, risk=replace(answer.risk, spec=spec))
            for spec in ("", "uncertainty:0.1:/etc/passwd", "targeted:99", "targeted:x", "\n")
        ),
        answered(Question.LIPSCHITZ, asked(Question.LIPSCHITZ)),
    ]
    for one in strange:
        assert difference(statement, one, about) != ""
    assert difference(statement, answer, replace(about, outputs=np.full(3, np.nan))) != ""
    radius = answered(Question.RADIUS, asked(Question.RADIUS))
    assert isinstance(radius, RadiusAnswer)
    assert difference(statement, radius, about) != "", "the radius that is proved is larger than 0.02"


SHORT_OF_PROBABILITIES: dict[str, Callable[[Statement], Statement]] = {
    "of the outputs": lambda s: replace(s, scores=None),
    "of logarithms": lambda s: replace(s, scores=Scores(logarithms=s.scores is not None and not s.scores.logarithms)),
    "of the least output": lambda s: replace(s, scores=None if s.scores is None else replace(s.scores, negated=True)),
    "one bit less": lambda s: part(s, lambda p: Part(p.rows, np.nextafter(p.constants, np.inf))),
    "another form": lambda s: part(s, lambda p: Part(2 * p.rows, p.constants)),
    "a larger factor": lambda s: part(s, lambda p: Part(p.rows * (1 + 1e-15), p.constants)),
}


@pytest.mark.parametrize("risk", ["robustness:0.001", "reachability:1:below:1e-4", "uncertainty:1e-4"])
@pytest.mark.parametrize("kind", SHORT_OF_PROBABILITIES)
def test_less_is_not_enough_of_probabilities(kind: str, risk: str) -> None:
    problem = asked(Question.VERIFY, risk=risk)
    answer = answered(Question.VERIFY, problem)
    statement = claimed(problem, answer)
    changed = SHORT_OF_PROBABILITIES[kind](statement)
    if kind == "one bit less" and risk.startswith("uncertainty"):  # log m is no float: the claim has some room
        changed = part(changed, lambda p: Part(p.rows, p.constants + 1e-12))
    assert difference(statement, answer, setting(problem)) == ""
    assert difference(changed, answer, setting(problem)) != ""
