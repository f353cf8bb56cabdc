"""Fuzz the archive, proofs, trust, the policy, a whole verdict."""

from driver import main

main("evidence")
