"""What all schemas of documents share: numbers, and models that refuse keys they do not know."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt

Number = FiniteFloat | Literal["inf", "-inf"]
Count = NonNegativeInt
VerdictWord = Literal["holds", "violated", "unknown", "misclassified"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Closed(BaseModel):
    """A document, or a part of one, without further keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class IntervalDocument(Closed):
    """lower <= figure <= upper."""

    lower: Number | None
    upper: Number | None
