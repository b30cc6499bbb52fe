"""The version of the program and of its component package."""

from typing import Final

VERSION: Final = "3.0.0"
