"""The small training runs are a module of their own: tests import it, and child processes run it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
