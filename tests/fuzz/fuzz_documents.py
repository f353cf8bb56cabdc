"""Fuzz documents, plans, lockfiles, times."""

from driver import main

main("documents")
