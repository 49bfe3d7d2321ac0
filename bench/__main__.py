"""Makes `python bench` run this folder as the package `bench`."""

import importlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
sys.exit(importlib.import_module("bench.program").main())
