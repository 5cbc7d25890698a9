"""Make the server's tests importable: their reference of StyleGAN3 is used here too."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "server"), str(TESTS.parent)]
