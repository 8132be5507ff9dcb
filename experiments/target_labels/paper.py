"""Tables 2 to 4 as the paper prints them: seconds for all valid images, with and without target labels, and how many were proved robust."""

from __future__ import annotations

from dataclasses import dataclass

SORTING = {
    "FNN_1": (0.15, 0.20, 0.37, 0.44, 0.49, 0.51),
    "FNN_2": (0.92, 1.18, 1.36, 1.93, 1.86, 2.20),
    "FNN_3": (2.37, 3.68, 4.81, 5.23, 5.41, 6.13),
}
"""Seconds for sorting the labels, by the radii of ``benchmark.EPSILONS``; the same in all three tables."""


@dataclass(frozen=True, slots=True)
class Printed:
    """One row.

    Args:
        plain, targeted: Seconds of the tool and of the tool with target labels.
        saved: The printed ACC, in percent: (plain - targeted - sorting) / plain.
        robust, robust_targeted: The printed RST and RST*, of 100 images.
    """

    plain: float
    targeted: float
    saved: float
    robust: int
    robust_targeted: int


TABLES: dict[str, dict[str, tuple[Printed | None, ...]]] = {
    "milp": {
        "FNN_1": (
            Printed(84.20, 2.18, 97.21, 96, 96),
            Printed(275.48, 70.82, 74.22, 93, 93),
            Printed(526.75, 348.12, 33.84, 85, 85),
            Printed(764.89, 692.29, 9.43, 53, 53),
            Printed(996.45, 971.56, 2.45, 37, 37),
            Printed(1217.51, 1210.78, 0.51, 19, 19),
        ),
        "FNN_2": (
            Printed(1033.85, 60.65, 94.04, 98, 98),
            Printed(3400.88, 1222.44, 64.01, 96, 96),
            Printed(8301.88, 7635.60, 8.01, 93, 93),
            None,
            None,
            None,
        ),
        "FNN_3": (Printed(3802.77, 2741.02, 27.86, 99, 99), None, None, None, None, None),
    },
    "zonotope": {
        "FNN_1": (
            Printed(4.01, 0.49, 83.80, 96, 96),
            Printed(3.98, 1.44, 58.76, 90, 90),
            Printed(4.04, 3.11, 13.61, 54, 54),
            Printed(4.14, 4.30, -14.55, 24, 24),
            Printed(4.82, 4.30, 0.56, 6, 6),
            Printed(4.11, 4.17, -13.86, 0, 0),
        ),
        "FNN_2": (
            Printed(41.29, 1.92, 93.10, 97, 97),
            Printed(42.14, 15.37, 60.71, 89, 89),
            Printed(43.12, 40.52, 2.88, 56, 56),
            Printed(44.05, 43.75, -3.70, 13, 13),
            Printed(44.78, 44.95, -4.54, 2, 2),
            Printed(45.56, 45.76, -5.27, 0, 0),
        ),
        "FNN_3": (
            Printed(94.69, 52.52, 42.03, 99, 99),
            Printed(102.78, 92.23, 6.69, 81, 81),
            Printed(117.45, 94.58, 15.37, 33, 33),
            Printed(127.98, 104.20, 14.49, 3, 3),
            Printed(132.84, 123.96, 2.61, 0, 0),
            Printed(137.91, 121.01, 7.80, 0, 0),
        ),
    },
    "neurify": {
        "FNN_1": (
            Printed(2.72, 0.37, 80.48, 96, 96),
            Printed(11.96, 3.02, 73.03, 93, 93),
            Printed(57.04, 53.45, 5.64, 78, 79),
            Printed(73.71, 64.25, 12.23, 44, 49),
            Printed(92.90, 88.38, 4.33, 25, 30),
            Printed(86.19, 68.94, 19.41, 8, 10),
        ),
        "FNN_2": (
            Printed(3.09, 1.05, 35.93, 100, 98),
            Printed(12.49, 13.70, -19.23, 93, 95),
            Printed(56.88, 61.92, -11.24, 68, 69),
            Printed(151.25, 166.75, -11.53, 35, 36),
            Printed(140.95, 170.09, -21.99, 6, 6),
            Printed(115.57, 128.02, -12.69, 1, 1),
        ),
        "FNN_3": (
            Printed(5.42, 2.73, 5.89, 100, 99),
            Printed(52.76, 47.90, 2.23, 87, 89),
            Printed(116.79, 114.04, -1.77, 43, 43),
            Printed(122.05, 146.27, -24.13, 7, 8),
            Printed(131.22, 146.91, -16.08, 1, 1),
            Printed(120.69, 139.89, -20.99, 0, 0),
        ),
    },
}
"""By method and network, a row for every radius; None where the tool ran out of time."""
