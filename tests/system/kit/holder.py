# SPDX-License-Identifier: Apache-2.0
"""A program that locks in the agent's arena without the agent: tests/system/arena-holder."""
import select
import subprocess

from .base import PATIENCE_SEC, Timeout, built
from .proc import Process


class Holder:
    """One lock in one process. What it says is read line by line."""

    def __init__(self, scratch, agent, name, mode="exclusive", *more):
        self.process = Process([built("tests", "system", "arena-holder"), agent.arena, name, mode, *more],
                               scratch("holder.log"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.out = self.process.popen.stdout
        self.token = None

    @property
    def pid(self):
        return self.process.pid

    def says(self, timeout=PATIENCE_SEC):
        if not select.select([self.out], [], [], timeout)[0]:
            raise Timeout(f"{self.process.name} {self.pid} says nothing")
        line = b""
        while not line.endswith(b"\n"):
            byte = self.out.raw.read(1) if hasattr(self.out, "raw") else self.out.read(1)
            assert byte, f"the holder is gone: {self.process.tail()}"
            line += byte
        return line.decode().split()

    def waits(self):
        assert self.says() == ["waiting"]
        return self

    def still_waits(self, seconds=0.05):
        return not select.select([self.out], [], [], seconds)[0]

    def held(self, previous=None):
        words = self.says()
        assert words[0] == "held", words
        self.token = int(words[1])
        assert previous in (None, words[2]), words
        return self

    def still_holds(self):
        self.process.popen.stdin.write(b"check\n")
        self.process.popen.stdin.flush()
        return self.says() == ["held"]

    def release(self):
        self.process.popen.stdin.close()
        said = self.says()
        self.process.wait()
        return said == ["released"]

    def kill(self):
        self.process.kill()
