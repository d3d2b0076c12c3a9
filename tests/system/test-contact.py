#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Contact with ZooKeeper lost and found again: suspended, resumed, lost in time (promises 1, 3, 8)."""
import glob

from kit import main, now_usec, test, wait_for
from kit.page import Page
from kit.proc import run_for

LONG_SESSION_SEC = 60       # longer than the restart of a server takes on the busiest machine


def request(agent, name="backup", mode="exclusive", **options):
    return agent.client().request(name, mode, domain="cluster", **options)


def page_of(agent):
    return Page(agent.clients[-1].manager("GetStatusPage", "s", "cluster").take())


def own_end(rig, claim, page):
    """The agent stands still: this holder ends by itself, at the deadline on the page."""
    rig.history.own.write("lost", claim.key, t=page.deadline())
    claim.over = True


def seen_through(claim, *kinds):
    """Events in this order, others of contact between them ignored."""
    return [claim.expect(kind, ignore={"queued", "contended", "suspended", "resumed"} - {kind}) for kind in kinds]


@test("ZooKeeper is killed and back within the deadline: suspended, resumed, still ours")
def _(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    a, b = (rig.agent(name, proxy, session_sec=LONG_SESSION_SEC) for name in "ab")
    claim = request(a)
    claim.acquired()
    waiter = request(b)
    waiter.expect("queued")
    nodes = [n for n, session in zk.ephemerals().items() if session == a.session() and "__lock__" in n]
    # ZooKeeper 3.8 may leave a connection hanging that it accepts while it starts; its client waits for 2T/3 then,
    # and we till the deadline
    proxy.refuse()
    zk.stop()
    event = seen_through(claim, "suspended")[0]
    assert int(event["DEADLINE_BOOTTIME_USEC"]) > now_usec()
    assert claim.property("State") == "suspended"
    zk.start()
    proxy.heal()
    seen_through(claim, "resumed")
    assert claim.property("State") == "held" and claim.property("Token") == claim.token
    assert "acquired" not in waiter.kinds()
    assert set(nodes) <= set(zk.lock_nodes("backup"))
    claim.close()
    waiter.acquired()
    assert waiter.token > claim.token


@test("ZooKeeper is away for too long: lost by the deadline, while still disconnected; waiters queue again")
def _(rig):
    zk = rig.zookeeper()
    agent = rig.agent("a", zk)
    claim, waiter = request(agent), request(agent)
    claim.acquired()
    waiter.expect("queued")
    zk.stop()
    seen_through(claim, "suspended")
    assert seen_through(claim, "lost")[0]["REASON"] == "deadline"
    assert "acquired" not in waiter.kinds() and "failed" not in waiter.kinds()
    zk.start()
    waiter.acquired()
    assert waiter.token > claim.token
    wait_for(lambda: len(zk.lock_nodes("backup")) == 1, "the lost claim's znode to be gone")


@test("the server hangs (SIGSTOP): suspended although the connection stands; resumed when it goes on")
def _(rig):
    zk = rig.zookeeper()
    agent = rig.agent("a", zk, session_sec=LONG_SESSION_SEC)
    claim = request(agent)
    claim.acquired()
    zk.pause()
    seen_through(claim, "suspended")
    zk.resume()
    seen_through(claim, "resumed")


@test("the server hangs for longer than the deadline: lost by then")
def _(rig):
    zk = rig.zookeeper()
    agent = rig.agent("a", zk)
    claim = request(agent)
    claim.acquired()
    zk.pause()
    seen_through(claim, "suspended")
    assert seen_through(claim, "lost")[0]["REASON"] == "deadline"
    zk.resume()
    request(agent).acquired()


@test("silent cut of one host: it loses by its deadline, the other is served afterwards, never before")
def _(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    a, b = rig.agent("a", proxy), rig.agent("b", zk)
    claim = request(a)
    claim.acquired()
    waiter = request(b)
    waiter.expect("queued")
    proxy.blackhole("both")
    seen_through(claim, "suspended")
    assert seen_through(claim, "lost")[0]["REASON"] == "deadline"
    waiter.acquired()
    proxy.heal()
    again = request(a)
    wait_for(lambda: len(zk.lock_nodes("backup")) == 2, "the first host to queue again")
    assert again.still_waits()
    waiter.close()
    again.acquired()


@test("answers alone are cut: the session may live on, the claim may not; its znode goes after all")
def _(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    a, b = rig.agent("a", proxy), rig.agent("b", zk)
    claim = request(a)
    claim.acquired()
    waiter = request(b)
    waiter.expect("queued")
    proxy.blackhole("s2c")
    seen_through(claim, "suspended")
    assert seen_through(claim, "lost")[0]["REASON"] == "deadline"
    proxy.heal()
    waiter.acquired()


@test("requests alone are cut: reads that a server still answers prove nothing")
def _(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    a, b = rig.agent("a", proxy), rig.agent("b", zk)
    claim = request(a)
    claim.acquired()
    waiter = request(b)
    waiter.expect("queued")
    proxy.blackhole("c2s")
    assert seen_through(claim, "suspended", "lost")[1]["REASON"] == "deadline"
    waiter.acquired()
    proxy.heal()


@test("forced expiry: lost REASON=session-expired, the other host is served, waiters queue under the new session")
def _(rig):
    zk = rig.zookeeper()
    a, b = rig.agent("a", zk), rig.agent("b", zk)
    claim, second = request(a), request(a, "second")
    claim.acquired()
    second.acquired()
    local_waiter = request(a)
    waiter = request(b)
    waiter.expect("queued")
    wait_for(lambda: len(zk.lock_nodes("backup")) >= 2, "b to queue in ZooKeeper")
    old = a.session()
    rig.history.expired("a")
    zk.expire(old)
    assert seen_through(claim, "lost")[0]["REASON"] == "session-expired"
    assert seen_through(second, "lost")[0]["REASON"] == "session-expired"
    waiter.acquired()
    a.wait_state("up")
    rig.history.renewed("a")
    assert a.session() != old
    assert local_waiter.still_waits()
    waiter.close()
    local_waiter.acquired()
    assert local_waiter.token > waiter.token > claim.token


@test("forced expiry, five times in a row, under load: nothing leaks, no promise breaks")
def _(rig):
    zk = rig.zookeeper()
    a, b = rig.agent("a", zk), rig.agent("b", zk)
    workload = rig.workload(a, b, domain="cluster", clients=8, operations=100000, names=2)
    for _ in range(5):
        session = a.session()
        before = grants(rig)
        rig.history.expired("a")
        zk.expire(session)
        wait_for(lambda: a.session() not in (0, session) and a.domain_state() == "up", "a new session", pause=0.05)
        rig.history.renewed("a")
        wait_for(lambda: grants(rig) > before + 20, "the workload to go on", pause=0.05)
    assert workload.stop()["held"] > 100


def grants(rig):
    total = 0
    for path in glob.glob(f"{rig.history.folder}/w*.jsonl"):
        with open(path, encoding="utf-8") as f:
            total += f.read().count('"grant"')
    return total


@test("SIGSTOP of an agent beyond its timeout: its holders know by themselves, the other host takes over")
def _(rig):
    zk = rig.zookeeper()
    a, b = rig.agent("a", zk), rig.agent("b", zk)
    claim = request(a)
    epoch = int(claim.acquired()["EPOCH"])
    page = page_of(a)
    tool = rig.ctl(a, "lock", "--kill-after=0.2", "-d", "cluster", "tool", witness=("cluster", "tool", "exclusive"))
    tool.wait_holding()
    waiters = [request(b), request(b, "tool")]
    for waiter in waiters:
        waiter.expect("queued")
    assert page.holds(epoch)
    a.stop()
    assert tool.wait() == 123, tool.output()
    wait_for(lambda: not page.holds(epoch), "the page to say that it is over")
    own_end(rig, claim, page)
    for waiter in waiters:
        waiter.acquired()
    a.cont()
    assert claim.expect("lost", ignore=("contended", "suspended", "resumed"))
    a.wait_state("up")
    again = request(a)
    assert again.still_waits()
    waiters[0].close()
    again.acquired()


@test("SIGKILL of an agent: toozctl ends its command, status 123, no later than the deadline")
def _(rig):
    zk = rig.zookeeper()
    a, b = rig.agent("a", zk), rig.agent("b", zk)
    for direct in (True, False):
        tool = rig.ctl(a, "lock", "--kill-after=0.2", "-d", "cluster", "tool", direct=direct,
                       witness=("cluster", "tool", "exclusive"))
        tool.wait_holding()
        waiter = request(b, "tool")
        waiter.expect("queued")
        a.kill()
        assert tool.wait() == 123, tool.output()
        waiter.acquired()
        waiter.close()
        a.close_clients()
        a.start()


@test("SIGSTOP of an agent for a moment: nothing is lost")
def _(rig):
    zk = rig.zookeeper()
    agent = rig.agent("a", zk, session_sec=LONG_SESSION_SEC)
    claim = request(agent)
    claim.acquired()
    agent.stop()
    run_for(1)
    agent.cont()
    claim.client.ping()
    assert set(claim.kinds()) <= {"queued", "acquired", "suspended", "resumed"}, claim.events
    request(agent, "other").acquired()
    assert claim.property("Token") == claim.token


@test("no ZooKeeper at the start: claims wait, try is refused, all is served when it comes")
def _(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    proxy.refuse()
    agent = rig.agent("a", proxy, wait_for_contact=False)
    claim = request(agent)
    assert claim.still_waits()
    late = request(agent, "late", Timeout=100_000)
    assert late.expect("failed")["REASON"] == "timeout"
    proxy.heal()
    claim.acquired()


@test("away for so long that the handle is replaced: a node of the old session, which a restarted server "
      "keeps alive, is nobody's")
def _(rig):
    zk = rig.zookeeper()
    session_sec = 2
    agent = rig.agent("a", zk, session_sec=session_sec)
    old = agent.session()
    claim, waiter = request(agent), request(agent)
    claim.acquired()
    node = zk.lock_nodes("backup")[0]
    zk.stop()
    seen_through(claim, "lost")
    run_for(3 * session_sec + 1)
    zk.start()
    waiter.acquired()
    session = agent.session()
    assert waiter.token > claim.token and session != old
    nodes = zk.ephemerals()
    assert node not in nodes, "granted beside the old session's node"
    assert [nodes[path] for path in zk.lock_nodes("backup")] == [session]


@test("the deadline counts from the last heartbeat but one: never more than 7/12 of the timeout ahead")
def _(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    agent = rig.agent("a", proxy)
    agent.client()
    page = page_of(agent)

    def beats():
        return proxy.status()["replies"].get("set-data", 0)

    # the handshake of a new session stands for itself: only later is the rule in force
    start = beats()
    wait_for(lambda: beats() >= start + 3, "three heartbeats")
    start = beats()
    timeout = page.read()[2]
    while beats() < start + 4:
        deadline = page.deadline()
        ahead = deadline - now_usec()
        assert ahead <= timeout * 7 // 12, f"{ahead} us ahead, of {timeout}"


if __name__ == "__main__":
    main()
