"""Fuzz notes, checkpoints, tiles, entry bundles, journal, events."""

from driver import main

main("logs")
