"""Fixtures of the stories: one loopback fleet for each xdist worker, a fresh workspace for each test."""

import os
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from places import hosts, place  # noqa: F401 - pytest finds fixtures by name in this module

LONGEST = (
    "test_docs_commands.py", "test_story_patch.py", "test_story_examples.py", "test_story_mixed.py", "test_story_records.py",
    "test_pulumi_cli.py", "test_whole_hosts.py", "test_connections.py", "test_rootless.py",
)  # fmt: skip
"""Files with tests of a minute and more: begun first, else one of them may run on alone when all others have ended."""

# Nothing here is timed: a busy machine is no failure.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A build says the same each time; what is not known yet is looked for here, and by `make fuzz`.
settings.register_profile("ci", settings.get_profile("dev"), print_blob=True, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the anchors of logs that tests found out of this user's own state, and of another account's store."""
    ours = {"XDG_STATE_HOME": str(tmp_path_factory.mktemp("state")), "ITMP_ANCHOR_ACCOUNT": "none"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    yield
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.hookimpl(trylast=True)  # after the order was shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what is skipped where `ITMP_SKIPS=fail`: a build is root and has every tool, so nobody else runs that test."""
    report = yield
    if os.environ.get("ITMP_SKIPS") == "fail" and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{item.nodeid} is skipped in a build: {why}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line how much harm was done (what tests recorded as their `tally`), and how much of it was not met."""
    total = Counter[str]()
    reports = [report for found in terminalreporter.stats.values() for report in found]
    for report in reports:
        if getattr(report, "when", None) == "teardown":  # the last of a test's three: it has all properties
            for name, tally in report.user_properties:
                total.update(tally if name == "tally" else {})
    if total:
        bad = total.pop("bad", 0)
        terminalreporter.write_line(
            ", ".join(f"{n:,} {name}" for name, n in sorted(total.items())) + f", {bad:,} bad"
        )
