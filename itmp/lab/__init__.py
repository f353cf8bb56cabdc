"""Throw-away SSH fleets for rehearsal, demo and tests: on loopback without root, or in namespaces."""

from itmp.lab.fleet import Fleet, Host, Login
from itmp.lab.kinds import attach, down, execute, prepare, supported, up

__all__ = ["Fleet", "Host", "Login", "attach", "down", "execute", "prepare", "supported", "up"]
