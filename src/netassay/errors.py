"""The one exception tree of netassay.

::

    NetassayError                      everything this package raises on purpose
    ├── InputError                     what the user gave cannot be used (exit code 2)
    │   ├── UsageError                 an unknown name, or options that contradict each other
    │   ├── ModelError                 a model that cannot be read, trusted or evaluated
    │   │   ├── UnsupportedOperatorError
    │   │   └── NotFiniteError         NaN or infinity at an input
    │   ├── DataError                  inputs or labels that do not fit the model
    │   ├── RegionError                an empty, unbounded or ill-formed region
    │   ├── PropertyError              a property that does not fit the network's outputs
    │   │   └── UnsupportedSpecificationError
    │   └── StoreError                 a store that cannot be opened, read or written
    ├── CapabilityError                the model lacks what a method needs (a gradient, a graph); exit code 2
    ├── BudgetSpentError               the query or time budget is used up; searches stop on it
    └── InconsistentClaimsError        a proved and an attained value contradict each other: a bug in netassay

Every message names what came, what was expected and what to do about it.
"""

from __future__ import annotations


class NetassayError(Exception):
    """Base of every exception that netassay raises on purpose."""


class InputError(NetassayError):
    """Something the user handed over cannot be used; nothing was computed."""


class UsageError(InputError):
    """An unknown name, or options that contradict each other."""


class ModelError(InputError):
    """A model that cannot be read, cannot be trusted, or does not evaluate."""


class UnsupportedOperatorError(ModelError):
    """An operator that the operator graph does not know."""


class NotFiniteError(ModelError):
    """The network gives NaN or infinity at an input."""


class DataError(InputError):
    """Inputs or labels that do not fit the model."""


class RegionError(InputError):
    """An empty, unbounded or ill-formed region."""


class PropertyError(InputError):
    """A property that does not fit the network's outputs."""


class UnsupportedSpecificationError(PropertyError):
    """A specification file that is not a union of input boxes with output polyhedra."""


class StoreError(InputError):
    """A store that cannot be opened, read or written; what it holds already is kept."""


class CapabilityError(InputError):
    """The model lacks what the method needs, for instance a gradient."""


class BudgetSpentError(NetassayError):
    """The budget of queries or seconds is used up."""


class InconsistentClaimsError(NetassayError):
    """A proved and an attained value contradict each other: never a vote, always a bug."""


def unknown_name(kind: str, came: str, known: list[str]) -> UsageError:
    """The error for a name that is not in a registry; it lists the known ones."""
    return UsageError(f"unknown {kind} {came!r}; known: {', '.join(sorted(known))}")
