"""A campaign on a real Ray cluster of two nodes: the same answers as anywhere else, and a node may be lost."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campaigns import small
from netassay.campaigns.campaign import run
from netassay.campaigns.executor import EngineError, Limits, Work
from netassay.campaigns.plan import plan
from netassay.campaigns.ray_engine import RayExecutor, connected
from netassay.store.writer import open_writer

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.filterwarnings("default"),  # Ray's own
]
ALL = 8 * small.INPUTS
TESTS = str(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each; whoever drives has none."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([TESTS, before])
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.add_node(num_cpus=1)
    found.wait_for_nodes()
    try:
        yield found
    finally:
        found.shutdown()
        os.environ["PYTHONPATH"] = before


def test_two_nodes_share_a_campaign(cluster: Any, tmp_path: Path) -> None:
    whole, shared = str(tmp_path / "whole.db"), str(tmp_path / "shared.db")
    small.drive(whole)
    runner = small.runner()
    with connected(cluster.address) as has, open_writer(shared) as writer:
        assert has.cores == 2
        with RayExecutor(Work(runner, runner.prepare), 2, Limits(120)) as executor:
            ended = run(plan(small.subject(), small.asked()), executor, writer, small.HEADING, ahead=4)
        nodes = {node["NodeID"] for node in _nodes() if node["Alive"]}
    assert len(nodes) == 2
    assert (ended.standing.done, ended.standing.failed) == (ALL, 0)
    assert small.contents(shared) == small.contents(whole)


def _nodes() -> list[dict[str, Any]]:
    import ray

    found: list[dict[str, Any]] = ray.nodes()
    return found


def test_a_cluster_that_is_not_there_is_told() -> None:
    with pytest.raises(EngineError, match="no Ray cluster at"), connected("127.0.0.1:1"):
        pass
