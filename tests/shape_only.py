"""A network of which only shape, domain and labels are asked."""

from __future__ import annotations

from typing import Any

from netassay.models.network import Network
from netassay.models.scores import Meaning, OutputConvention
from netassay.numerics.box import Box


class ShapeOnly(Network):
    """A network of which only shape, domain and labels are asked."""

    differentiable = False

    def __init__(self, shape: tuple[int, ...], outputs: int = 3, domain: Box | None = None, meaning: Meaning = Meaning.LOGITS) -> None:
        super().__init__(
            name="shape-only",
            domain=domain or Box.unbounded(shape),
            output_size=outputs,
            convention=OutputConvention(meaning),
            sha256="0",
            device="cpu",
        )

    @property
    def dtype(self) -> str:
        return "float32"

    def outputs(self, inputs: Any) -> Any:
        raise AssertionError("loading data must not evaluate the network")

    def in_float64(self) -> None:
        return None

    def with_domain(self, domain: Box) -> ShapeOnly:
        return ShapeOnly(self.input_shape, self.output_size, domain, self.convention.meaning)
