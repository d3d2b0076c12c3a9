#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Locks of the second kind beside programs with fcntl() locks of their own: Python's, and Tooz's file:// driver."""
import contextlib
import fcntl
import os
import signal
import subprocess
import sys

TOP = os.environ.get("srcdir") or os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "system"))
sys.dont_write_bytecode = True

from kit import built, main, skip, test, wait_for   # noqa: E402
from kit.proc import Process                        # noqa: E402

try:
    from tooz import coordination
except ImportError:
    coordination = None

TRY, FOR_EVER, LATE = "0", "infinity", "600000000"
MODES = {"exclusive": fcntl.LOCK_EX, "shared": fcntl.LOCK_SH}
# Another program that uses Tooz, to be killed.
TOOZ_HOLDER = """
import sys, time
from tooz import coordination
coordinator = coordination.get_coordinator(sys.argv[1], b"victim")
coordinator.start()
lock = coordinator.get_lock(b"backup")
assert lock.acquire()
print("held", flush=True)
time.sleep(3600)
"""


class Ofd:
    """Our side, in a process of its own: holds the lock until it is told or killed."""

    def __init__(self, rig, path, mode="exclusive", timeout=TRY):
        program = built("tests", "local", "ofd-hold")
        if not os.path.exists(program):
            skip("tests/local/ofd-hold is not built")
        self.process = Process([program, path, mode, timeout], rig.scratch("ofd-hold.log"),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def result(self):
        return self.process.popen.stdout.readline().decode().strip()

    def held(self):
        assert self.result() == "held"
        return self

    def wait_blocked(self, path):
        """Until it sleeps in the kernel."""
        inode = f":{os.stat(path).st_ino} "

        def blocked():
            with open("/proc/locks", encoding="ascii") as f:
                return any("-> " in line and inode in line for line in f)
        wait_for(blocked, "it to sleep for the lock")
        return self

    def release(self):
        self.process.popen.stdin.close()
        assert self.process.wait() == 0


def refused(rig, path, mode="exclusive"):
    """Whether our side can't have it now."""
    ofd = Ofd(rig, path, mode)
    result = ofd.result()
    ofd.process.popen.stdin.close()
    assert (result, ofd.process.wait()) in (("held", 0), ("EAGAIN", 1)), result
    return result == "EAGAIN"


def lockf(f, how):
    """Python's side, in this process; False: it can't have it now."""
    try:
        fcntl.lockf(f, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def coordinator(rig):
    """Tooz's side, and the file that it locks: the lock's name in the folder of the URL. A lock object of Tooz 3.1
    that was refused once counts wrongly from then on: take another."""
    if coordination is None:
        skip("python3-tooz is not installed")
    folder = rig.scratch.make("tooz")
    tooz = coordination.get_coordinator(f"file://{folder}", b"x")
    tooz.start()
    try:
        yield tooz, os.path.join(folder, "backup")
    finally:
        tooz.stop()


# --- fcntl.lockf() --------------------------------------------------------------------------------------------


@test("lockf() and we exclude each other in every mode, and share")
def _(rig):
    path = rig.scratch.write("lock", "")
    with open(path, "r+b") as f:
        for theirs, how in MODES.items():
            for ours in MODES:
                both = theirs == ours == "shared"
                assert lockf(f, how)
                assert refused(rig, path, ours) is not both, (theirs, ours)
                fcntl.lockf(f, fcntl.LOCK_UN)

                ofd = Ofd(rig, path, ours).held()
                assert lockf(f, how) is both, (theirs, ours)
                fcntl.lockf(f, fcntl.LOCK_UN)
                ofd.release()


@test("lockf() on a part of the file is enough")
def _(rig):
    path = rig.scratch.write("lock", "content")
    with open(path, "r+b") as f:
        fcntl.lockf(f, fcntl.LOCK_EX, 1, 1_000_000)
        assert refused(rig, path) and refused(rig, path, "shared")
        fcntl.lockf(f, fcntl.LOCK_UN)
        assert not refused(rig, path)


@test("we wait until lockf() is released, with and without a time-out")
def _(rig):
    path = rig.scratch.write("lock", "")
    with open(path, "r+b") as f:
        for timeout in FOR_EVER, LATE:
            assert lockf(f, fcntl.LOCK_EX)
            ofd = Ofd(rig, path, timeout=timeout)
            if timeout == FOR_EVER:
                ofd.wait_blocked(path)
            fcntl.lockf(f, fcntl.LOCK_UN)
            ofd.held().release()


@test("we time out while lockf() holds it")
def _(rig):
    path = rig.scratch.write("lock", "")
    with open(path, "r+b") as f:
        assert lockf(f, fcntl.LOCK_SH)
        ofd = Ofd(rig, path, timeout="100000")
        assert ofd.result() == "ETIMEDOUT" and ofd.process.wait() == 1


@test("lockf() gets it when our process is killed")
def _(rig):
    path = rig.scratch.write("lock", "")
    with open(path, "r+b") as f:
        ofd = Ofd(rig, path).held()
        assert not lockf(f, fcntl.LOCK_SH)
        assert ofd.process.kill() == -signal.SIGKILL
        assert lockf(f, fcntl.LOCK_EX)


# --- file:// of Tooz ------------------------------------------------------------------------------------------


@test("Tooz's file:// driver and we exclude each other on its lock's file")
def _(rig):
    with coordinator(rig) as (tooz, path):
        for _ in range(2):
            lock = tooz.get_lock(b"backup")
            assert lock.acquire(blocking=False)
            assert refused(rig, path) and refused(rig, path, "shared")
            assert lock.release()

            for mode in MODES:
                ofd = Ofd(rig, path, mode).held()
                assert not lock.acquire(blocking=False)
                assert not lock.acquire(blocking=0.05)
                ofd.release()


@test("Tooz's shared locks are shared within its process only: to us they are exclusive")
def _(rig):
    with coordinator(rig) as (tooz, path):
        lock = tooz.get_lock(b"backup")
        assert lock.acquire(shared=True)
        assert refused(rig, path, "shared")
        assert lock.release()
        ofd = Ofd(rig, path, "shared").held()
        assert not lock.acquire(blocking=False, shared=True)
        ofd.release()


@test("whoever makes the file, Tooz or we: the other uses it, and it is there afterwards")
def _(rig):
    with coordinator(rig) as (tooz, path):
        ofd = Ofd(rig, path).held()
        inode = os.stat(path).st_ino
        assert not tooz.get_lock(b"backup").acquire(blocking=False)
        ofd.release()
        lock = tooz.get_lock(b"backup")
        assert lock.acquire() and lock.release()
        assert os.stat(path).st_ino == inode


@test("we wait for Tooz, and Tooz for us")
def _(rig):
    with coordinator(rig) as (tooz, path):
        lock = tooz.get_lock(b"backup")
        for timeout in FOR_EVER, LATE:
            assert lock.acquire()
            ofd = Ofd(rig, path, timeout=timeout)
            if timeout == FOR_EVER:
                ofd.wait_blocked(path)
            assert lock.release()
            ofd.held()
            ofd.process.popen.stdin.close()
            assert lock.acquire()
            assert lock.release()
            assert ofd.process.wait() == 0


@test("death on either side releases to the other")
def _(rig):
    with coordinator(rig) as (tooz, path):
        victim = Process([sys.executable, "-c", TOOZ_HOLDER, f"file://{os.path.dirname(path)}"],
                         rig.scratch("victim.log"), stdout=subprocess.PIPE)
        assert victim.popen.stdout.readline() == b"held\n"
        assert refused(rig, path)
        ofd = Ofd(rig, path, timeout=FOR_EVER).wait_blocked(path)
        victim.kill()
        ofd.held()

        assert not tooz.get_lock(b"backup").acquire(blocking=False)
        ofd.process.kill()
        lock = tooz.get_lock(b"backup")
        assert lock.acquire(blocking=False)
        assert lock.release()


if __name__ == "__main__":
    main()
