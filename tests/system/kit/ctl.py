# SPDX-License-Identifier: Apache-2.0
"""toozctl as a user runs it: a subprocess with arguments, output and an exit status."""
import itertools
import os
import signal
import sys

from .agent import find_tool
from .base import wait_for
from .proc import Process

WITNESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "witness.py")
_numbers = itertools.count(1)


class Ctl:
    """One run. With witness=True the command under the lock is a program that writes to the history."""

    def __init__(self, scratch, history, agent, *arguments, witness=None, direct=True, tool="toozctl"):
        path = find_tool(tool)
        if not path:
            from .tap import Skip
            raise Skip(f"{tool} is not built")
        self.number = next(_numbers)
        self.name = f"ctl{self.number}"
        self.history = history
        self.witness_log = None
        argv = [path, *arguments]
        if witness:                     # what is locked: (domain, name, mode)
            self.witness_log = os.path.join(history.folder, f"{self.name}.jsonl")
            argv += ["--", sys.executable, "-S", "-E", WITNESS, self.witness_log, self.name, agent.name, *witness]
        self.process = Process(argv, scratch(f"{self.name}.log"), name=f"{tool} {' '.join(arguments)}",
                               env=self.environment(agent, direct))

    @staticmethod
    def environment(agent, direct):
        """The agent's socket, or its bus alone."""
        address = f"unix:path={agent.socket}" if direct else agent.bus.address
        return {"TOOZ_ADDRESS": address, "DBUS_SYSTEM_BUS_ADDRESS": agent.bus.address, "NO_COLOR": "1"}

    def output(self):
        return self.process.text()

    def wait(self, patience=None):
        """The exit status."""
        return self.process.wait(patience)

    def holds(self):
        """The witness runs: the lock is held."""
        return self.witness_log and os.path.exists(self.witness_log) and \
            '"grant"' in open(self.witness_log, encoding="utf-8").read()

    def wait_holding(self):
        def holding():
            if not self.process.alive():
                raise AssertionError(f"{self.process.name} ended with {self.wait()}: {self.output()}")
            return self.holds()

        wait_for(holding, f"{self.process.name} to hold its lock")

    def terminate(self):
        self.process.signal(signal.SIGTERM)
        return self.wait()
