"""Runbooks: steps over hosts in order, rolling blocks, checks, and how to take them back."""

from itmp.runbook.freeze import freeze
from itmp.runbook.model import Runbook
from itmp.runbook.needs import needs
from itmp.runbook.prompts import Prompt, answer, playbooks

__all__ = ["Prompt", "Runbook", "answer", "freeze", "needs", "playbooks"]
