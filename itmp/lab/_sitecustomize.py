"""Lets the Python of loopback hosts know what it has compiled before: a fleet puts this into their `PYTHONPATH`.

Ansible sends each module with all that it imports as one archive, and Python keeps nothing that it compiled from one: a
task that works for 50 ms compiles for 250 before. On a machine that is many hosts, this was half of what plays cost.

Rules kept here: what is kept is what this very Python made of the very bytes, beside this file, each whole or not at
all; what cannot be read there is compiled as ever, and what cannot be written is not kept. Nothing is imported that
Python has not imported by then: every start of every program on a host passes here.
"""

import _frozen_importlib_external as external
import _imp
import io
import marshal
import os
import zipimport
from types import CodeType

_FOLDER = __file__.rpartition("/")[0]
_compile = zipimport._compile_source  # type: ignore[attr-defined]  # noqa: SLF001 -- the one place where it compiles


def known(path: str, source: bytes) -> CodeType:
    """Return the code of `source`, kept or compiled now; `path` is where a traceback says that it was."""
    file = f"{_FOLDER}/{_imp.source_hash(external._RAW_MAGIC_NUMBER, source).hex()}"  # type: ignore[attr-defined]  # noqa: SLF001 -- what Python names its own kept code by
    try:
        with io.open_code(file) as kept:
            code: CodeType = marshal.loads(kept.read())  # noqa: S302 -- whoever may write there is the fleet's owner
    except (OSError, EOFError, ValueError, TypeError):
        code = _compile(path, source)
        keep(file, marshal.dumps(code))
    else:
        _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]  # noqa: SLF001 -- what Python does with its own kept code
    return code


def keep(file: str, data: bytes) -> None:
    """Write a file whole; do nothing where that is not possible."""
    new = f"{file}.{os.getpid()}"
    try:
        with io.FileIO(new, "xb") as target:
            target.write(data)
        os.rename(new, file)  # noqa: PTH104 -- pathlib is not imported by then
    except OSError:
        pass


zipimport._compile_source = known  # type: ignore[attr-defined]  # noqa: SLF001 -- as above
