"""Capacity adjustments: knobs of living resources, turned within limits, and turned back."""

from typing import Final

from itmp.capacity.freeze import freeze
from itmp.capacity.model import CapacityAdjustment
from itmp.capacity.needs import needs

KINDS: Final = {"capacity-adjustment/v1": CapacityAdjustment}

__all__ = ["KINDS", "CapacityAdjustment", "freeze", "needs"]
