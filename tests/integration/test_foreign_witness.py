"""Cosignatures, log policies, proofs and the witness protocol, against code that is none of ours (`gowitness`).

Two foreign implementations stand behind it: filippo.io/torchwood, and the modules of transparency-dev. Where both read
the same thing, `gowitness` fails unless they agree.
"""

import base64
import itertools
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import golang
import pytest
from anchored import Site, judged, new_witness, rolled_back, trust_of, witness

from itmp.audit.checkpoint import Checkpoint
from itmp.audit.merkle import Tree, leaf_hash
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.evidence import archive
from itmp.evidence.trust import LogPolicy
from itmp.signing import NoteKey, open_note
from itmp.signing.notes import COSIGNATURE

pytestmark = [pytest.mark.go, pytest.mark.xdist_group("go")]

SOURCE = Path(__file__).parents[1] / "fixtures/gowitness"
ORIGIN = "example.com/ops/2026"
LOG = NoteKey.generate(ORIGIN, b"l" * 32)
W = [
    NoteKey.generate(f"witness.example/w{at}", bytes([at]) * 32, algorithm=COSIGNATURE) for at in range(1, 5)
]
TIME = 1_790_000_000
LINES = "".join(f"witness w{at} {key.vkey} https://w{at}.example/\n" for at, key in enumerate(W, 1))


class Foreign:
    """The built program."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self._folder = program, folder

    def __call__(self, *words: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[str]:
        call = [str(self.program), *map(str, words)]
        done = subprocess.run(call, input=given, capture_output=True, timeout=60, check=False)
        return subprocess.CompletedProcess(call, done.returncode, done.stdout.decode(), done.stderr.decode())

    def under(self, verb: str, policy: str, given: bytes) -> subprocess.CompletedProcess[str]:
        file = self._folder / "log.policy"
        file.write_bytes(policy.encode())
        return self(verb, file, given=given)

    def ask(self, url: str, old: int, note: bytes, proof: Sequence[bytes] = ()) -> str:
        """Return what the foreign client makes of the answer: the lines, or its error."""
        done = self("ask", url, str(old), *(base64.b64encode(item).decode() for item in proof), given=note)
        assert (done.returncode == 0) == bool(done.stdout), done
        return done.stdout or done.stderr.strip()

    @contextmanager
    def serving(self, key: NoteKey, log: str) -> Iterator[str]:
        """Be a witness with our key for the log with this key; yield its address."""
        call = [str(self.program), "serve", key.to_text(), log]
        child = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert child.stdout
            url, key_id = child.stdout.readline().split()
            assert key_id == key.verifier.key_id.hex()
            yield url
        finally:
            child.kill()
            child.communicate(timeout=60)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golang.build(SOURCE, tmp_path_factory.mktemp("gowitness") / "gowitness")


@pytest.fixture
def foreign(program: Path, tmp_path: Path) -> Foreign:
    return Foreign(program, tmp_path)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Site(tmp_path / "w")


def grown(size: int, word: bytes = b"leaf", upto: int = 0) -> Tree:
    tree = Tree()
    tree.extend([leaf_hash(b"%s %d" % (b"leaf" if at < upto else word, at)) for at in range(size)])
    return tree


def head(tree: Tree, key: NoteKey = LOG) -> bytes:
    return key.sign(Checkpoint(origin=key.name, size=tree.size, root=tree.root()).to_text())


def policy(quorum: str, *groups: str) -> str:
    return f"log {LOG.vkey}\n{LINES}" + "".join(f"group {group}\n" for group in groups) + f"quorum {quorum}\n"


# Cosignatures.


def test_a_foreign_verifier_reads_our_cosignatures_and_their_times(foreign: Foreign) -> None:
    note = W[1].cosign(W[0].cosign(head(grown(5)), time=TIME), time=TIME + 1)
    read = foreign.under("read", policy("g", "g all w1 w2"), note)
    told = f"{ORIGIN} 5\n{W[0].name} {TIME}\n{W[1].name} {TIME + 1}\n"
    assert (read.returncode, read.stdout) == (0, told), read.stderr
    assert foreign.under("quorum", policy("g", "g all w1 w2"), note).stdout.startswith("true\n")


def swapped(line: bytes, at: int, value: bytes) -> bytes:
    """Return a signature line with other bytes in what its base64 holds."""
    before, _, encoded = line.rstrip(b"\n").rpartition(b" ")
    raw = base64.b64decode(encoded)
    return before + b" " + base64.b64encode(raw[:at] + value + raw[at + len(value) :]) + b"\n"


BARE = head(grown(5))
LINE = W[0].cosign(BARE, time=TIME).removeprefix(BARE)
STRANGER = NoteKey.generate(W[0].name, b"s" * 32, algorithm=COSIGNATURE)
FORGED = {
    "another key": BARE + STRANGER.cosign(BARE, time=TIME).removeprefix(BARE),
    "another key under this one's id": BARE
    + swapped(STRANGER.cosign(BARE, time=TIME).removeprefix(BARE), 0, W[0].verifier.key_id),
    "another time": BARE + swapped(LINE, 4, (TIME - 86400).to_bytes(8)),
    "no time": BARE + swapped(LINE, 4, bytes(8)),
    "another size": head(grown(6)) + LINE,
    "another root": head(grown(5, b"other")) + LINE,
    "a plain signature": BARE
    + swapped(
        NoteKey.generate(W[0].name, W[0].seed).sign(BARE.decode().partition("\n\n")[0] + "\n").split(b"\n")[-2],
        0,
        W[0].verifier.key_id,
    ),
}  # fmt: skip


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_foreign_verifier_and_ours_refuse_the_same_forgeries(foreign: Foreign, forged: bytes) -> None:
    """The log's own signature holds in each: only the cosignature is at fault."""
    assert open_note(forged, [LOG.verifier]).text
    trusted = policy("w1")
    with pytest.raises(EvidenceInvalidError):
        LogPolicy.parse(trusted).open(forged)
    read = foreign.under("read", trusted, forged)
    assert (read.returncode, read.stdout) == (1, ""), read
    assert foreign.under("quorum", trusted, forged).stdout.startswith("false\n")


# Policies.


@pytest.mark.parametrize(
    "trusted",
    [
        policy("none"),
        policy("w3"),
        policy("g", "g any w1 w2 w3"),
        policy("g", "g 2 w1 w2 w3"),
        policy("g", "g all w1 w2"),
        policy("both", "a 1 w1 w2", "b any w3 w4", "both all a b"),
        "# ours\n\n \t" + policy("g", "g\t2  w1 w2 w3").replace("witness ", "\twitness\t"),
    ],
)
def test_every_reader_of_a_policy_finds_the_same_quorums(foreign: Foreign, trusted: str) -> None:
    mine = LogPolicy.parse(trusted)
    for count in range(len(W) + 1):
        for some in itertools.combinations(W, count):
            note = BARE
            for key in some:
                note = key.cosign(note, time=TIME)
            try:
                verdict = bool(mine.open(note))
            except EvidenceInvalidError:
                verdict = False
            assert (foreign.under("read", trusted, note).returncode == 0) == verdict, [
                key.name for key in some
            ]
            told = foreign.under("quorum", trusted, note).stdout.splitlines()
            assert told[0] == str(verdict).lower(), [key.name for key in some]
    names = {name for line in told[1:] for name in line.split()[:1]}
    assert names <= {key.name for key in W}


@pytest.mark.parametrize(
    "broken",
    [
        f"log {LOG.vkey}\n",
        policy("g"),
        policy("g", "g 3 w1 w2"),
        policy("g", "g two w1 w2"),
        policy("g", "g \u0662 w1 w2"),
        policy("g", "g any w1 w9"),
        policy("g", "g any later", "later any w1"),
        policy("w1") + f"witness w1 {W[0].vkey}\n",
        policy("w1") + "witnesses w1\n",
        f"log {W[0].vkey}\nquorum none\n",
        f"log {LOG.vkey}\nwitness w1 {LOG.vkey}\nquorum w1\n",
    ],
)
def test_what_is_no_policy_is_refused_by_both(foreign: Foreign, broken: str) -> None:
    with pytest.raises(InvalidInputError):
        LogPolicy.parse(broken)
    read = foreign.under("read", broken, BARE)
    assert (read.returncode, read.stdout) == (1, ""), read


# Our witness, asked by a foreign client.


def test_a_foreign_client_gets_our_witness_s_line_and_understands_each_refusal(
    foreign: Foreign, tmp_path: Path
) -> None:
    vkey = new_witness(tmp_path / "state")
    trusted = f"log {LOG.vkey}\nwitness w {vkey}\nquorum w\n"
    five, nine, fork = grown(5), grown(9), grown(9, b"other", upto=4)
    with witness(tmp_path / "state", LOG.vkey) as url:
        empty = Checkpoint(origin=ORIGIN, size=0, root=five.root())
        assert foreign.ask(url, 0, LOG.sign(empty.to_text())) == "consistency proof invalid"
        for old, tree in ((0, five), (5, five), (5, nine)):
            lines = foreign.ask(url, old, head(tree), tree.consistency(old, tree.size) if old else ())
            read = foreign.under("read", trusted, head(tree) + lines.encode())
            assert read.stdout.startswith(f"{ORIGIN} {tree.size}\nwitness.example/w1 "), (lines, read)
        proof = nine.consistency(5, 9)
        assert foreign.ask(url, 5, head(nine), proof) == "old size != current: 9"
        assert foreign.ask(url, 0, head(fork)) == "old size != current: 9"
        assert foreign.ask(url, 9, head(fork)) == "consistency proof invalid"
        twelve = grown(12, b"other", upto=8)
        assert foreign.ask(url, 9, head(twelve), twelve.consistency(9, 12)) == "consistency proof invalid"
        assert foreign.ask(url, 9, head(grown(12))) == "consistency proof invalid"
        assert foreign.ask(url, 9, head(five)) == "old size > current"
        stranger = NoteKey.generate("example.org/other/2026", b"s" * 32)
        assert foreign.ask(url, 0, head(five, stranger)) == "unknown log"
        assert (
            foreign.ask(url, 9, head(grown(12), NoteKey.generate(ORIGIN, b"s" * 32))) == "no valid signatures"
        )
        assert foreign.ask(url, 9, head(grown(12)), grown(12).consistency(9, 12)).startswith("\u2014 ")


# A foreign witness, asked by our client.


def test_a_foreign_witness_names_an_old_backup_and_a_fork(foreign: Foreign, site: Site) -> None:
    with foreign.serving(W[0], site.place.log.vkey) as url:
        site.anchors({"kind": "witness", "url": url, "key": W[0].vkey})
        rolled_back(site, "witness")


def test_a_foreign_witness_that_knows_another_history_of_this_size_is_a_fork(
    foreign: Foreign, site: Site
) -> None:
    with foreign.serving(W[0], site.place.log.vkey) as url:
        site.anchors({"kind": "witness", "url": url, "key": W[0].vkey})
        site.save()
        site.grow(2)
        assert site.states() == [("witness", "ok")]
        site.put_back()
        site.grow(2, "mallory@example.com")
        assert site.states() == [("witness", "fork")]


def test_a_foreign_witness_of_another_log_or_key_gives_us_nothing(foreign: Foreign, site: Site) -> None:
    for key, log in ((W[0], LOG.vkey), (W[1], site.place.log.vkey)):
        with foreign.serving(key, log) as url:
            site.anchors({"kind": "witness", "url": url, "key": W[0].vkey})
            assert site.states() == [("witness", "failed")]


def test_foreign_code_proves_every_leaf_of_an_evidence_under_its_witnesses(
    foreign: Foreign, site: Site, tmp_path: Path
) -> None:
    ours = new_witness(tmp_path / "w2", W[1].name)
    log = site.place.log.vkey
    with foreign.serving(W[0], log) as one, witness(tmp_path / "w2", log) as two:
        site.anchors(
            {"kind": "witness", "name": "a", "url": one, "key": W[0].vkey},
            {"kind": "witness", "name": "b", "url": two, "key": ours},
        )
        trust = trust_of(site, W[0].vkey, ours)
        assert judged(site, trust, "witness").exit_code == 0
    files = archive.unpack((site.root / "e.tar").read_bytes())
    told = foreign.under("read", trust["log.policy"].decode(), files["checkpoint"]).stdout.splitlines()
    assert [line.split()[0] for line in told] == [site.place.log.origin, W[0].name, W[1].name]
    leaves = [path for path in files if path.startswith("leaves/")]
    (tmp_path / "log.policy").write_bytes(trust["log.policy"])
    for path in leaves:
        (tmp_path / "leaf").write_bytes(files[path])
        proof = files[f"proofs/{path.removeprefix('leaves/')}.tlog-proof"]
        done = foreign("prove", tmp_path / "log.policy", tmp_path / "leaf", given=proof)
        assert done.returncode == 0, (path, done.stderr)
    (tmp_path / "leaf").write_bytes(files[leaves[0]] + b" ")
    assert foreign("prove", tmp_path / "log.policy", tmp_path / "leaf", given=proof).returncode == 1
    (tmp_path / "log.policy").write_text(f"log {log}\nwitness w {W[2].vkey}\nquorum w\n")
    (tmp_path / "leaf").write_bytes(files[path])
    assert foreign("prove", tmp_path / "log.policy", tmp_path / "leaf", given=proof).returncode == 1
