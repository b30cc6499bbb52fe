"""AWS on this machine: EC2 with its own route rules, the lab, the Pulumi engine."""

from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parent.parent
"""The project's folder."""
VENV: Final = TOP / ".venv"
