"""Throw-away SSH fleets for rehearsal, demo and tests."""
