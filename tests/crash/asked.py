"""The kernel asks before a child's system calls whether they may happen, and a fault is the answer.

A filter of seccomp (`SECCOMP_RET_USER_NOTIF`, Linux 5.5) lets a child wait before each call of one number, or before each
call of any. Calls of other numbers cost nothing, nothing is traced, and what a child has done until then lies still, to
be looked at. Answers: the call happens, it fails with an error without happening, or the child dies before it.
Layouts and numbers: `linux/seccomp.h`, `linux/filter.h`.
"""

import ctypes
import fcntl
import os
import platform
import select
import signal
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

Answer: TypeAlias = int
GO_ON: Final = 0
KILL: Final = -1
"""Any other answer is the number of an error."""

Asked: TypeAlias = Callable[[int, int], Answer]
"""Is given a call's number and how many calls of this number there were, this one counted."""

EVERY: Final = -1
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_GETFD: Final = 438
_NO_NEW_PRIVILEGES, _SET_FILTER, _WITH_LISTENER = 38, 1, 8
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ASK, _ALLOW = 0x7FC00000, 0x7FFF0000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_QUESTION: Final = struct.Struct("=QIIi60x")
_REPLY: Final = struct.Struct("=QqiI")
_HAPPEN: Final = 1
_C: Final = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def let_ask(number: int) -> None:
    """From now on wait for an answer before each call of this number, or before `EVERY` one, in this thread and its own."""
    one = struct.Struct("=HBBI").pack
    program = b"".join(
        [
            one(_LOAD, 0, 0, 0),
            one(_JUMP_EQUAL, 0, int(number != EVERY), max(number, 0)),
            one(_RETURN, 0, 0, _ASK),
            one(_RETURN, 0, 0, _ALLOW),
        ]
    )
    if number == EVERY:
        program = one(_RETURN, 0, 0, _ASK)
    given = _Program(len(program) // 8, program)
    _checked(_C.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(_C.syscall(_SECCOMP[platform.machine()], _SET_FILTER, _WITH_LISTENER, ctypes.byref(given)))


def answer(child: int, asked: Asked, *, patience: float) -> None:
    """Answer what a child's first thread asks, until the child has ended; its other threads go on unasked."""
    process = os.pidfd_open(child)
    listener = _listener(child, process, patience)
    counts = Counter[int]()
    try:
        for question, thread, number in _questions(listener, process, patience):
            counts[number] += thread == child
            said = asked(number, counts[number]) if thread == child else GO_ON
            if said == KILL:
                os.kill(child, signal.SIGKILL)
                continue
            try:
                fcntl.ioctl(listener, _SEND, _REPLY.pack(question, 0, -said, 0 if said else _HAPPEN))
            except FileNotFoundError:
                continue  # it was killed meanwhile
    finally:
        os.close(listener)
        os.close(process)


def _questions(listener: int, process: int, patience: float) -> Iterator[tuple[int, int, int]]:
    ready = select.poll()
    ready.register(listener, select.POLLIN)
    ready.register(process, select.POLLIN)
    while True:
        events = dict(ready.poll(patience * 1000))
        assert events, "a child neither asks nor ends"
        if process in events:
            return
        question = bytearray(_QUESTION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, question)
        except FileNotFoundError:
            continue  # who asked has ended
        found, thread, _, number = _QUESTION.unpack(question)
        yield found, thread, number


def _listener(child: int, process: int, patience: float) -> int:
    """Return our own descriptor of what a child is about to open by `let_ask`."""
    until, folder = time.monotonic() + patience, Path(f"/proc/{child}/fd")
    while time.monotonic() < until:
        for link in folder.iterdir():
            if link.readlink().name.endswith("seccomp notify"):
                return _checked(_C.syscall(_GETFD, process, int(link.name), 0))
        time.sleep(0.0002)
    raise AssertionError("the child does not ask: is seccomp's user notification allowed here?")


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
