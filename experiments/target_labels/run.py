"""Measures Tables 2 to 4 of the target-label paper again: ``python experiments/target_labels/run.py``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # the folder of the package ``target_labels``, not that of its modules

from target_labels.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
