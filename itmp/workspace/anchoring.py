"""Anchors of a workspace: remember each head outside the log, and compare the log with what is remembered.

Rules kept here: comparing asks, and leaves log and anchors as they are: a witness alone is handed the published head,
because it shows its memory by refusing, and its answer is not kept; anchoring after a checkpoint is best effort and
bounded in time, and never stops what is being done;
what failed is written down for `audit verify` and `doctor`; a rollback or a fork that an anchor shows is never
smoothed over by writing to it.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from itmp.adapters.clock import SystemClock
from itmp.anchors import Anchor, AnchorError, Coverage, cover, judge, judge_others
from itmp.audit import Finding, SignedCheckpoint
from itmp.calendars import format_time, parse_duration, parse_time
from itmp.errors import Error, ForkError, InvalidInputError
from itmp.signing import NoteVerifier
from itmp.workspace import alerting
from itmp.workspace.config import AnchorSetting
from itmp.workspace.place import Workspace
from itmp.workspace.planning import write_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from itmp.adapters.anchors import FolderAnchor, WitnessAnchor
    from itmp.audit import Log

WAIT: Final = 10.0
"""Seconds that all anchors together may take after a checkpoint."""

LOCAL: Final = frozenset({"directory", "git"})
"""Kinds that are asked without a network."""

RULE: Final = 15
_TRIES: Final = 3
_LAST: Final = "anchors.json"
_GONE: Final = "gone"
_WRONG: Final = frozenset({"failed", "fork"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """What became of one anchor: `state` is ok, failed, fork or gone; `since` when it has not been ok any more.

    `where` is its place as itmp.yml says it, and `held` how many leaves of `log` it was seen to remember there: what
    was not asked the last time, an anchor or an earlier log's heads in it, is gone, and stays written down with that.
    A file of before names no log.
    """

    name: str
    kind: str
    state: str
    size: int
    why: str = ""
    since: str = ""
    where: str = ""
    held: int = 0
    log: str = ""

    @property
    def memory(self) -> tuple[str, str, str]:
        """By what it is remembered: its place and the log."""
        return self.kind, self.where, self.log


def checkpoint(place: Workspace) -> SignedCheckpoint:
    """Publish the newest head and have it anchored, best effort; nothing that an anchor does is raised."""
    signed = place.log.checkpoint()
    if place.config.anchors:
        try:
            anchor(place)
        except Error as error:
            _write(place, [Anchored(name="anchors", kind="", state="failed", size=0, why=error.what)])
    return signed


def anchor(place: Workspace, *, wait: float = WAIT) -> tuple[Anchored, ...]:
    """Have the published head remembered by every anchor that is configured; say what became of each."""
    head = place.log.published()
    anchors = anchors_of(place) if head else ()
    if head is None or not anchors:
        return ()
    found = _together(anchors, lambda one: _put(place, one, head), wait, head.checkpoint.size)
    _write(place, found)
    return found


def last(place: Workspace) -> tuple[Anchored, ...]:
    """Return what became of each anchor the last time; nothing is contacted."""
    return tuple(one for one in _written(place) if one.state != _GONE)


def _written(place: Workspace) -> tuple[Anchored, ...]:
    try:
        return tuple(Anchored(**one) for one in json.loads((place.state / _LAST).read_text()))
    except (OSError, ValueError, TypeError):
        return ()


def survey(place: Workspace) -> tuple[tuple[Finding, ...], tuple[Coverage, ...], Mapping[str, bytes]]:
    """Compare the log with what each anchor remembers, asking each; return findings, coverage and what witnesses gave.

    That is by the path below `anchors` at which anchoring would have kept it; nothing is kept here.
    """
    log, anchors = NoteVerifier.parse(place.log.vkey), anchors_of(place)
    findings, coverage = list[Finding](), list[Coverage]()
    answers, given = _answers(place, anchors)
    kept = _Kept(place.log, given)
    for one in anchors:
        found, newest = judge(f"anchor {one.name}", _shown(one, kept), log, place.log.size, place.log.root)
        answer, agrees = answers.get(one.name), newest is not None and not found and one.kind != "witness"
        findings += [_finding(answer)] if answer and not (answer.state == "fork" and agrees) else []
        told = {(item.name, item.place) for item in findings}
        findings += [item for item in found if (item.name, item.place) not in told]
        findings += _others(one, log)
        coverage.append(cover(one.name, one.kind, newest, place.log.size(), one.remark))
    return tuple(findings), tuple(coverage), given


def _answers(place: Workspace, anchors: Sequence[Anchor]) -> tuple[dict[str, Anchored], dict[str, bytes]]:
    """Ask the witnesses; return what went wrong with each anchor, and what was given, as it would lie.

    A fork that one showed the last time stands until it agrees: that it is away now unsays nothing.
    """
    why = "the last time that it was to remember a head: "
    wrong = {one.name: replace(one, why=why + one.why) for one in last(place) if one.state in _WRONG}
    head, given = place.log.published(), dict[str, bytes]()
    witnesses = [one for one in anchors if one.kind == "witness"]
    if head is None or not witnesses:
        return wrong, given

    def ask(one: Anchor) -> Anchored:
        newest, files = _handed(place, one, head)
        size = newest.checkpoint.size
        given.update({f"{size}/{name}": data for name, data in files.items()})
        return Anchored(name=one.name, kind=one.kind, state="ok", size=size)

    now = {one.name: one for one in _together(witnesses, ask, WAIT, head.checkpoint.size)}
    forks = {name for name, one in wrong.items() if one.state == "fork"}
    wrong |= {name: one for name, one in now.items() if one.state != "failed" or name not in forks}
    return {name: one for name, one in wrong.items() if one.state in _WRONG}, dict(given)


def survey_ended(place: Workspace) -> Iterator[Finding]:
    """Compare a period that has ended with what each anchor holds of it.

    A witness shows its memory by refusing alone: it is given the period's last head once more, unless a copy of it, or
    another anchor before, has shown a fork, which is never smoothed over by writing.
    """
    log, kept = NoteVerifier.parse(place.log.vkey), _Kept(place.log, {})
    sound = True
    for one in anchors_of(place):
        where = f"period {place.period}: anchor {one.name}"
        found = judge(where, _shown(one, kept), log, place.log.size, place.log.root)[0]
        yield from found
        sound = sound and not any(item.grave for item in found)
        if sound and one.kind == "witness":
            refused = _refused(place, one, where)
            yield from refused
            sound = not refused


def _refused(place: Workspace, one: Anchor, where: str) -> tuple[Finding, ...]:
    """Say what a witness knows against the last head of a period that has ended."""
    try:
        head = place.log.published()
        if head is not None:
            one.put(head, place.log.prove_consistency)
    except ForkError as error:
        told = Anchored(name=one.name, kind=one.kind, state="fork", size=place.log.size(), why=error.what)
        return (replace(_finding(told), place=where),)
    except Error:
        pass  # away, which is told for the current period, or no witness of that log any more
    return ()


def anchors_of(place: Workspace) -> tuple[Anchor, ...]:
    """Return the configured anchors; `InvalidInputError` where a kind lacks a key."""
    made = tuple(made_of(place, setting) for setting in place.config.anchors)
    if len({one.name for one in made}) != len(made):
        raise InvalidInputError(
            "two anchors have one name", where="itmp.yml: anchors", do="Give each a name."
        )
    return made


def made_of(place: Workspace, setting: AnchorSetting) -> Anchor:
    """Return the anchor of one setting; `InvalidInputError` or `NotFoundError` for what it lacks."""
    from itmp.adapters import anchors  # noqa: PLC0415 - a workspace without anchors starts faster

    name, log = setting.name or setting.kind, NoteVerifier.parse(place.log.vkey)
    setting.check(name)
    match setting.kind:
        case "directory":
            return _directory(place, setting, name, log)
        case "witness":
            return anchors.WitnessAnchor(name, url=setting.url, vkey=setting.key)
        case "rfc3161":
            roots = place.root / Path(setting.roots).expanduser()
            return anchors.StampAnchor(name, url=setting.url, roots=roots, copies=_copies(place, name, log))
        case "git":
            key = Path(setting.key or place.config.me.key).expanduser()
            return anchors.GitAnchor(
                name, log=log, path=place.root / Path(setting.path).expanduser(), key=place.root / key
            )
        case "s3":
            aws = place.config.backends.aws
            endpoint = (
                os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or aws.endpoint
            )
            return anchors.S3Anchor(
                name, log=log, bucket=setting.bucket, region=aws.region, endpoint=endpoint, days=setting.days
            )


def _directory(place: Workspace, setting: AnchorSetting, name: str, log: NoteVerifier) -> Anchor:
    """Return the folder that is named, else the one of another account where root made one, else this user's own."""
    from itmp.adapters.anchors import AccountAnchor, FolderAnchor  # noqa: PLC0415 - as above
    from itmp.adapters.anchors.apart import find_account, named_account  # noqa: PLC0415 - as above
    from itmp.adapters.anchors.folder import default_folder  # noqa: PLC0415 - as above

    if setting.path:
        return FolderAnchor(name, log=log, folder=place.root / Path(setting.path).expanduser(), owned=True)
    account = find_account(named_account(os.environ, setting.account))
    if account is not None:
        return AccountAnchor(name, log=log, account=account)
    return FolderAnchor(name, log=log, folder=default_folder(os.environ))


def _copies(place: Workspace, name: str, log: NoteVerifier) -> "FolderAnchor":
    """Return where `name`'s stamps are copied to: below the second folder that is named, else this user's own."""
    from itmp.adapters.anchors import FolderAnchor  # noqa: PLC0415 - as above
    from itmp.adapters.anchors.folder import default_folder  # noqa: PLC0415 - as above

    named = [one.path for one in place.config.anchors if one.kind == "directory" and one.path]
    folder = place.root / Path(named[0]).expanduser() if named else default_folder(os.environ)
    return FolderAnchor(name, log=log, folder=folder / "stamps" / name)


def _put(place: Workspace, one: Anchor, head: SignedCheckpoint) -> Anchored:
    """Anchor one head; what the anchor gives is kept beside the log, cosignatures in the checkpoint too."""
    from itmp.adapters.anchors import WitnessAnchor  # noqa: PLC0415 - as above

    head, files = _handed(place, one, head)
    size = head.checkpoint.size
    for name, data in files.items():
        place.log.keep(f"{size}/{name}", data)
    if isinstance(one, WitnessAnchor):
        _add_line(place, one, head, files[f"{one.name}.note"])
    return Anchored(name=one.name, kind=one.kind, state="ok", size=size)


def _handed(
    place: Workspace, one: Anchor, head: SignedCheckpoint
) -> tuple[SignedCheckpoint, Mapping[str, bytes]]:
    """Have an anchor remember one head, or a newer one; return which, and what it gave."""
    try:
        return head, one.put(head, place.log.prove_consistency)
    except ForkError:
        newer = place.log.published()
        if newer is None or newer.checkpoint.size <= head.checkpoint.size:
            raise
        return _handed(place, one, newer)  # another process published and anchored in between: no fork


def _add_line(place: Workspace, witness: "WitnessAnchor", asked: SignedCheckpoint, cosigned: bytes) -> None:
    """Add the new line to the published head, which may carry another witness's line by now."""
    line = cosigned.splitlines(keepends=True)[-1]
    for _ in range(_TRIES):
        current = place.log.published()
        if current is None or current.checkpoint != asked.checkpoint or witness.cosigned(current.note):
            return
        if place.log.add_cosignatures(current.note + line):
            return


def _together(
    anchors: Sequence[Anchor], put: "Callable[[Anchor], Anchored]", wait: float, size: int
) -> tuple[Anchored, ...]:
    """Ask all at once; whoever has not answered in time counts as failed and is left behind."""
    found: dict[str, Anchored] = {}

    def ask(one: Anchor) -> None:
        try:
            found[one.name] = put(one)
        except ForkError as error:
            found[one.name] = Anchored(name=one.name, kind=one.kind, state="fork", size=size, why=error.what)
        except Error as error:
            found[one.name] = Anchored(
                name=one.name, kind=one.kind, state="failed", size=size, why=error.what
            )

    threads = [threading.Thread(target=ask, args=(one,), daemon=True) for one in anchors]
    deadline = SystemClock().mono() + int(wait * 1e9)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, (deadline - SystemClock().mono()) / 1e9))
    late = f"no answer within {wait:g} s"
    return tuple(
        found.get(one.name) or Anchored(name=one.name, kind=one.kind, state="failed", size=size, why=late)
        for one in anchors
    )


class _Kept(Mapping[str, bytes]):
    """What anchors gave, by `<size>/<file name>`: each is read when it is asked for, and not held but for `given`."""

    def __init__(self, log: "Log", given: Mapping[str, bytes]) -> None:
        self._log, self._given = log, given

    def __getitem__(self, path: str) -> bytes:
        if path in self._given:
            return self._given[path]
        return dict(self._log.kept(int(path.partition("/")[0])))[path]

    def __iter__(self) -> Iterator[str]:
        yield from self._given
        kept = (f"{size}/{name}" for size, name in self._log.anchored())
        yield from (path for path in kept if path not in self._given)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _shown(one: Anchor, kept: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yield what an anchor holds; whatever keeps it from that is its own failure, and none of the log."""
    try:
        yield from one.held(kept)
    except AnchorError:
        raise
    except Error as error:
        raise AnchorError(error.what, where=error.where) from error


def _others(one: Anchor, log: NoteVerifier) -> tuple[Finding, ...]:
    """Compare this log's key with those under which a folder of this workspace's own holds heads of its name."""
    from itmp.adapters.anchors import FolderAnchor  # noqa: PLC0415 - as above

    if not isinstance(one, FolderAnchor) or not one.owned:
        return ()
    try:
        return judge_others(f"anchor {one.name}", one.others(), log)
    except Error:
        return ()  # a folder that cannot be read is told by the attempt to anchor


def _finding(answer: Anchored) -> Finding:
    place = f"anchor {answer.name}"
    if answer.state == "fork":
        name = "rolled-back" if "older log" in answer.why else "forked"
        return Finding(rule=RULE, name=name, place=place, message=answer.why)
    return Finding(rule=RULE, name="anchor-failed", place=place, message=answer.why, grave=False)


def overdue(place: Workspace) -> tuple[Anchored, ...]:
    """Return the anchors that have not remembered a head for longer than their `lag`; nothing is contacted."""
    now = SystemClock().now()
    lags = {setting.name or setting.kind: setting.lag for setting in place.config.anchors}
    return tuple(
        one
        for one in last(place)
        if one.name in lags and one.since and now - parse_time(one.since) > parse_duration(lags[one.name])
    )


def gone(place: Workspace) -> tuple[Anchored, ...]:
    """Return the anchors on this machine that have remembered heads, and that itmp.yml has no more where they were."""
    named = {(setting.kind, setting.where) for setting in place.config.anchors}
    away = [one for one in _holding(place) if (one.kind, one.where) not in named]
    newest = {(one.kind, one.where): one for one in sorted(away, key=lambda one: one.log == place.log.origin)}
    return tuple(newest.values())  # one for each place: of the logs whose heads lay there, rather this one


def seen(place: Workspace, setting: AnchorSetting) -> tuple[int, int]:
    """Return how many leaves of this log a local anchor was seen to remember where it is now; 0 for none.

    The second is the same of a log that was not written down, which may be an earlier one.
    """
    held = {one.memory: one.held for one in _holding(place)}
    here = (setting.kind, setting.where)
    return held.get((*here, place.log.origin), 0), held.get((*here, ""), 0)


def held_of(place: Workspace) -> Iterator[tuple[str, int]]:
    """Yield how many leaves of this log each anchor, of whatever kind, was seen to hold."""
    return ((one.name, one.held) for one in _written(place) if one.log == place.log.origin)


def _holding(place: Workspace) -> Iterator[Anchored]:
    return (one for one in _written(place) if one.held and one.kind in LOCAL)


def _write(place: Workspace, found: Sequence[Anchored]) -> None:
    """Write down what became of each, and have somebody told of what has gone on for too long."""
    before = {one.name: one.since for one in last(place)}
    now = format_time(SystemClock().now().replace(microsecond=0))
    found = [one if one.state == "ok" else replace(one, since=before.get(one.name) or now) for one in found]
    placed = list(_placed(place, found))
    asked = {one.memory for one in placed}
    known = {
        (one.kind, one.where, "") for one in placed if one.held
    }  # of which log was not said: of this, from now on
    others = (one for one in _holding(place) if one.memory not in asked | known)
    _remember(place, [*placed, *(replace(one, state=_GONE, since="") for one in others)])
    late = {f"anchor-behind {one.name}" for one in overdue(place)}
    alerting.settle(place, {"anchor-behind"}, still=late)
    for incident in sorted(late):
        alerting.tell(place, incident)
    if any(one.state == "fork" for one in found):
        alerting.tell(place, "rolled-back")


def _placed(place: Workspace, found: Sequence[Anchored]) -> Iterator[Anchored]:
    """Add where each is, and what it was seen to hold there."""
    settings = {setting.name or setting.kind: setting for setting in place.config.anchors}
    held = {one.memory: one.held for one in _written(place)}
    for one in found:
        where = settings[one.name].where if one.name in settings else ""
        asked = replace(one, where=where, log=place.log.origin)
        before = held.get(asked.memory, 0)
        yield replace(asked, held=max(before, one.size) if one.state == "ok" else before)


def _remember(place: Workspace, found: Sequence[Anchored]) -> None:
    write_file(place.state / _LAST, json.dumps([asdict(one) for one in found]).encode())
