"""Certificates by semidefinite relaxations that are found: where trees over neurons would be too large, and never for what is false."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from certificate_worlds import checked, graph_of, halfspaces_problem, least_seen, moved, rewritten, wide_network
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.reading import check_certificate
from netassay.checking.certificates.statement import Case, Statement
from netassay.models.load import load_network
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers.certificates import neurons
from netassay.verifiers.certificates import relaxed as module
from netassay.verifiers.certificates.claims import statement_of
from netassay.verifiers.certificates.neurons import NeuronOptions, NeuronProof
from netassay.verifiers.certificates.relaxed import RelaxedOptions
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.region import Regions
from random_graphs import random_graph
from relaxed_worlds import relaxed


def searched(asked: Problem, statement: Statement, options: NeuronOptions) -> tuple[bool, list[Record]]:
    """Whether the search by neurons closes a claim of one case, and its records."""
    case, network, records = statement.cases[0], CheckedNetwork(graph_of(asked), Arithmetic()), list[Record]()
    whole = Parts(network, case.region, case.region.lower[None], case.region.upper[None])
    proof = CaseProof(0, case, whole, True, records.append, lambda: False)
    claim = Claim(network.graph, tuple(Part(p.rows, p.constants) for p in case.parts), strict=True)
    done = NeuronProof(claim, Regions.of([asked.region]), proof, options).run()
    return done, [Record({"record": "case", "case": 0}), *records]


def test_the_search_by_neurons_goes_on_to_relaxations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that splits cannot close so soon; the file is what the checker accepts, about float32 as well."""
    monkeypatch.setattr(neurons, "RelaxedOptions", partial(RelaxedOptions, promise=np.inf))
    asked = halfspaces_problem(wide_network(0), 0, 0.35)
    statement = moved(statement_of([asked]), 0.3 - least_seen(asked, np.random.default_rng(0)))
    done, records = searched(asked, statement, NeuronOptions(first=0))
    assert done
    assert any(r.kind == "squares" for r in records)
    assert any(r.kind == "range" for r in records)
    for said in (statement, replace(statement, float32=True)):
        path = rewritten(tmp_path / "a.cert", said, records)
        assert check_certificate(path, [graph_of(asked)], lambda _g, said=said: said).checked.accepted


@pytest.mark.parametrize("seed", range(3))
def test_what_is_false_is_not_proved(seed: int) -> None:
    asked = halfspaces_problem(wide_network(seed, hidden=4), seed, 0.35)
    false = moved(statement_of([asked]), -(least_seen(asked, np.random.default_rng(seed)) + 1e-9))
    closed, _ = relaxed(asked, false)
    assert not closed


def test_what_they_are_not_for_is_left_to_others() -> None:
    """Networks with other nonlinear operators, and balls of other norms: nothing is written, nothing breaks."""
    asked = halfspaces_problem(random_graph("pooling", 0), 0, 0.0625)
    closed, records = relaxed(asked, moved(statement_of([asked]), 100.0))
    assert not closed
    assert len(records) == 1
    ball = Ball(np.zeros(16), 0.5, "l2", domain=Box.filled((16,), -3, 3))
    asked = Problem(halfspaces_problem(wide_network(0), 0, 0.1).network, ball, Robustness(0, on=Scale.LOGITS))
    statement = statement_of([asked])
    done, records = relaxed(asked, moved(statement, 100.0))
    assert not done
    assert len(records) == 1


def test_multipliers_that_rounding_spoils_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the checker's own bound does not bear out is no leaf."""
    asked = halfspaces_problem(wide_network(0), 0, 0.35)
    statement = moved(statement_of([asked]), 0.3 - least_seen(asked, np.random.default_rng(0)))
    own = module.duals_of

    def spoiled(*args: object) -> object:
        found = own(*args)  # type: ignore[arg-type]
        return replace(found, inputs=found.inputs * np.float32(1e-3))

    monkeypatch.setattr(module, "duals_of", spoiled)
    closed, records = relaxed(asked, statement)
    assert not closed
    assert len(records) == 1


def test_a_proof_that_splits_would_not_find(tmp_path: Path) -> None:
    """One rival of an image of MNIST, in 9 grey levels: two hidden layers of 100 neurons, most of them undecided."""
    folder = os.environ.get("NETASSAY_BENCHMARKS")
    if not folder:
        pytest.skip("NETASSAY_BENCHMARKS is not set: it names the folder of the benchmark networks and images")
    network = load_network(Path(folder) / "eran_mnist_fc/mnist_relu_3_100.onnx", input_domain=(0, 1))
    with np.load(Path(folder) / "mnist/mnist_test_100.npz") as data:
        image, label = data["images"][58].reshape(784) / 255.0, int(data["labels"][58])
    asked = Problem(network, Ball(image, 9 / 255, "linf", domain=network.domain), Robustness(label, on=Scale.LOGITS))
    whole = statement_of([asked])
    statement = replace(whole, cases=(Case(whole.cases[0].region, whole.cases[0].parts[7:8]),))
    done, records = searched(asked, statement, NeuronOptions(first=0, tighten=5))
    assert done
    assert [len(r.arrays["level"]) for r in records if r.kind == "squares"] == [1]
    assert checked(asked, statement, records).accepted
    assert not checked(asked, moved(statement, -5.0), records).accepted
    assert rewritten(tmp_path / "a.cert", statement, records).stat().st_size < 100_000
