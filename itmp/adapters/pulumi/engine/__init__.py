"""The Pulumi engine."""

from typing import Final

VERSION: Final = "3.259.0"
