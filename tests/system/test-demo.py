#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a newcomer runs first: the demo, on one host and on two, and the Python example alone."""
import os
import subprocess
import sys

from kit import built, main, skip, test
from kit import zk as zookeepers
from kit.base import SRCDIR

DEMO = os.path.join(SRCDIR, "examples", "demo")
EXAMPLE = os.path.join(SRCDIR, "examples", "lock.py")


def run_demo(**environment):
    for program in ("src/tooz-agent", "src/toozctl", "examples/lock", "examples/runner"):
        if not os.path.exists(built(program)):
            skip(f"{program} is not built")
    done = subprocess.run([sys.executable, DEMO], env={**os.environ, "TOOZ_DEMO_PACE": "0", **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@test("the demo shows queue, death of the holder and rising tokens")
def _(_rig):
    text = run_demo(ZOOKEEPER="")
    assert "PREVIOUS=died" in text and " < " in text, text
    assert "in shared memory, token" in text and "(runner)" in text, text


@test("the demo on two hosts shows the same, and the nodes in ZooKeeper")
def _(_rig):
    if zookeepers.why_not():
        skip(zookeepers.why_not())
    text = run_demo(ZOOKEEPER="1")
    assert "PREVIOUS=died" in text and "__lock__" in text, text


@test("examples/lock.py waits, locks and releases")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("a")
    holder.acquired()
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": agent.bus.address}
    with subprocess.Popen([sys.executable, EXAMPLE, "a", "0"], env=environment, stdout=subprocess.PIPE,
                          text=True) as example:
        assert example.stdout.readline().startswith("queued POSITION=1")
        holder.close()
        acquired = example.stdout.readline()
        assert acquired.startswith("acquired TOKEN=") and "PREVIOUS=released" in acquired, acquired
        assert example.stdout.readline() == "released\n"
    assert example.returncode == 0


if __name__ == "__main__":
    main()
