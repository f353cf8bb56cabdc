"""One question to very many things, asked in several processes at once.

Rules kept here: answers come in the order of the things, whoever found them; each process has every n-th portion and
waits, once its pipe is full, until its answers are read, so that memory is bounded by what pipes hold; an error that is
raised over a thing is raised here, in that thing's place; a process that ends without its answers is an error, never a
shorter list; none of them outlives its parent: it ends with its pipe. Children are forked: they see what the parent had
read, and share nothing that they write.
"""

import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Final, NoReturn, TypeVar

from itmp.errors import Error

T = TypeVar("T")
R = TypeVar("R")

PORTION: Final = 32
"""Things, at most, between two looks at another pipe."""
_TURNS: Final = 4
"""Portions that each process has, at least, where there are things enough."""
MOST: Final = 16
"""Processes at once: each maps the parent's memory."""
_LENGTH: Final = 8


class SpreadError(Error):
    """A process that was asked ended without its answers; nothing follows from those that came before."""


def processors() -> int:
    """Return how many processes would have a processor of their own."""
    return min(len(os.sched_getaffinity(0)), MOST)


def spread(work: Callable[[Sequence[T]], Sequence[R]], things: Sequence[T], *, over: int) -> Iterator[R]:
    """Yield the answers of `work` to `things`, portion by portion, asked in `over` processes.

    `work` may answer a portion with fewer or more answers than it has things; they must be such as `pickle` takes. It
    must not rest on threads or locks of this process. Whatever it raises that is an `Error` is raised here.
    """
    portion = max(1, min(PORTION, len(things) // (_TURNS * over)))
    portions = [things[at : at + portion] for at in range(0, len(things), portion)]
    children: list[tuple[int, BinaryIO]] = []
    try:
        for n in range(min(over, len(portions))):
            children.append(_begun(work, portions[n::over], [pipe for _, pipe in children]))
        for n in range(len(portions)):
            yield from _received(children[n % over][1])
    finally:
        for child, pipe in children:
            pipe.close()
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            with suppress(ChildProcessError):  # where SIGCHLD is ignored the kernel has waited already
                os.waitpid(child, 0)


def _begun(
    work: Callable[[Sequence[T]], Sequence[R]], portions: Sequence[Sequence[T]], others: Sequence[BinaryIO]
) -> tuple[int, BinaryIO]:
    try:
        reading, writing = os.pipe()
    except OSError as error:
        raise _refused(error) from error
    try:
        child = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        raise _refused(error) from error
    if child == 0:
        os.close(reading)
        for pipe in others:
            os.close(pipe.fileno())  # or its writer would not learn that nobody reads any more
        _answer(work, portions, writing)
    os.close(writing)
    return child, os.fdopen(reading, "rb")


def _refused(error: OSError) -> SpreadError:
    return SpreadError(
        f"this machine starts no further process: {error.strerror}",
        do="Correct it here (`ulimit -u -n`, `free`), then ask again.",
    )


def _answer(
    work: Callable[[Sequence[T]], Sequence[R]], portions: Sequence[Sequence[T]], writing: int
) -> NoReturn:
    """Answer every portion in the child, and end it without its parent's own clean-up."""
    status = 1
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with os.fdopen(writing, "wb") as pipe:
            for portion in portions:
                if not _written(pipe, _said(work, portion)):
                    break
        status = 0
    finally:
        os._exit(status)


def _said(work: Callable[[Sequence[T]], Sequence[R]], portion: Sequence[T]) -> tuple[bool, Any]:
    try:
        return True, list(work(portion))
    except Error as error:
        return False, _portable(error)
    except Exception as error:  # a bug: the parent says so, and the place stands on stderr
        traceback.print_exception(error)
        raise


def _portable(error: Error) -> tuple[bytes, str, str, str]:
    """Return the error's class, not made anew but as it stands, with its words for where that cannot be."""
    words = str(error.what), str(error.where), str(error.do)
    try:
        return pickle.dumps((type(error), error.args, vars(error)), pickle.HIGHEST_PROTOCOL), *words
    except Exception:  # noqa: BLE001 - whatever the class holds that no other process can be given
        return b"", *words


def _rebuilt(whole: bytes, what: str, where: str, do: str) -> Error:
    """Return the error without asking its class to make it: a class may want other words than the root's."""
    try:
        kind, args, state = pickle.loads(whole)  # noqa: S301 - as in `_received`
        error: Error = kind.__new__(kind, *args)
        error.args = args
        vars(error).update(state)
    except Exception:  # noqa: BLE001 - as in `_portable`
        return SpreadError(what, where=where, do=do)
    return error


def _written(pipe: BinaryIO, said: tuple[bool, Any]) -> bool:
    data = pickle.dumps(said, pickle.HIGHEST_PROTOCOL)
    pipe.write(len(data).to_bytes(_LENGTH) + data)
    pipe.flush()
    return said[0]


def _received(pipe: BinaryIO) -> Sequence[Any]:
    length = int.from_bytes(pipe.read(_LENGTH))
    data = pipe.read(length)
    if not length or len(data) != length:
        raise SpreadError(
            "a process that read part of the log ended before its end",
            do="Ask again; if it recurs, report it.",
        )
    good, told = pickle.loads(data)  # noqa: S301 - written by our own child into our own pipe
    if not good:
        raise _rebuilt(*told)
    answers: Sequence[Any] = told
    return answers
