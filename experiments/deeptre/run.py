"""Measures figures of the DeepTRE paper again: ``python experiments/deeptre/run.py NAME ... | all``; ``--help`` has the names."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # the folder of the package ``deeptre``, not that of its modules

from deeptre.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
