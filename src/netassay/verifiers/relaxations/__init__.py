"""Linear relaxations and intervals of every operator that is not affine. Imports numpy only."""

from netassay.verifiers.relaxations.base import Lines as Lines
from netassay.verifiers.relaxations.base import Planes as Planes
from netassay.verifiers.relaxations.table import interval as interval
from netassay.verifiers.relaxations.table import lines as lines
from netassay.verifiers.relaxations.table import planes as planes
from netassay.verifiers.relaxations.table import undefined as undefined
