import pytest

from itmp.audit import Checkpoint, SignedCheckpoint
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.evidence import LogPolicy, Trust
from itmp.signing import NoteKey

LOG = NoteKey.generate("example.com/ops/2026", bytes(32))
OTHER = NoteKey.generate("example.com/ops/2026", bytes(31) + b"\1")
WITNESSES = [NoteKey.generate(f"w{n}.example", bytes([n]) * 32, algorithm=4) for n in range(1, 4)]
NAMED = "".join(f"witness w{n} {key.vkey}\n" for n, key in enumerate(WITNESSES, 1))
HEAD = Checkpoint(origin=LOG.name, size=3, root=bytes(32))
GENESIS = b"sha256:" + b"0" * 64


def note(*witnesses: NoteKey, log: NoteKey = LOG) -> bytes:
    data = SignedCheckpoint.sign(HEAD, log).note
    for witness in witnesses:
        data = witness.cosign(data, time=1_800_000_000)
    return data


@pytest.mark.parametrize(
    ("rules", "have", "enough"),
    [
        ("quorum none", (), True),
        ("quorum w1", (), False),
        ("quorum w1", (0,), True),
        ("quorum w1", (1,), False),
        ("group g any w1 w2\nquorum g", (1,), True),
        ("group g all w1 w2\nquorum g", (1,), False),
        ("group g 2 w1 w2 w3\nquorum g", (0, 2), True),
        ("group g 2 w1 w2 w3\nquorum g", (2,), False),
        ("group g all w1 w2\ngroup h any g w3\nquorum h", (2,), True),
        ("group g all w1 w2\ngroup h all g w3\nquorum h", (0, 2), False),
    ],
)
def test_the_witnesses_quorum(rules: str, have: tuple[int, ...], enough: object) -> None:
    policy = LogPolicy.parse(f"# a comment\n\nlog\t{LOG.vkey}  https://log.example/\n{NAMED}{rules}\n")
    signed = note(*(WITNESSES[n] for n in have))
    if enough:
        assert policy.open(signed).checkpoint == HEAD
    else:
        with pytest.raises(EvidenceInvalidError, match="quorum"):
            policy.open(signed)


def test_only_the_logs_own_key_counts() -> None:
    policy = LogPolicy.parse(f"log {LOG.vkey}\nquorum none\n")
    with pytest.raises(EvidenceInvalidError):
        policy.open(note(log=OTHER))


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"log {LOG.vkey}\n",
        "quorum none\n",
        f"log {LOG.vkey}\nlog {OTHER.vkey}\nquorum none\n",
        f"log {LOG.vkey}\nquorum none\nquorum none\n",
        f"log {LOG.vkey}\nquorum w1\n",
        f"log {LOG.vkey}\n{NAMED}{NAMED}quorum none\n",
        f"log {LOG.vkey}\nwitness a {WITNESSES[0].vkey}\nwitness b {WITNESSES[0].vkey}\nquorum a\n",
        f"log {LOG.vkey}\nwitness none {WITNESSES[0].vkey}\nquorum none\n",
        f"log {LOG.vkey}\nwitness a {LOG.vkey}\nquorum a\n",
        f"log {WITNESSES[0].vkey}\nquorum none\n",
        f"log {LOG.vkey}\n{NAMED}group g 0 w1\nquorum g\n",
        f"log {LOG.vkey}\n{NAMED}group g \u0661 w1\nquorum g\n",
        f"log {LOG.vkey}\n# a comment\r\nquorum none\n",
        f"log {LOG.vkey}\n{NAMED}group g 3 w1 w2\nquorum g\n",
        f"log {LOG.vkey}\n{NAMED}group g any\nquorum g\n",
        f"log {LOG.vkey}\n{NAMED}group g any w1\ngroup h any w1\nquorum h\n",
        f"log {LOG.vkey}\n{NAMED}group g any h\ngroup h any w1\nquorum g\n",
        f"log {LOG.vkey} a b\nquorum none\n",
        f"logs {LOG.vkey}\nquorum none\n",
        f"log {LOG.vkey}x\nquorum none\n",
    ],
)
def test_a_policy_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        LogPolicy.parse(text)


FILES = {"log.policy": f"log {LOG.vkey}\nquorum none\n".encode(), "genesis": GENESIS + b"\n"}


def test_trust_is_read_from_its_files() -> None:
    trust = Trust.from_files({**FILES, "checkpoint": note()})
    assert (trust.genesis, trust.kept, trust.brought) == (GENESIS.decode(), HEAD, ("checkpoint",))
    assert Trust.from_files(FILES).brought == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"log.policy": None},
        {"genesis": None},
        {"genesis": b"sha256:1\n"},
        {"genesis": b"\xff"},
        {"checkpoint": note(log=OTHER)},
        {"checkpoint": b""},
        {"extra": b""},
        {"tsa.pem": bytes(70_000)},
    ],
)
def test_trust_that_lacks_or_twists_something_is_refused(changes: dict[str, bytes | None]) -> None:
    files = {name: data for name, data in {**FILES, **changes}.items() if data is not None}
    with pytest.raises(InvalidInputError):
        Trust.from_files(files)
