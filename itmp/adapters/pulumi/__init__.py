"""The Pulumi engine and what is built on it: `engine`, `sources` (PulumiSources), `runner` (PulumiRunner).

Import the modules themselves: the provider process loads this package at its start and must stay light.
"""
