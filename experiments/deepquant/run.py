"""Measures tables and figures of the DeepQuant paper again: ``python experiments/deepquant/run.py table2 fig5 ... | all``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # the folder of the package ``deepquant``, not that of its modules

from deepquant.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
