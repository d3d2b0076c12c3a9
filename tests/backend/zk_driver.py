# SPDX-License-Identifier: Apache-2.0
"""The other end of zk-driver: hosts of the zookeeper backend in one process, without agents and buses."""
import os
import re
import select
import subprocess
import time

from kit import PATIENCE_SEC, Timeout, built, wait_for
from kit.proc import Process

SESSION = "4s"


class Driver:
    """zk-driver: commands in, lines out. Every line is kept, and looked for in order."""

    def __init__(self, rig, servers, *options, name="driver", session=SESSION):
        self.process = Process([built("tests", "backend", "zk-driver"), f"servers={servers}", f"timeout={session}",
                                *options], rig.scratch(f"{name}.log"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = []         # all
        self.seen = 0           # those that expect() has passed
        self.rest = b""
        self.expect("ready")

    def send(self, *words):
        self.process.popen.stdin.write((" ".join(str(w) for w in words) + "\n").encode())
        self.process.popen.stdin.flush()

    def read(self, patience):
        """Take in what there is, waiting at most so long for something; False: nothing came."""
        out = self.process.popen.stdout
        if not select.select([out], [], [], patience)[0]:
            return False
        part = os.read(out.fileno(), 65536)
        if not part:
            raise RuntimeError(f"zk-driver is gone:\n{self.process.tail()}")
        *lines, self.rest = (self.rest + part).split(b"\n")
        self.lines += [line.decode() for line in lines]
        return True

    def read_for(self, seconds):
        """The pace of a random workload."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(max(0, end - time.monotonic()))

    def expect(self, pattern, patience=PATIENCE_SEC):
        """The next line that matches, as a match object; those before it are passed over."""
        end = time.monotonic() + patience
        while True:
            while self.seen < len(self.lines):
                found = re.search(f"^{pattern}", self.lines[self.seen])
                self.seen += 1
                if found:
                    return found
            if time.monotonic() > end:
                raise Timeout(f"no line {pattern!r} in:\n" + "\n".join(self.lines[-30:]))
            self.read(end - time.monotonic())

    def expect_all(self, *patterns):
        """A line for each, in any order."""
        start = self.seen
        last = start
        for pattern in patterns:
            self.seen = start
            self.expect(pattern)
            last = max(last, self.seen)
        self.seen = last

    def unseen(self, pattern):
        """Lines that came since the last expected one; nothing is passed over."""
        while self.read(0):
            pass
        return [line for line in self.lines[self.seen:] if re.search(f"^{pattern}", line)]

    # --- verbs ---------------------------------------------------------------------------------------

    def host(self, name, state=None, up=True):
        self.send("host", name, *([state] if state else []))
        self.expect(f"host {name} ok")
        if up:
            self.expect(f"session {name} up")

    def lock(self, host, ident, name, *how):
        self.send("lock", host, ident, name, *how)

    def acquired(self, host, ident):
        """Token and how the one before it left."""
        found = self.expect(rf"claim {host} {ident} acquired token=(\d+) previous=(\S+)")
        return int(found.group(1)), found.group(2)

    def take(self, host, ident, name, *how):
        self.lock(host, ident, name, *how)
        return self.acquired(host, ident)

    def unlock(self, host, ident, *how):
        self.send("unlock", host, ident, *how)
        self.expect(f"claim {host} {ident} (released|failed)")

    def state(self, host):
        self.send("state", host)
        found = self.expect(f"state {host} (.*)").group(1)
        head, _, detail = found.partition(" detail=")
        return dict(pair.split("=", 1) for pair in head.split()) | {"detail": detail}

    def session(self, host):
        return int(self.state(host)["session"], 16)

    def owners(self, host, name):
        first = len(self.lines)
        self.send("query", host, name)
        self.expect(f"lock {host} ok")
        return [Owner(line) for line in self.lines[first:] if line.startswith("owner ")]

    def locks(self, host, *how):
        first = len(self.lines)
        self.send("list", host, *how)
        self.expect(f"list {host} ok")
        return {line.split()[1]: dict(pair.split("=", 1) for pair in line.split()[2:])
                for line in self.lines[first:] if line.startswith("lock ")}

    def breaks(self, host, name, token, *how):
        """Answer: ok, or the name of an errno."""
        self.send("break", host, name, token, *how)
        return self.expect(rf"break {host} (\S+)").group(1)

    def quit(self):
        self.send("quit")
        status = self.process.wait()
        assert status == 0, f"zk-driver ended with {status}:\n{self.process.tail()}"


class Owner(dict):
    def __init__(self, line):
        _, self.role, self.where, rest = line.split(" ", 3)
        head, _, description = rest.partition(" description=")
        super().__init__(pair.split("=", 1) for pair in head.split())
        self["description"] = description

    def brief(self):
        return self.role, self["host"]


def start(rig, *options, hosts="ab", **more):
    zk = rig.zookeeper()
    driver = Driver(rig, zk.hosts, *options, **more)
    for host in hosts:
        driver.host(host)
    return zk, driver


def nodes(zk, name):
    return [path.rsplit("/", 1)[1] for path in zk.lock_nodes(name)]


def wait_gone(zk, name):
    wait_for(lambda: not nodes(zk, name), "no node of the lock to be left")
