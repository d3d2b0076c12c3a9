# SPDX-License-Identifier: Apache-2.0
"""Tests as functions of a Rig, results as TAP. Every test gets fresh processes and leaves none."""
import atexit
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback

from . import proc
from .rig import Rig

TEST_PATIENCE_SEC = int(os.environ.get("TOOZ_TEST_BOUND", "240"))
_tests = []


class Skip(Exception):
    """This cannot be tried here; the text says what is missing."""


def test(name):
    """Register a function of (rig) under the name that appears in the TAP output."""
    def register(function):
        _tests.append((name, function))
        return function
    return register


def skip(reason):
    raise Skip(reason)


def _on_alarm(_number, _frame):
    raise TimeoutError(f"the test did not end within {TEST_PATIENCE_SEC} s")


class Watchdog:
    """Ends a test that takes too long, in whatever it is stuck: libdbus waits for ever in a connect, and
    Python's signal handlers do not run meanwhile. The other end of every wait is a process of ours."""

    def __init__(self):
        self.timers = [threading.Timer(TEST_PATIENCE_SEC, self.bark),
                       threading.Timer(TEST_PATIENCE_SEC + 60, self.bite)]
        for timer in self.timers:
            timer.daemon = True
            timer.start()

    def bark(self):
        faulthandler.dump_traceback(all_threads=True)
        proc.kill_all()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    def bite(self):
        proc.kill_all()
        print("Bail out! stuck while cleaning up", flush=True)
        os._exit(1)

    def stop(self):
        for timer in self.timers:
            timer.cancel()


def _on_term(number, _frame):
    proc.reap_all()
    sys.exit(128 + number)


def _note(text):
    for line in str(text).splitlines():
        print(f"# {line}")


def _run(function):
    """None, or the exception that makes the test fail."""
    rig = Rig()
    problem = None
    watchdog = Watchdog()
    try:
        function(rig)
        rig.inspect()
    except Exception as e:              # everything is a result here
        problem = e
        if not isinstance(e, Skip):
            _note(traceback.format_exc())
            _note(rig.describe())
    finally:
        rig.close()
        watchdog.stop()
    return problem


def main():
    """Run the registered tests whose name contains one of the arguments, or all of them."""
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, _on_term)
    signal.signal(signal.SIGINT, _on_term)
    signal.signal(signal.SIGALRM, _on_alarm)
    atexit.register(proc.reap_all)
    chosen = [t for t in _tests if not sys.argv[1:] or any(word in t[0] for word in sys.argv[1:])]
    print(f"1..{len(chosen)}")
    failed = 0
    for number, (name, function) in enumerate(chosen, 1):
        start = time.monotonic()
        problem = _run(function)
        took = f"{time.monotonic() - start:.1f} s"
        if isinstance(problem, Skip):
            print(f"ok {number} - {name} # SKIP {problem}")
        elif problem:
            failed += 1
            _note(f"{type(problem).__name__}: {problem} (after {took})")
            print(f"not ok {number} - {name}")
        else:
            _note(took)
            print(f"ok {number} - {name}")
    sys.exit(1 if failed else 0)
