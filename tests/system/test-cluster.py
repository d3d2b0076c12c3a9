#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Locks of two hosts on one ZooKeeper: exclusion, order, deaths, breaking, Python as a neighbour."""
import threading

from kit import main, now_usec, test, wait_for
from kit.client import NO_QUEUE, refused_with


def two_agents(rig, **options):
    zk = rig.zookeeper()
    return zk, rig.agent("a", zk, **options), rig.agent("b", zk, **options)


def request(agent, name="backup", mode="exclusive", **options):
    return agent.client().request(name, mode, domain="cluster", **options)


@test("two agents exclude each other; the second is served when the first lets go")
def _(rig):
    zk, a, b = two_agents(rig)
    first = request(a)
    first.acquired()
    second = request(b)
    wait_for(lambda: len(zk.lock_nodes("backup")) == 2, "the second to queue in ZooKeeper")
    assert second.still_waits()
    first.close()
    second.acquired()
    assert second.token > first.token
    second.close()
    wait_for(lambda: not zk.lock_nodes("backup"), "the znodes to be gone")


@test("the layout is Tooz's: <guid>__lock__<seq> below /tooz/locks/<name>, ephemeral, of our session")
def _(rig):
    zk, a, _ = two_agents(rig)
    request(a).acquired()
    request(a, "reading", "shared").acquired()
    session = a.session()
    exclusive, shared = zk.lock_nodes("backup"), zk.lock_nodes("reading")
    assert len(exclusive) == len(shared) == 1
    guid, sequence = exclusive[0].rsplit("/", 1)[1].split("__lock__")
    assert len(guid) == 32 and len(sequence) == 10 and sequence.isdigit(), exclusive
    assert "__r__lock__" in shared[0], shared
    data, stat = zk.client().get(exclusive[0])
    assert stat.ephemeralOwner == session and b"a" in data and data.decode("utf-8"), data


@test("any number of claims of one host needs one znode; they are served in order, then the other host")
def _(rig):
    zk, a, b = two_agents(rig)
    holder = request(a)
    holder.acquired()
    queue = [request(a) for _ in range(5)]
    assert all(claim.still_waits() for claim in queue)
    assert len(zk.lock_nodes("backup")) == 1
    other = request(b)
    wait_for(lambda: len(zk.lock_nodes("backup")) == 2, "b to queue in ZooKeeper")
    holder.close()
    for claim in queue:
        claim.acquired()
        claim.close()
    other.acquired()
    assert other.token > max(claim.token for claim in queue)


@test("the bound of a tenure: a host that always has waiters hands over to the other")
def _(rig):
    zk, a, b = two_agents(rig)
    client = a.client()
    queue = [client.request("backup", domain="cluster") for _ in range(150)]
    queue[0].acquired()
    other = request(b)
    wait_for(lambda: len(zk.lock_nodes("backup")) == 2, "the other to queue in ZooKeeper")
    before = 0
    for claim in queue:
        wait_for(lambda: claim.token or "acquired" in claim.kinds() or "acquired" in other.kinds(), "a grant")
        if other.token:
            break
        claim.close()
        before += 1
    assert other.token, "150 local grants, and the other host still waits"
    other.close()
    for claim in queue[before:]:
        claim.acquired()
        claim.close()


@test("shared claims of two hosts hold together; a writer of either waits for all of them")
def _(rig):
    zk, a, b = two_agents(rig)
    readers = [request(a, mode="shared"), request(b, mode="shared"), request(b, mode="shared")]
    for claim in readers:
        claim.acquired()
    writer = request(a)
    wait_for(lambda: len(zk.lock_nodes("backup")) == 3, "the writer to queue in ZooKeeper")
    for claim in readers:
        assert writer.still_waits()
        claim.close()
    writer.acquired()


@test("SIGKILL of the holder's process frees the cluster lock at once, PREVIOUS=died on the other host")
def _(rig):
    _, a, b = two_agents(rig, session_sec=60)
    victim = rig.remote(a, "victim")
    victim.hold("x", "backup", domain="cluster")
    waiter = request(b)
    waiter.expect("queued")
    victim.kill()
    assert waiter.acquired(timeout=20)["PREVIOUS"] == "died"      # long before the session's 60 s
    waiter.close()
    again = request(a)
    assert again.acquired()["PREVIOUS"] in ("released", "unknown")


@test("SIGKILL of an agent frees its locks after the session timeout, and not before")
def _(rig):
    zk, a, b = two_agents(rig)
    holder = request(a)
    holder.acquired()
    page = holder_page(a)
    waiter = request(b)
    waiter.expect("queued")
    a.kill()
    assert holder.expect("eof", ignore=("contended", "suspended", "resumed"))
    event = waiter.acquired()
    granted = now_usec()
    assert event["PREVIOUS"] in ("unknown", "died")
    # valid until the deadline on the page, whatever became of the agent: nobody may be served before
    assert granted > page.deadline(), f"granted {page.deadline() - granted} us before the holder's deadline"
    assert not zk.lock_nodes("backup")[1:]


def holder_page(agent):
    from kit.page import Page
    return Page(agent.clients[-1].manager("GetStatusPage", "s", "cluster").take())


@test("an agent that is stopped cleanly gives up its locks at once")
def _(rig):
    _, a, b = two_agents(rig, session_sec=60)
    holder = request(a)
    holder.acquired()
    waiter = request(b)
    waiter.expect("queued")
    assert a.terminate() == 0
    holder.expect("lost", ignore=("contended", "suspended", "resumed"))
    waiter.acquired(timeout=20)


@test("try: refused while the other host holds; nothing is left in ZooKeeper")
def _(rig):
    zk, a, b = two_agents(rig)
    request(a).acquired()
    from dbus import DBusException
    try:
        event = request(b, flags=NO_QUEUE).expect("failed")
        assert event["REASON"] == "would-block", event
    except DBusException as e:
        assert e.get_dbus_name().endswith("WouldBlock"), e
    wait_for(lambda: len(zk.lock_nodes("backup")) == 1, "the refused attempt to leave no znode")
    a.close_clients()
    wait_for(lambda: not zk.lock_nodes("backup"), "the lock to be free")
    request(b, flags=NO_QUEUE).acquired()


@test("time-out and cancel of a wait remove its znode")
def _(rig):
    zk, a, b = two_agents(rig)
    request(a).acquired()
    waiter = request(b, Timeout=50_000)
    assert waiter.expect("failed")["REASON"] == "timeout"
    quitter = request(b)
    wait_for(lambda: len(zk.lock_nodes("backup")) == 2, "the waiter's znode")
    quitter.close()
    wait_for(lambda: len(zk.lock_nodes("backup")) == 1, "the waiter's znode to be gone")


@test("BreakLock through the victim's agent: lost REASON=broken there, then the next is served")
def _(rig):
    _, a, b = two_agents(rig)
    victim = request(a)
    victim.acquired()
    waiter = request(b)
    waiter.expect("queued")
    client = b.client()
    for stale in (victim.token - (1 << 16), victim.token + 1):      # another tenure, another grant of this one
        refused_with(lambda: client.manager("BreakLock", "sstt", "cluster", "backup", stale, 0), "StaleToken")
    client.manager("BreakLock", "sstt", "cluster", "backup", victim.token, 0)
    assert victim.expect("lost", ignore=("contended",))["REASON"] == "broken"
    waiter.acquired()


@test("QueryLock on either host shows holders and waiters of both")
def _(rig):
    _, a, b = two_agents(rig)
    holder = request(a, Description="nightly")
    holder.acquired()
    waiter = request(b)
    waiter.expect("queued")
    for agent in (a, b):
        holders, waiters = agent.client().query("backup", "cluster")
        assert [str(h["host"]) for h in holders] == ["a"], holders
        assert [str(w["host"]) for w in waiters] == ["b"], waiters
        # of another host's holder only the tenure is known: the token without the number of the grant
        assert holders[0]["token"] >> 16 == holder.token >> 16, (holders, holder.token)


@test("tokens rise although the lock's folder was deleted and made anew")
def _(rig):
    zk, a, _ = two_agents(rig)
    tokens = []
    for _ in range(3):
        for _ in range(2):
            claim = request(a)
            claim.acquired()
            tokens.append(claim.token)
            claim.close()
            wait_for(lambda: not zk.lock_nodes("backup"), "the lock to be free")
        zk.client().delete("/tooz/locks/backup")
    assert tokens == sorted(set(tokens)), tokens


@test("names that Tooz cannot have are refused in a cluster domain")
def _(rig):
    _, a, _ = two_agents(rig)
    for name in ("", ".", "..", "a/b", "é", "x" * 256, "tab\t"):
        refused_with(lambda: request(a, name), "InvalidName")
    request(a, "per%cent and space").acquired()


@test("a kazoo Lock and an agent exclude each other, in both directions")
def _(rig):
    zk, a, _ = two_agents(rig)
    kazoo = zk.client()
    ours = request(a)
    ours.acquired()
    lock = kazoo.Lock("/tooz/locks/backup", "python")
    got = threading.Event()
    thread = threading.Thread(target=lambda: (lock.acquire(), got.set()), daemon=True)
    thread.start()
    wait_for(lambda: len(zk.lock_nodes("backup")) == 2, "kazoo to queue")
    assert not got.is_set()
    ours.close()
    assert got.wait(30)
    again = request(a)
    wait_for(lambda: len(zk.lock_nodes("backup")) == 2, "the agent to queue")
    assert again.still_waits()
    lock.release()
    again.acquired()


@test("a kazoo Lock waits for our readers too")
def _(rig):
    zk, a, b = two_agents(rig)
    readers = [request(a, mode="shared"), request(b, mode="shared")]
    for claim in readers:
        claim.acquired()
    lock = zk.client().Lock("/tooz/locks/backup", "python")
    assert not lock.acquire(blocking=False)
    for claim in readers:
        claim.close()
    assert lock.acquire(timeout=30)
    writer = request(a)
    assert writer.still_waits()
    lock.release()
    writer.acquired()


@test("many clients on two hosts, some killed: the history contradicts no promise")
def _(rig):
    rig.checks = ["--complete"]
    zk, a, b = two_agents(rig)
    workload = rig.workload(a, b, domain="cluster", clients=8, operations=40, names=2)
    for name in ("w0", "w3"):
        wait_for(lambda: '"grant"' in open(f"{rig.history.folder}/{name}.jsonl", encoding="utf-8").read(),
                 f"{name} to be busy")
        workload.kill(name)
    counts = workload.wait()
    assert counts["held"] > 100, counts
    wait_for(lambda: not zk.lock_nodes(), "all znodes to be gone")


if __name__ == "__main__":
    main()
