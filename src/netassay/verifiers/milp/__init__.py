"""Complete verification of piecewise linear networks by mixed-integer programs (MIPVerify; Tjeng, Xiao and Tedrake, 2019)."""

from netassay.verifiers.milp.method import Milp as Milp
