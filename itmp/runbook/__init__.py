"""Runbooks: steps over hosts in order, rolling blocks, checks, and how to take them back."""

from itmp.runbook.freeze import freeze
from itmp.runbook.model import Runbook
from itmp.runbook.needs import needs

__all__ = ["Runbook", "freeze", "needs"]
