"""Fuzz keys, certificates, SSH signatures, statements."""

from driver import main

main("signing")
