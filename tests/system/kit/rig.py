# SPDX-License-Identifier: Apache-2.0
"""Everything that one test has running, and the inspection at its end."""
import glob
import os

from . import agent as agents
from . import proc
from . import zk as zookeepers
from .agent import Agent
from .base import Scratch, wait_for
from .bus import Bus
from .ctl import Ctl
from .history import History
from .holder import Holder
from .manager import Manager
from .proxy import Proxy
from .remote import Remote
from .workload import Workload
from .zk import Ensemble, ZooKeeper


# What no log may contain.
REPORTS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "Traceback (most recent",
           "assertion '", "Assertion `")


class Rig:
    """Verbs that start things. Whatever they start ends with the test."""

    def __init__(self):
        self.scratch = Scratch()
        self.history = History(self.scratch)
        self.agents = []
        self.servers = []
        self.remotes = []
        self.checks = []                # options for the history checker

    # --- starting -----------------------------------------------------------------------------------

    def zookeeper(self, name="zk", **options):
        missing = zookeepers.why_not()
        if missing:
            self.skip(missing)
        server = ZooKeeper(self.scratch, name, **options)
        self.servers.append(server)
        return server

    def ensemble(self, **options):
        """Three ZooKeeper servers."""
        missing = zookeepers.why_not()
        if missing:
            self.skip(missing)
        ensemble = Ensemble(self.scratch, **options)
        self.servers += ensemble.servers
        return ensemble

    def proxy(self, zk, name="zkproxy"):
        return Proxy(self.scratch, zk, name)

    def agent(self, name="a", zk=None, **options):
        """zk: a ZooKeeper or a Proxy, for the domain `cluster`."""
        missing = agents.why_not()
        if missing:
            self.skip(missing)
        agent = Agent(self.scratch, self.history, name, url=zk.url if zk else None, **options)
        self.agents.append(agent)
        return agent

    def bus(self, name="bus"):
        return Bus(self.scratch, name)

    def remote(self, agent, name, uid=None, direct=False):
        """A client in a process of its own, to be killed or to be somebody else."""
        remote = Remote(self.scratch, self.history, agent, name, uid, direct)
        self.remotes.append(remote)
        return remote

    def holder(self, agent, name, mode="exclusive", *more):
        """A program that locks in the arena by itself."""
        return Holder(self.scratch, agent, name, mode, *more)

    def manager(self):
        return Manager(self.scratch)

    def ctl(self, agent, *arguments, **options):
        """toozctl in a process of its own."""
        return Ctl(self.scratch, self.history, agent, *arguments, **options)

    def workload(self, *agents, **options):
        return Workload(self.scratch, self.history, agents, **options)

    @staticmethod
    def skip(reason):
        from .tap import Skip
        raise Skip(reason)

    # --- ending ------------------------------------------------------------------------------------

    def inspect(self):
        """What must be true after every test; raises."""
        for remote in self.remotes:
            remote.quit()
        for agent in self.agents:
            agent.inspect()
        for server in self.servers:
            if server.serves():
                wait_for(lambda: not [p for p in server.ephemerals() if p.startswith(("/tooz", "/toozd"))],
                         "the agents' znodes to be gone")
        self.history.check(*self.checks)
        for path in glob.glob(self.scratch("*.log")):
            with open(path, encoding="utf-8", errors="replace") as f:
                text = f.read()
            for report in REPORTS:
                assert report not in text, f"{os.path.basename(path)}: {report}"

    def describe(self):
        """The ends of all logs, for a test that failed."""
        parts = []
        for path in sorted(glob.glob(self.scratch("*.log"))):
            with open(path, encoding="utf-8", errors="replace") as f:
                lines = f.read().splitlines()[-int(os.environ.get("TOOZ_TEST_LINES", "60")):]
            if lines:
                parts += [f"--- {os.path.basename(path)}"] + lines
        return "\n".join(parts)

    def close(self):
        """Processes first: closing a connection may wait for whoever is at the other end."""
        proc.reap_all()
        for agent in self.agents:
            agent.close_clients()
        for server in self.servers:
            server.close_clients()
        self.scratch.remove()
