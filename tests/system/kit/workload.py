# SPDX-License-Identifier: Apache-2.0
"""The test's side of workload.py."""
import json
import os
import signal
import subprocess
import sys

from .base import PATIENCE_SEC, SRCDIR
from .proc import Process

PROGRAM = os.path.join(SRCDIR, "tests", "system", "workload.py")


class Workload:
    """Clients of one or more agents: by turns over the bus and over the direct socket."""

    def __init__(self, scratch, history, agents, **options):
        targets = []
        for agent in agents:
            targets.append([agent.name, agent.bus.address, "bus"])
            targets.append([agent.name, f"unix:path={agent.socket}", "direct"])
        self.history = history
        self.options = {"targets": targets, "folder": history.folder, "clients": 2 * len(targets),
                        "seed": int(os.environ.get("TOOZ_TEST_SEED", "1")), **options}
        prefix = self.options.get("prefix", "w")
        self.process = Process([sys.executable, PROGRAM, json.dumps(self.options)],
                               scratch(f"workload-{prefix}.log"), name="workload", stdout=subprocess.PIPE)
        self.workers = {}
        for _ in range(self.options["clients"]):
            pid, name = self._line().split()
            self.workers[name] = int(pid)

    def _line(self):
        line = self.process.popen.stdout.readline().decode()
        if not line:
            raise RuntimeError(f"the workload is gone:\n{self.process.tail()}")
        return line

    def kill(self, name):
        """SIGKILL one client, whatever it is doing."""
        self.history.died(name)
        os.kill(self.workers.pop(name), signal.SIGKILL)

    def stop(self):
        """Ask everybody to finish."""
        self.process.signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        """Until everybody has ended; what became of the requests, by kind."""
        verdict = self._line().split(" ", 1)[1]
        self.process.wait(PATIENCE_SEC)
        counts = json.loads(verdict)
        stuck = [kind for kind in counts if kind.startswith("stuck")]
        assert not stuck, f"clients that got no answer: {stuck}"
        return counts
