# SPDX-License-Identifier: Apache-2.0
"""zkproxy between an agent and its ZooKeeper: loses the frame that the test names (see zkproxy.c)."""
import json
import subprocess

from .base import built, wait_for
from .proc import Process
from .zk import PORT, own_address


class Proxy:
    """Speaks to one server; several agents may go through one proxy."""

    def __init__(self, scratch, zk, name="zkproxy"):
        self.host = own_address()
        self.process = Process([built("tests", "system", "zkproxy"), self.host, zk.host, str(PORT)],
                               scratch(f"{name}.log"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self._read().split()[1])
        self.hosts = f"{self.host}:{self.port}"
        self.url = f"zookeeper://{self.hosts}/"

    def _read(self):
        line = self.process.popen.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError(f"zkproxy is gone:\n{self.process.tail()}")
        return line

    def command(self, *words):
        self.process.popen.stdin.write((" ".join(str(w) for w in words) + "\n").encode())
        self.process.popen.stdin.flush()
        answer = self._read()
        if answer.startswith("error"):
            raise ValueError(f"zkproxy {words}: {answer}")
        return answer

    def drop_request(self, op, n=1, how="cut", text=""):
        self.command("drop-request", op, n, how, text)

    def drop_reply(self, op, n=1, how="cut", text=""):
        self.command("drop-reply", op, n, how, text)

    def blackhole(self, direction="both"):
        self.command("blackhole", direction)

    def cut(self):
        self.command("cut")

    def refuse(self):
        """No connection, neither the present nor a new one."""
        self.command("refuse")
        self.command("cut")

    def heal(self):
        self.command("heal")

    def status(self):
        return json.loads(self.command("status"))

    def wait_fired(self, n=1):
        """Until n rules have lost their frame."""
        wait_for(lambda: self.status()["fired"] >= n, "the proxy to lose the frame")

    def request_count(self, *kinds):
        requests = self.status()["requests"]
        return sum(requests.get(kind, 0) for kind in kinds)
