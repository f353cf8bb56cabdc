"""Fixtures of the stories: one loopback fleet for each xdist worker, a fresh workspace for each test."""

from places import hosts, place  # noqa: F401 - pytest finds fixtures by name in this module
