"""The lock that stays open between two turns: whom it excludes, and who shares it with nobody."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from itmp.adapters.posix_log.locks import Lock
from itmp.errors import LogUnavailableError


def free(path: Path) -> bool:
    """Whether nobody holds the lock file that stands there now."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_a_turn_is_given_back_and_taken_again(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    for _ in range(3):
        with lock:
            assert not free(tmp_path / "lock")
        assert free(tmp_path / "lock")
    lock.close()
    with lock:
        assert not free(tmp_path / "lock")


def test_a_turn_that_fails_is_given_back(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert free(tmp_path / "lock")


def test_threads_of_one_lock_exclude_each_other(tmp_path: Path) -> None:
    lock, inside, most = Lock(tmp_path / "lock"), set[int](), list[int]()

    def work(number: int) -> None:
        for _ in range(20):
            with lock:
                inside.add(number)
                time.sleep(0.0005)  # time for the others to come in as well
                most.append(len(inside))
                inside.discard(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80


def test_a_lock_file_that_was_replaced_between_two_turns_counts_for_nothing(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    with lock:
        pass
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").touch()
    with lock:
        assert not free(tmp_path / "lock")


def test_a_lock_that_cannot_be_taken_is_an_error_and_held_by_nobody(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "folder/lock")
    with pytest.raises(LogUnavailableError), lock:
        pass
    (tmp_path / "folder").mkdir()
    with lock:
        assert not free(tmp_path / "folder/lock")


def in_process(script: str, path: Path) -> "subprocess.CompletedProcess[str]":
    head = f"import os, signal, sys, time\nfrom pathlib import Path\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    head += "from itmp.adapters.posix_log.locks import Lock\nfrom test_locks import free\n"
    call = [sys.executable, "-c", head + script, path]
    return subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)


def test_a_child_that_leaves_its_parents_turn_does_not_end_it(tmp_path: Path) -> None:
    script = """
path = Path(sys.argv[1])
lock = Lock(path)
with lock:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        print(free(path))
if not child:
    os._exit(0)
"""
    assert in_process(script, tmp_path / "lock").stdout == "False\n"


def test_a_living_child_keeps_no_lock_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = """
path = Path(sys.argv[1])
lock = Lock(path)
with lock:
    pass
ends, lives = os.pipe(), os.pipe()
child = os.fork()
if not child:  # the holder has a child of its own, which outlives it
    with lock:
        pass
    grandchild = os.fork()
    if not grandchild:
        os.write(lives[1], b"x")
        os.read(ends[0], 1)
        os._exit(0)
    os.read(lives[0], 1)
    with lock:
        os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
print(free(path))
os.write(ends[1], b"x")
"""
    assert in_process(script, tmp_path / "lock").stdout == "True\n"


def test_a_child_takes_turns_of_its_own(tmp_path: Path) -> None:
    script = """
path = Path(sys.argv[1])
lock = Lock(path)
with lock:
    child = os.fork()
    if not child:
        with lock:
            os._exit(0 if not free(path) else 1)
    time.sleep(0.3)
    print(os.waitpid(child, os.WNOHANG)[0])
print(os.waitpid(child, 0)[1])
"""
    assert in_process(script, tmp_path / "lock").stdout == "0\n0\n"
