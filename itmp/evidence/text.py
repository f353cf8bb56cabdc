"""The text of VERIFY.md. It is part of the format: an evidence file holds exactly these bytes."""

from typing import Final

VERIFY: Final = """\
# How to check this file

Do not believe anything in here before you have checked it, this text included.

You need a folder TRUST of your own, made when the log began or from somebody you trust, never from this file:

- `log.policy`: the log's key (and witnesses) as C2SP tlog-policy
- `genesis`: the leaf hash of the log's first entry, `sha256:<hex>`
- `checkpoint` (optional): a checkpoint of this log that you kept
- `tsa.pem` (optional): roots of time stamp authorities

With itmp (any installation, no network): `itmp-verify FILE --trust TRUST`

Without itmp: take `verify.sh` from a release, not from whoever sent you this file, and run
`bash verify.sh FILE TRUST`. It needs bash, tar, sed, coreutils, openssl and ssh-keygen,
and says what it leaves out.

By hand, after `tar -xf FILE`:

- `sha256sum -c MANIFEST`: the members are those that were packed
- `proofs/*.tlog-proof` (C2SP tlog-proof, tlog-checkpoint, signed-note): each leaf is in the signed tree
- `ssh-keygen -Y verify -f allowed_signers -I SIGNER -n itmp-ACT@DOMAIN \\
  -s statements/N.sig < statements/N.txt`
- `plan/manifest`: its sha256 is the plan that the statements name
"""
