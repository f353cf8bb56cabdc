"""One log of evidence: its signed head, the leaves that were brought, and who may do what there. Rules 2 to 6.

Rules kept here: the checkpoint is TRUST's, each leaf is in it, leaf 0 is TRUST's genesis, the policy's versions came in
by right and those that TRUST knows are among them, and the head continues every head that is known. Used for the
change's own log and for each log before it.
"""

from collections.abc import Iterable, Mapping

from itmp.audit import Checkpoint, Inclusions, Leaf, ProofError, SignedCheckpoint, verify_consistency
from itmp.canonical import Digest, raw
from itmp.change import PolicyHistory, PolicyHistoryError, policy_history
from itmp.errors import EvidenceInvalidError, ForkError, InvalidInputError, RolledBackError
from itmp.evidence.frame import numbered
from itmp.evidence.proofs import Hashes, read_hashes
from itmp.evidence.rules import LEFT_OUT, Lack, PolicyLeftOutError
from itmp.evidence.seen import seen_in
from itmp.evidence.trust import Trust


class Period:
    """The members of one log, by their names without a prefix, and what `judge` has established about it."""

    def __init__(self, members: Mapping[str, bytes], trust: Trust, *, prefix: str = "") -> None:
        self._members, self.trust, self._prefix = members, trust, prefix
        self.leaves = {
            index: Leaf(index=index, data=data) for index, data in numbered(members, "leaves/", "")
        }
        for leaf in self.leaves.values():
            try:
                _ = leaf.event
            except InvalidInputError as error:
                raise EvidenceInvalidError(error.what, where=f"{prefix}leaves/{leaf.index}") from error
        self.bound = {"checkpoint"}
        self.head: SignedCheckpoint
        self.history: PolicyHistory
        self.absent: Lack | None = None
        self.unreached: Lack | None = None

    def check_head(self) -> None:
        """Rule 2."""
        self.head = self.trust.head(self._members["checkpoint"], where=f"{self._prefix}checkpoint")

    def check_inclusion(self) -> None:
        """Rule 3."""
        proofs = dict(numbered(self._members, "proofs/", ".tlog-proof"))
        if proofs.keys() != self.leaves.keys():
            raise EvidenceInvalidError(
                "not every leaf has its proof, or a proof has no leaf", where=f"{self._prefix}proofs"
            )
        head, hashes = self.head.checkpoint, Hashes()
        included = Inclusions(size=head.size, root=head.root)
        for index, data in proofs.items():
            name = f"proofs/{index}.tlog-proof"
            proof = hashes.inclusion(data, index=index, note=self.head.note, where=self._prefix + name)
            try:
                included.verify(index=index, leaf=raw(self.leaves[index].hash), proof=proof)
            except ProofError as error:
                raise EvidenceInvalidError(error.what, where=self._prefix + name) from error
            self.bound |= {name, f"leaves/{index}"}

    def check_genesis(self) -> None:
        """Rule 4."""
        first = self.leaves.get(0)
        if first is None or first.hash != self.trust.genesis:
            raise EvidenceInvalidError(
                "it is not the genesis that TRUST names", where=f"{self._prefix}leaf 0"
            )

    def check_policies(self) -> None:
        """Rule 5."""
        history = policy_history(self.leaves[index] for index in sorted(self.leaves))
        if (history.origin, history.log_key) != (self.head.checkpoint.origin, self.trust.policy.log.vkey):
            raise PolicyHistoryError(
                "the genesis was enrolled for another log or key", where=f"{self._prefix}leaf 0"
            )
        self.history = history
        for index, leaf in sorted(self.trust.versions.get(history.origin, {}).items()):
            self._holds_version(index, leaf)

    def _holds_version(self, index: int, leaf: Digest) -> None:
        """A version that the auditor knows is in the file, whoever would rather have it forgotten.

        A file from before it is only too old; a log that ended before it is another log than the auditor's.
        """
        size, where = self.head.checkpoint.size, f"{self._prefix}leaf {index}"
        if index >= size and self.history.ended is None:
            why = f"TRUST knows a policy version at leaf {index}, and the file ends at {size}: it is too old"
            self.unreached = Lack(why=why, place=where)
        elif index >= size:
            raise RolledBackError(
                f"TRUST knows a policy version there, and the log ends with {size} leaves", where=where
            )
        elif index not in self.leaves:
            raise PolicyLeftOutError(
                f"{LEFT_OUT}: TRUST knows a policy version there, and the file leaves it out", where=where
            )
        elif self.leaves[index].hash != leaf:
            raise ForkError("another leaf than the policy version that TRUST knows", where=where)

    def check_one_history(self, anchored: Iterable[Checkpoint] = ()) -> None:
        """Rule 6. `anchored` are heads that others cosigned or stamped."""
        head, kept = self.head.checkpoint, self.trust.kept_of(self.head.checkpoint.origin)
        olds = seen_in(self.leaves.values(), head.origin)
        for one in (*anchored, *((kept,) if kept else ())):
            olds.setdefault(one.size, set()).add(one.root)
        expected = {f"consistency/{old}-{head.size}" for old in olds if 0 < old < head.size}
        present = {name for name in self._members if name.startswith("consistency/")}
        mine = f"consistency/{kept.size}-{head.size}" if kept else ""
        if kept and mine in expected - present:
            why = f"no proof from your checkpoint of {kept.size} leaves: ask for evidence --since it"
            self.absent = Lack(why=why, place=self._prefix + mine)
        if present - expected or expected - present - {mine}:
            odd = min(present ^ expected)
            raise EvidenceInvalidError(
                "a proof that is missing, or from a checkpoint that TRUST does not hold",
                where=self._prefix + odd,
            )
        for old, roots in sorted(olds.items()):
            self._continues(old, roots)
        self.bound |= present

    def _continues(self, old: int, roots: Iterable[bytes]) -> None:
        head, name = self.head.checkpoint, f"consistency/{old}-{self.head.checkpoint.size}"
        where = self._prefix + name
        if old > head.size:
            raise RolledBackError(
                f"{old} leaves were known to somebody, the checkpoint has {head.size}",
                where=f"{self._prefix}checkpoint",
            )
        known = list(roots)
        if len(known) > 1:
            raise ForkError(f"two histories of the first {old} leaves were shown to people", where=where)
        if old < head.size and name not in self._members:
            return  # the kept checkpoint's; reported as absent
        proof = read_hashes(self._members[name], where=where) if old < head.size else ()
        try:
            verify_consistency(old=old, new=head.size, old_root=known[0], new_root=head.root, proof=proof)
        except ProofError as error:
            raise ForkError(
                f"the log does not continue the first {old} leaves that were known: {error.what}", where=where
            ) from error
