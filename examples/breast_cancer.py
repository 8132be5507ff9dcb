"""Tabular data from end to end: a small network on scikit-learn's breast cancer data, and the same questions to a black box.

Run it:  python examples/breast_cancer.py [FOLDER]

Shows radii in units of each feature's spread, features that cannot change, a two-class network with one sigmoid
output, a regression output, and a scikit-learn model that is nothing but a function.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier

import netassay as na

BUDGET = na.Budget(queries=4000)
FIXED = ("mean symmetry", "worst symmetry")


def trained(inputs: np.ndarray, labels: np.ndarray) -> torch.nn.Module:
    """Thirty features in, one probability of "benign" out; the normalisation is inside."""
    torch.manual_seed(0)
    mean, spread = torch.tensor(inputs.mean(axis=0)).float(), torch.tensor(inputs.std(axis=0)).float()
    normalise = torch.nn.Linear(30, 30)
    normalise.weight.data, normalise.bias.data = torch.diag(1 / spread), -mean / spread
    normalise.requires_grad_(False)
    body = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1), torch.nn.Sigmoid())
    network = torch.nn.Sequential(normalise, *body)
    optimizer = torch.optim.Adam(body.parameters(), lr=0.01, weight_decay=1e-3)
    x, y = torch.tensor(inputs).float(), torch.tensor(labels).float()
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy(network(x)[:, 0], y).backward()
        optimizer.step()
    return network


def main(folder: str = "breast-cancer-report") -> None:
    """Assesses ten patients and writes a report."""
    data = load_breast_cancer()
    inputs, labels = data.data.astype(np.float32), data.target
    train, test = slice(0, 450), slice(450, 460)
    domain = na.Box(np.zeros(30), 1.5 * inputs.max(axis=0).astype(np.float64))
    spread = inputs[train].std(axis=0).astype(np.float64)
    free = np.array([name not in FIXED for name in data.feature_names])

    network = na.Network(trained(inputs[train], labels[train]), domain=domain, name="breast-cancer-mlp")
    answers = na.assess(
        network,
        inputs[test],
        labels[test],
        risks=["robustness", "reachability:own:below:0.9"],
        norms=["linf", "l2", "l0"],
        questions=["radius"],
        budget=BUDGET,
        mask=free,
        scale=spread,
    )
    page = na.report(
        answers,
        folder,
        title="Breast cancer classifier",
        feature_names=list(data.feature_names),
        label_names=list(data.target_names),
        scale=spread,
        output_meaning=str(network.convention.meaning),
    )
    print(f"report: {page}")
    for answer in answers[:10]:
        side = answer.bracket.upper
        radius = f"<= {side.value:.3g} spreads" if side else "unknown"
        print(f"patient {answer.index}: decision {answer.label}, L-inf radius {radius} ({answer.outcome})")

    forest = HistGradientBoostingClassifier(random_state=0).fit(inputs[train], labels[train])
    box = na.Network(forest.predict_proba, domain=domain, outputs="probabilities", name="gradient-boosting", identity="example")
    found = na.radius(box, "robustness", inputs[450].astype(np.float64), p="l0", budget=BUDGET)
    changed = f"{found.witness.distance:.0f} {found.witness.marked}" if found.witness else "no change found"
    print(f"black box, features to change until the decision does: {changed}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
