#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Requests and replies that are lost on the way: unknown means unknown, and is found out (promise 8)."""
import os
import random

from kit import main, test, wait_for

LOCK = "__lock__"           # in the path of every node that is a lock's
LONG_SESSION_SEC = 15


def start(rig, session_sec=LONG_SESSION_SEC):
    """Agent a behind a proxy, agent b with a direct line."""
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    a, b = rig.agent("a", proxy, session_sec=session_sec), rig.agent("b", zk, session_sec=session_sec)
    lock_works(zk, a, b)                # the lock's folder exists: what is lost below is the node
    return zk, proxy, a, b


def request(agent, name="backup", mode="exclusive", **options):
    return agent.client().request(name, mode, domain="cluster", **options)


def one_node_of(zk, agent, name="backup"):
    session = agent.session()
    owners = zk.ephemerals()
    nodes = [node for node in zk.lock_nodes(name) if owners.get(node) == session]
    return len(nodes) == 1


def lock_works(zk, a, b):
    """Afterwards: the lock goes from one host to the other, and no znode is left."""
    for agent in (b, a):
        claim = request(agent)
        claim.acquired()
        claim.close()
    wait_for(lambda: not zk.lock_nodes("backup"), "no znode to be left")


@test("the lock's folder is new, and the replies of all that makes it and the node are lost, one after the other")
def _(rig):
    zk, proxy, a, b = start(rig)
    for n in range(1, 5):
        proxy.drop_reply("make", 1, "cut", f"/new{n}")
        proxy.drop_reply("make", 2, "cut", f"/new{n}")
        proxy.drop_request("make", 3, "cut", f"/new{n}")
        claim = request(a, f"new{n}")
        claim.acquired()
        assert len(zk.lock_nodes(f"new{n}")) == 1
        claim.close()
        wait_for(lambda: not zk.lock_nodes(f"new{n}"), "no znode to be left")
        proxy.heal()


@test("the reply of a create is lost: the node is found and used, there is no second one")
def _(rig):
    zk, proxy, a, b = start(rig)
    session = a.session()
    proxy.drop_reply("make", 1, "cut", LOCK)
    claim = request(a)
    proxy.wait_fired()
    claim.acquired()
    assert len(zk.lock_nodes("backup")) == 1 and a.session() == session
    claim.close()
    lock_works(zk, a, b)


@test("the request of a create is lost: it is made again, once")
def _(rig):
    zk, proxy, a, b = start(rig)
    proxy.drop_request("make", 1, "cut", LOCK)
    claim = request(a)
    proxy.wait_fired()
    claim.acquired()
    assert len(zk.lock_nodes("backup")) == 1
    claim.close()
    lock_works(zk, a, b)


@test("the reply of a create is lost and its client gives up meanwhile: no node is left")
def _(rig):
    zk, proxy, a, b = start(rig)
    proxy.drop_reply("make", 1, "hold", LOCK)
    claim = request(a)
    proxy.wait_fired()
    assert zk.lock_nodes("backup")
    claim.close()
    claim.client.ping()
    proxy.heal()
    wait_for(lambda: not zk.lock_nodes("backup"), "no znode to be left")
    lock_works(zk, a, b)


@test("the reply of a waiter's create is lost: it keeps its place, and is served")
def _(rig):
    zk, proxy, a, b = start(rig)
    holder = request(b)
    holder.acquired()
    proxy.drop_reply("make", 1, "cut", LOCK)
    waiter = request(a)
    proxy.wait_fired()
    last = request(b)
    wait_for(lambda: one_node_of(zk, a), "the waiter to have one node")
    assert waiter.still_waits()
    holder.close()
    wait_for(lambda: "acquired" in waiter.kinds() or "acquired" in last.kinds(), "a grant")
    for claim in (waiter, last):
        claim.close()
    wait_for(lambda: not zk.lock_nodes("backup"), "no znode to be left")


@test("the reply of a create is lost and the session expires before the reconnect: one node, of the new session")
def _(rig):
    zk, proxy, a, b = start(rig)
    session = a.session()
    proxy.drop_reply("make", 1, "hold", LOCK)
    claim = request(a)
    proxy.wait_fired()
    assert zk.lock_nodes("backup")
    zk.expire(session)
    proxy.heal()
    claim.acquired()
    assert a.session() != session
    wait_for(lambda: one_node_of(zk, a) and len(zk.lock_nodes("backup")) == 1, "one node")
    claim.close()
    lock_works(zk, a, b)


@test("a node that has our GUID and another session's ownership is not ours")
def _(rig):
    zk, proxy, a, b = start(rig)
    kazoo = zk.client()
    proxy.drop_reply("make", 1, "hold", LOCK)
    claim = request(a)
    proxy.wait_fired()
    path = zk.lock_nodes("backup")[0]
    kazoo.delete(path)
    impostor = kazoo.create(path[:-10], ephemeral=True, sequence=True)
    proxy.heal()
    wait_for(lambda: one_node_of(zk, a) or "acquired" in claim.kinds(), "the agent to find out")
    if kazoo.exists(impostor):
        kazoo.delete(impostor)
    claim.acquired()
    assert one_node_of(zk, a), "granted without a node of its own"
    claim.close()
    lock_works(zk, a, b)


@test("the reply of a delete is lost: it is repeated until it is known to be gone")
def _(rig):
    zk, proxy, a, b = start(rig)
    claim = request(a)
    claim.acquired()
    waiter = request(b)
    waiter.expect("queued")
    proxy.drop_reply("remove", 1, "cut", LOCK)
    claim.close()
    proxy.wait_fired()
    waiter.acquired()
    waiter.close()
    lock_works(zk, a, b)


@test("the request of a delete is lost: it is repeated, and frees the lock long before the session would")
def _(rig):
    zk, proxy, a, b = start(rig, session_sec=60)
    session = a.session()
    claim = request(a)
    claim.acquired()
    waiter = request(b)
    waiter.expect("queued")
    proxy.drop_request("remove", 1, "cut", LOCK)
    claim.close()
    proxy.wait_fired()
    waiter.acquired(timeout=25)
    assert a.session() == session
    waiter.close()
    lock_works(zk, a, b)


@test("the request of a delete is lost twice, and the lock is wanted again by the same host meanwhile")
def _(rig):
    zk, proxy, a, b = start(rig)
    claim = request(a)
    claim.acquired()
    proxy.drop_request("remove", 1, "cut", LOCK)
    proxy.drop_request("remove", 2, "cut", LOCK)
    claim.close()
    again = request(a)
    proxy.wait_fired(1)
    again.acquired()
    assert again.token > claim.token
    again.close()
    lock_works(zk, a, b)


@test("silence instead of a reset, for each of the four: nothing is lost that the deadline does not demand")
def _(rig):
    zk, proxy, a, b = start(rig, session_sec=4)
    for drop, op in ((proxy.drop_reply, "make"), (proxy.drop_request, "make"),
                     (proxy.drop_reply, "remove"), (proxy.drop_request, "remove")):
        before = proxy.status()["dropped"]
        drop(op, 1, "hold", LOCK)
        claim = request(a)
        if op == "remove":
            claim.acquired()
            claim.close()
        wait_for(lambda: proxy.status()["dropped"] > before, "the loss")
        claim.close()
        claim.client.ping()
        proxy.heal()
        wait_for(lambda: not zk.lock_nodes("backup"), f"{op}: no znode to be left")
    lock_works(zk, a, b)


@test("a heartbeat's reply is lost: the session goes on")
def _(rig):
    zk, proxy, a, b = start(rig)
    claim = request(a)
    claim.acquired()
    session = a.session()
    proxy.drop_reply("set-data", 1, "cut")
    proxy.wait_fired()
    a.wait_state("up")
    assert a.session() == session and "lost" not in claim.kinds()
    claim.close()
    lock_works(zk, a, b)


@test("frames lost at random under load, on one of two hosts: the history contradicts no promise")
def _(rig):
    draw = random.Random(int(os.environ.get("TOOZ_TEST_SEED", "1")))
    zk, proxy, a, b = start(rig)
    workload = rig.workload(a, b, domain="cluster", clients=8, operations=100000, names=2)
    for i in range(25):
        drop = draw.choice((proxy.drop_request, proxy.drop_reply))
        before = proxy.status()["dropped"]
        drop(draw.choice(("make", "remove", "make", "remove", "get-children2", "set-data", "any")),
             draw.randrange(1, 6), "cut")
        wait_for(lambda: proxy.status()["dropped"] > before, f"loss {i}", pause=0.01)
        a.wait_state("up")
        proxy.heal()
    counts = workload.stop()
    assert counts["held"] > 100, counts
    wait_for(lambda: not zk.lock_nodes(), "no znode to be left")


if __name__ == "__main__":
    main()
