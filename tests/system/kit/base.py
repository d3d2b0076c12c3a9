# SPDX-License-Identifier: Apache-2.0
"""Where things are, what time it is, and how to wait: nothing here starts anything."""
import os
import shutil
import tempfile
import time

SRCDIR = os.environ.get("srcdir") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILDDIR = os.environ.get("builddir") or os.path.join(SRCDIR, "build")
# Bound of every wait. It only decides how long a broken run takes to say so.
PATIENCE_SEC = float(os.environ.get("TOOZ_TEST_PATIENCE", "30"))


class Timeout(Exception):
    """A condition did not come true within its bound."""


def now_usec():
    """BOOTTIME in microseconds: the clock of every deadline and of every history."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def wait_for(condition, what, patience=None, pause=0.005):
    """Return the first true value of condition(). A pause between two looks is not a wait for time."""
    end = time.monotonic() + (PATIENCE_SEC if patience is None else patience)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"waited in vain for {what}")
        time.sleep(pause)


def built(*path):
    """A file of the build tree; the caller skips when it is not there."""
    return os.path.join(BUILDDIR, *path)


PREFIX = "tooz-test-"


def sweep(where):
    """Remove what a killed run has left: its number is in the name."""
    for name in os.listdir(where):
        pid = name[len(PREFIX):].split("-")[0]
        if name.startswith(PREFIX) and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            shutil.rmtree(os.path.join(where, name), ignore_errors=True)


class Scratch:
    """A private directory on tmpfs, world-searchable since some clients run as other users."""

    def __init__(self):
        where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
        sweep(where)
        self.path = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=where)
        os.chmod(self.path, 0o755)
        self.owner = os.getpid()

    def __call__(self, *name):
        return os.path.join(self.path, *name)

    def make(self, *name):
        path = self(*name)
        os.makedirs(path, exist_ok=True)
        return path

    def write(self, name, text):
        path = self(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def remove(self):
        if os.getpid() == self.owner and not os.environ.get("TOOZ_TEST_KEEP"):
            shutil.rmtree(self.path, ignore_errors=True)
