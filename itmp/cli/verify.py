"""`itmp-verify`: the auditor's command; the base install is enough, no network, no configuration.

Rules kept here: reading arguments and files, printing; every judgement is `itmp.evidence.verify`. What
comes out of the file is printed only after it has been made harmless for a terminal.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from itmp.audit import LogReader
from itmp.errors import Error, InvalidInputError
from itmp.evidence import REQUIRABLE, Interval, Report, Stamps, Trust, verify
from itmp.evidence.archive import MAX_BUNDLE
from itmp.evidence.rules import CONTRADICTED, FORKED, LEFT_OUT, ROLLED_BACK, TEXTS

_MARKS: Final = {"holds": "holds", "broken": "BROKEN", "incomplete": "INCOMPLETE", "not judged": "not judged"}
_RESULTS: Final = {
    0: "everything holds",
    40: "INVALID: do not rely on anything after the broken rule",
    41: "INCOMPLETE: sound as far as it goes, something is absent",
    42: "FORK OR ROLLBACK: two histories of this log exist",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Verify one evidence file and exit with 0, 40, 41 or 42; 2 for a usage error, 17 for a missing tool."""
    options = _parser().parse_args(arguments)
    try:
        report = _verify(options)
    except Error as error:
        _complain(error, as_json=options.json)
        sys.exit(error.exit_code)
    if options.json:
        print(json.dumps(report.to_data(), indent=2))  # noqa: T201 - the command's result
    else:
        print("\n".join(_lines(report)))  # noqa: T201 - the command's result
    sys.exit(report.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="itmp-verify",
        description="Check the evidence of one change. Needs no network and believes nothing in the file.",
        epilog="Example: itmp-verify CHG-7f3a90c21b.evidence.tar --trust TRUST --require checkpoint",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the evidence file")
    parser.add_argument(
        "--trust", type=Path, required=True, metavar="DIR", help="your own folder: log.policy, genesis, …"
    )
    parser.add_argument(
        "--log",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="the whole log, to check that nothing is left out; repeat it for the logs of earlier periods",
    )
    parser.add_argument(
        "--strict", action="store_true", help="ask stock ssh-keygen about every signature as well"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rules", action=_Rules, nargs=0, help="list the rules and their findings, and exit")
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        choices=REQUIRABLE,
        help="exit 41 unless this was brought and used",
    )
    return parser


class _Rules(argparse.Action):
    """Print the numbered rules and end, whatever else stands on the line."""

    def __call__(self, *_: object) -> None:
        for n, rule in TEXTS.items():
            found = ", ".join(name for name in (rule.broken, rule.absent) if name)
            print(f"{n:2} {rule.name} [{found}]: {rule.holds}")  # noqa: T201 - the command's result
        print(f"{FORKED}, {ROLLED_BACK}: two histories, whichever rule meets them (42)")  # noqa: T201 - as above
        print(f"{LEFT_OUT}: a policy version that TRUST knows, at rule 5 or 21")  # noqa: T201 - as above
        print(f"{CONTRADICTED}: a time that a witness or an authority contradicts, at rule 17")  # noqa: T201 - as above
        sys.exit(0)


def _verify(options: argparse.Namespace) -> Report:
    bundle, trust = _read(options.file), Trust.from_files(_folder(options.trust))
    strict = None
    if options.strict:
        from itmp.adapters.ssh_keygen import strict_verify  # noqa: PLC0415 - only with --strict
        from itmp.signing import PublicKey, Signed  # noqa: PLC0415 - as above

        def strict(signed: Signed, principal: str, key: PublicKey) -> None:
            strict_verify(signed, principal=principal, key=key)

    stamps: Stamps | None = None
    if trust.tsa is not None:
        from itmp.adapters.anchors import verify_stamp  # noqa: PLC0415 - only with tsa.pem

        stamps = verify_stamp
    return verify(
        bundle, trust, require=options.require, strict=strict, logs=_logs(options.log), stamps=stamps
    )


def _logs(paths: Sequence[Path]) -> tuple[LogReader, ...]:
    """Open each log: a folder, or the packed file of a period that has ended."""
    if not paths:
        return ()
    from itmp.adapters.posix_log import open_reader  # noqa: PLC0415 - only with --log
    from itmp.adapters.posix_log.packed import PackedReader  # noqa: PLC0415 - as above

    return tuple(PackedReader(path) if path.is_file() else open_reader(path) for path in paths)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BUNDLE:
            raise InvalidInputError(f"larger than any evidence file ({MAX_BUNDLE} bytes)", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _folder(path: Path) -> dict[str, bytes]:
    if not path.is_dir():
        raise InvalidInputError("no such folder", where=str(path), do="TRUST holds log.policy and genesis.")
    return {entry.name: _read(entry) for entry in sorted(path.iterdir()) if not entry.name.startswith(".")}


def _complain(error: Error, *, as_json: bool) -> None:
    if as_json:
        data = {"schema": "itmp-report/v1", "exit_code": error.exit_code, "error": str(error)}
        print(json.dumps(data, indent=2))  # noqa: T201 - the command's result
    print(f"itmp-verify: {_plain(str(error))}", file=sys.stderr)  # noqa: T201 - the command's error


def _lines(report: Report) -> list[str]:
    lines = [
        f"{_MARKS[r.verdict]:11} {r.n:2} {r.name}" + (f" [{r.finding}]: {_plain(r.why)}" if r.finding else "")
        for r in report.rules
    ]
    if report.told:
        lines += ["", *_story(report)]
    lines += ["", *(f"note: {_plain(line)}" for line in report.assurance)] if report.assurance else []
    return [*lines, "", _RESULTS[report.exit_code]]


def _story(report: Report) -> list[str]:
    told = report.told
    if told is None:
        return []
    lines = [
        f"{told.change} ({told.type}, {told.state}): {_plain(told.title)}",
        f"  reason: {_plain(told.reason)}",
        f"  plan: {told.plan}",
        f"  read by the policy as: environment {told.environment}, {told.risk} risk",
    ]
    lines += [f"  external record: {_plain(told.external)}"] if told.external else []
    for deed in told.deeds:
        lines.append(f"  {deed.at:%Y-%m-%dT%H:%M:%SZ} {deed.act} by {deed.who} as {deed.role}")
        lines += [f"    {line}" for line in _made(deed.made)]
    for run in told.runs:
        counts = ", ".join(f"{count} {state}" for state, count in run.counts.items()) or "no hosts"
        alone = ", alone (quorum 0)" if run.quorum == 0 else ""
        lines.append(f"  run {_plain(run.id)} by {', '.join(run.by)}{alone}: {run.state}; {counts}")
        lines += [f"    {_plain(host)}: reconciled to {state}" for host, state in run.reconciled.items()]
    lines += [f"  refused attempts: {told.refusals}"] if told.refusals else []
    return lines + [f"  counts for nothing: {_plain(why)}" for why in told.ignored]


def _made(made: Interval) -> list[str]:
    """Say between which moments a statement was made, by whose word."""
    lines = []
    if made.after:
        lines.append(
            f"after  {made.after.at:%Y-%m-%dT%H:%M:%SZ}, {_plain(made.after.by)} over what its signer had seen"
        )
    if made.before:
        lines.append(
            f"before {made.before.at:%Y-%m-%dT%H:%M:%SZ}, {_plain(made.before.by)} over a head that holds it"
        )
    return lines


def _plain(text: str) -> str:
    """Make text from outside harmless: no control, bidi or other invisible character reaches the terminal."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


if __name__ == "__main__":
    main()
