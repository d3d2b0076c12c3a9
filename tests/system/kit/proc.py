# SPDX-License-Identifier: Apache-2.0
"""Child processes that never outlive the test: ended by pid, and by the kernel when the test is killed."""
import ctypes
import os
import signal
import subprocess
import time

from .base import PATIENCE_SEC, wait_for

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_children = []          # newest last: ended in reverse order


def die_with_parent():
    """In a child, between fork and exec."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Process:
    """One program with its output in a file."""

    def __init__(self, argv, log, name=None, env=None, stdin=subprocess.DEVNULL, stdout=None,
                 preexec=None, pass_fds=()):
        self.name = name or os.path.basename(argv[0])
        self.log = log
        self.argv = argv
        full_env = dict(os.environ)
        full_env.update(env or {})

        def in_child():
            die_with_parent()
            if preexec:
                preexec()

        with open(log, "ab") as out:
            self.popen = subprocess.Popen(argv, stdin=stdin, stdout=stdout or out, stderr=out, env=full_env,
                                          preexec_fn=in_child, pass_fds=pass_fds)
        self.stopped = False
        _children.append(self)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def stop(self):
        """SIGSTOP, and wait until the kernel says that it stands still."""
        self.signal(signal.SIGSTOP)
        self.stopped = True
        wait_for(lambda: self.state() == "T", f"{self.name} to stop")

    def cont(self):
        self.signal(signal.SIGCONT)
        self.stopped = False

    def state(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0]

    def kill(self):
        """SIGKILL and reap."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def terminate(self, patience=None):
        """SIGTERM and reap; a process that ignores it is an error."""
        if self.stopped:
            self.cont()
        self.signal(signal.SIGTERM)
        return self.wait(patience)

    def wait(self, patience=None):
        """The exit status, negative for a signal."""
        return self.popen.wait(PATIENCE_SEC if patience is None else patience)

    def text(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def tail(self, n=40):
        return "\n".join(self.text().splitlines()[-n:])

    def reap(self):
        """For clean-up: whatever its state, afterwards it is gone."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe:
                pipe.close()


def reap_all():
    while _children:
        _children.pop().reap()


def kill_all():
    """From a watchdog's thread: whoever waits for one of them sees its end."""
    for child in list(_children):
        child.signal(signal.SIGKILL)


def fds_of(pid):
    """What a process has open, without the numbers that differ from run to run."""
    kinds = []
    folder = f"/proc/{pid}/fd"
    for fd in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{fd}")
        except FileNotFoundError:
            continue
        kinds.append(target.split(":[")[0])
    return sorted(kinds)


def run_for(seconds):
    """For faults that are defined by their length ('stopped for longer than the session timeout')."""
    time.sleep(seconds)
