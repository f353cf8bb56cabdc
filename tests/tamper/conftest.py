"""Say by name which attacks were made, and which finding named each: `make test-tamper`, or `-v`."""

import os
from collections.abc import Callable, Iterator

import pytest
from attacks import NAMED


@pytest.fixture(autouse=True)
def _named(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Keep what our verifiers found wrong during this test, in the order in which they first said so."""
    NAMED.clear()
    yield
    attack = request.node.name.removeprefix("test_").replace("_", " ")
    attacked = request.node.path.name.startswith("test_attacks_") and not attack.endswith("holds")
    if NAMED or attacked:
        record_property(
            "attack", (attack, list(dict.fromkeys(NAMED)) or ["refused or stopped, as its test says"])
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List each attack with what named it, one line each, and in capitals those whose test failed."""
    if os.environ.get("ITMP_TAMPER") != "whole" and terminalreporter.verbosity < 1:
        return
    stats = terminalreporter.stats
    failed = {report.nodeid for report in (*stats.get("failed", ()), *stats.get("error", ()))}
    ended = [
        report for found in stats.values() for report in found if getattr(report, "when", "") == "teardown"
    ]
    lines = []
    for report in ended:
        for name, value in report.user_properties:
            if name == "attack":
                attack, found = value
                lines.append(
                    f"{'NOT AS IT MUST BE ' * (report.nodeid in failed)}{attack}: {', '.join(found)}"
                )
    if lines:
        terminalreporter.section(f"{len(lines)} attacks, and what named each")
        for line in sorted(lines):
            terminalreporter.write_line(line)
