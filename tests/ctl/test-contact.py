#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""toozctl lock in a cluster whose contact is lost: stopped before the deadline, or not at all (promise 3)."""
import json
import os
import sys

TOP = os.environ.get("srcdir") or os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "system"))
sys.dont_write_bytecode = True

from kit import main, test, wait_for        # noqa: E402
from kit.page import Page                   # noqa: E402

LOST, SELF = 123, 125
LONG_SESSION_SEC = 15
CLUSTER_TOOL = ("cluster", "tool", "exclusive")


def request(agent):
    return agent.client().request("tool", domain="cluster")


def beats(ctl):
    """When the command was seen alive, in usec of BOOTTIME."""
    with open(ctl.witness_log, encoding="utf-8") as f:
        return [record["t"] for record in map(json.loads, f) if record["event"] == "beat"]


@test("contact is cut: a command that ignores TERM is killed by the deadline, while the agent lives; the other host is next")
def _(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    a, b = rig.agent("a", proxy), rig.agent("b", zk)
    page = Page(a.client().manager("GetStatusPage", "s", "cluster").take())
    ctl = rig.ctl(a, "lock", "tool", witness=(*CLUSTER_TOOL, "ignore-term"))
    ctl.wait_holding()
    waiter = request(b)
    waiter.expect("queued")
    proxy.blackhole()
    assert ctl.wait() == LOST, ctl.output()
    assert "about to be lost (no contact), stopping the command" in ctl.output()
    assert 0 < beats(ctl)[-1] <= page.deadline()
    waiter.acquired()
    waiter.close()
    proxy.heal()
    a.wait_state("up")
    page.close()


@test("contact comes back in time: the command never hears of it")
def _(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    agent = rig.agent("a", proxy, session_sec=LONG_SESSION_SEC)
    probe = request(agent)
    probe.acquired()
    probe.close()
    ctl = rig.ctl(agent, "lock", "tool", witness=CLUSTER_TOOL)
    ctl.wait_holding()
    other = agent.client().request("other", domain="cluster")
    other.acquired()
    proxy.cut()
    other.expect("suspended")
    other.expect("resumed", ignore=("suspended", "contended"))
    assert ctl.process.alive()
    assert ctl.terminate() == 0
    assert "lost" not in ctl.output(), ctl.output()


@test("--kill-after that does not fit the session is refused before the command runs, and the lock is free")
def _(rig):
    zk = rig.zookeeper()
    agent = rig.agent("a", zk)
    mark = rig.scratch("mark")
    ctl = rig.ctl(agent, "lock", "--kill-after=2", "tool", "--", "touch", mark)
    assert ctl.wait() == SELF
    assert "at most a quarter of the session time-out" in ctl.output(), ctl.output()
    assert not os.path.exists(mark)
    wait_for(lambda: not zk.lock_nodes("tool"), "the lock to be free")


@test("a break on another host stops the command here")
def _(rig):
    zk = rig.zookeeper()
    a, b = rig.agent("a", zk), rig.agent("b", zk)
    ctl = rig.ctl(a, "lock", "tool", witness=CLUSTER_TOOL)
    ctl.wait_holding()
    token = b.client().query("tool", "cluster")[0][0]["token"]
    done = rig.ctl(b, "break-lock", "tool", f"--token={token}")
    assert done.wait() == 0, done.output()
    assert ctl.wait() == LOST, ctl.output()
    assert "(broken), stopping the command" in ctl.output()


if __name__ == "__main__":
    main()
