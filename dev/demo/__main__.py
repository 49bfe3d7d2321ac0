"""Makes `python dev/demo` run this folder as the package `dev.demo`, which the tests import under the same name."""

import importlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])
sys.exit(importlib.import_module("dev.demo.program").main())
