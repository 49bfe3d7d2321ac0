"""Makes `python bench` run this folder as the package `bench`, with the operator's own code beside it."""

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0:1] = [str(ROOT), str(ROOT / "operator")]
sys.exit(importlib.import_module("bench.program").main())
