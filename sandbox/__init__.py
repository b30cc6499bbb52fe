"""A local AWS: EC2 with its own rules, a lab, and the Pulumi engine."""

from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parent.parent
"""The project's folder."""
VENV: Final = TOP / ".venv"
