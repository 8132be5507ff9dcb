"""The commands that search, on networks whose answers are known exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from conftest_cli import Run

from netassay.results.schema import json_schema
