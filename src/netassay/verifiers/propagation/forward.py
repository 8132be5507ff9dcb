"""Forms of all values of a graph, one node after the other: the way that zonotopes and symbolic intervals share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

import numpy as np

from netassay.models.nonlinear import Elementwise
from netassay.models.operators import Operator
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.propagation.interval import BoundedGraph, Range

Form = TypeVar("Form")


class Forms(Protocol[Form]):
    """Forms of one kind over some regions, the values so far, and how they go through an operator.

    Args:
        bounded: The graph.
        ranges: Ranges (B, *shape) of the values so far.
        values: The forms that are still needed, or kept; at first that of the input.
    """

    bounded: BoundedGraph
    ranges: list[Range]
    values: dict[int, Form]

    def given(self, value: int) -> Form:
        """The form of a value as an operator that is not affine takes it."""
        ...

    def affine(self, affine: AffineMap, values: Sequence[int]) -> Form:
        """The image of these values under an affine map."""
        ...

    def elementwise(self, operator: Elementwise, given: Form, known: Range) -> Form:
        """The image of a form, with its range, under a function of one number."""
        ...

    def several(self, operator: Operator, inputs: Sequence[Form], known: Sequence[Range]) -> Form:
        """The image of some forms, with their ranges, under an operator that is not affine."""
        ...

    def keep(self, value: int, found: Form) -> None:
        """Takes in a value and its range."""
        ...


def forward(forms: Forms[Form], kept: Collection[int]) -> Form:
    """The output's form; forms that no later node reads are dropped, but for those of the values ``kept``."""
    bounded, ranges = forms.bounded, forms.ranges
    for position, node in enumerate(bounded.graph.nodes):
        affine = bounded.maps[position]
        with np.errstate(all="ignore"):
            if affine is not None:
                found = forms.affine(affine, node.inputs)
            elif isinstance(node.operator, Elementwise):
                found = forms.elementwise(node.operator, forms.given(node.inputs[0]), ranges[node.inputs[0]])
            else:
                found = forms.several(node.operator, [forms.given(i) for i in node.inputs], [ranges[i] for i in node.inputs])
            forms.keep(position + 1, found)
        for value in set(node.inputs).difference(kept):
            if bounded.graph.last_use[value] == position:
                forms.values.pop(value, None)
    return forms.values[bounded.output]
