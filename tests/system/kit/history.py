# SPDX-License-Identifier: Apache-2.0
"""What the clients saw, as JSON lines, one file per process: the input of history_check.py."""
import json
import os
import subprocess
import sys

from .base import SRCDIR, now_usec

CHECKER = os.path.join(SRCDIR, "tests", "system", "history_check.py")


class Log:
    """One process writes, with one write() per line, so that a SIGKILL tears nothing."""

    def __init__(self, path, process):
        self.process = process
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)

    def write(self, event, claim=None, t=None, **fields):
        record = {"t": now_usec() if t is None else t, "p": self.process, "event": event}
        if claim is not None:
            record["c"] = claim
        record.update(fields)
        os.write(self.fd, (json.dumps(record) + "\n").encode())

    def close(self):
        os.close(self.fd)


class History:
    """The logs of all processes of one test."""

    def __init__(self, scratch):
        self.folder = scratch.make("history")
        os.chmod(self.folder, 0o777)
        self.own = self.log(f"test{os.getpid()}")

    def log(self, process):
        return Log(os.path.join(self.folder, f"{process}.jsonl"), process)

    def died(self, process, t=None):
        """Call before the SIGKILL: whatever `process` held is worth nothing from now on."""
        self.own.write("died", t=t, victim=process)

    def expired(self, host):
        """Call before a session is ended by force; and renewed() when its agent has a new one."""
        self.own.write("expired", host=host)

    def renewed(self, host):
        self.own.write("renewed", host=host)

    def check(self, *options):
        done = subprocess.run([sys.executable, CHECKER, *options, self.folder], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"the history contradicts a promise:\n{done.stdout}")
        return done.stdout
