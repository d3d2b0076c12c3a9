#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The handle: shared by several claims, read slowly, kept or closed; lifetimes; the two ways in."""
import os
import socket

import dbus

from kit import main, test, wait_for
from kit.client import NOTIFY_CONTENTION, refused_with


@test("several claims on one handle: each is released alone, closing it releases the rest")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    first = client.request("a")
    second = client.request("b", handle=first.handle)
    third = client.request("c", handle=first.handle)
    for claim in (first, second, third):
        claim.acquired()
    second.release()
    other = agent.client()
    other.request("b").acquired()
    assert other.request("a").still_waits() and other.request("c").still_waits()
    first.close()
    for claim in other.handles[1:]:
        next(iter(claim.claims.values())).acquired()


@test("another's handle, or a socket that is no handle, is refused")
def _(rig):
    agent = rig.agent()
    one, two = agent.client(), agent.client()
    claim = one.request("a")
    claim.acquired()
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for wrong in (left.fileno(), os.open("/dev/null", os.O_RDWR)):
        options = dbus.Dictionary({"Handle": dbus.types.UnixFd(wrong, variant_level=1)}, signature="sv")
        refused_with(lambda: two.manager("RequestLock", "sssta{sv}", "node", "b", "exclusive", dbus.UInt64(0),
                                         options), "InvalidArgs", "NotOwner", "InvalidHandle")
    left.close()
    right.close()
    assert not two.query("b")[0]


@test("a dup of the fd keeps the lock; the last copy releases it")
def _(rig):
    agent = rig.agent()
    claim = agent.client().request("a")
    claim.acquired()
    copy = os.dup(claim.handle.socket.fileno())
    claim.handle.socket.close()
    waiter = agent.client().request("a")
    assert waiter.still_waits()
    rig.history.own.write("release", claim.key)
    claim.over = claim.handle.closed = True
    os.close(copy)
    waiter.acquired()


@test("a slow reader blocks nobody, loses no state, and is told how much it missed")
def _(rig):
    agent = rig.agent()
    slow, quick = agent.client(), agent.client()
    blocker = quick.request("m0")
    blocker.acquired()
    first = slow.request("s0")
    claims = [first] + [slow.request(f"s{i}", handle=first.handle) for i in range(1, 400)]
    waiting = [slow.request("m0", "shared", handle=first.handle) for _ in range(30)]
    blocker.close()
    quick.request("elsewhere").acquired()
    for claim in claims + waiting:
        claim.acquired()
    missed = [int(e["MISSED"]) for claim in claims + waiting for e in claim.events if "MISSED" in e]
    assert missed and max(missed) > 0, "400 events fitted into a socket that takes some 278"
    assert len(quick.query("m0")[0]) == 30


@test("a terminal event that cannot be sent shuts the handle down, and frees what it had")
def _(rig):
    agent = rig.agent()
    slow, quick = agent.client(), agent.client()
    holder = quick.request("t")
    holder.acquired()
    first = slow.request("s0")
    for i in range(1, 400):
        slow.request(f"s{i}", handle=first.handle)
    slow.request("t", handle=first.handle, Timeout=10_000)
    wait_for(lambda: int(quick.property("NClaims")) == 1, "the claims of the slow reader to be gone")
    while first.handle.pump(5) and not first.handle.eof:
        pass
    assert first.handle.eof
    quick.request("s7").acquired()


@test("lifetime peer: the fd may be closed; leaving the bus, or the socket, releases")
def _(rig):
    agent = rig.agent()
    for direct in (False, True):
        name = f"lock{direct}"
        client = agent.client(direct)
        claim = client.request(name, Lifetime="peer")
        claim.acquired()
        claim.handle.socket.close()
        claim.handle.closed = True
        waiter = agent.client().request(name)
        assert waiter.still_waits() and claim.property("Lifetime") == "peer"
        rig.history.own.write("release", claim.key)
        client.disconnect()
        waiter.acquired()


@test("lifetime handle: leaving the bus, or the socket, releases nothing")
def _(rig):
    agent = rig.agent()
    for direct in (False, True):
        name = f"lock{direct}"
        client = agent.client(direct)
        claim = client.request(name)
        claim.acquired()
        client.disconnect()
        waiter = agent.client().request(name)
        assert waiter.still_waits()
        claim.close()
        waiter.acquired()


@test("contended: a holder that asked is told when somebody waits, another is not")
def _(rig):
    agent = rig.agent()
    asked = agent.client().request("a", flags=NOTIFY_CONTENTION)
    not_asked = agent.client().request("b")
    asked.acquired()
    not_asked.acquired()
    other = agent.client()
    other.request("a")
    other.request("b")
    asked.expect("contended", ignore=())
    assert not_asked.kinds() == ["acquired"]


@test("garbage on a handle is ignored or ends it; nobody else notices")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    other = agent.client().request("other")
    other.acquired()
    for garbage in (b"", b"\0" * 100, b"RELEASE=1\nCLAIM=999999\n", b"\xff" * 4096, b"RELEASE=1\nCLAIM=\n",
                    f"RELEASE=1\nCLAIM={other.id}\n".encode(), b"=\n=\n", b"A" * 65536):
        claim = client.request("mine")
        claim.acquired()
        try:
            claim.handle.socket.send(garbage)
        except (BrokenPipeError, OSError):
            pass
        client.ping()
        claim.close()
    assert [str(h["token"]) for h in client.query("other")[0]] == [str(other.token)]


@test("the direct socket alone: no bus needed, the same objects")
def _(rig):
    agent = rig.agent()
    client = agent.client(direct=True)
    assert client.property("DefaultDomain") == "node"
    claim = client.lock("a", 1_000_000)
    assert client.query("a")[0][0]["token"] == claim.token
    text = client.call("/org/tooz/Agent1", "org.freedesktop.DBus.Introspectable", "Introspect")
    assert 'name="RequestLock"' in text and 'name="timeout_usec"' in text


@test("restart of the bus: no claim is lost, the name is back, and new requests are served")
def _(rig):
    agent = rig.agent()
    holder, waiter = agent.client().request("a"), agent.client().request("a")
    holder.acquired()
    waiter.expect("queued")
    agent.bus.kill()
    direct = agent.client(direct=True)
    assert len(direct.query("a")[0]) == 1 and len(direct.query("a")[1]) == 1
    agent.bus.start()
    wait_for(agent._ready, "the agent to own its name again")
    assert holder.kinds() == ["acquired"]
    third = agent.client().request("a")
    assert third.expect("queued")["POSITION"] == "2"
    holder.close()
    assert waiter.acquired()["PREVIOUS"] == "released"
    waiter.close()
    third.acquired()


@test("the bus comes late: the socket serves meanwhile, the name is owned as soon as it is there")
def _(rig):
    agent = rig.agent()
    agent.bus.kill()
    assert agent.terminate() == 0
    agent.close_clients()
    agent.process = type(agent.bus.process)(agent.command(), agent.log, name="agent a")

    def serves():
        try:
            agent.client(direct=True).ping()
            return True
        except dbus.DBusException:
            return False

    wait_for(serves, "the socket to serve without a bus")
    agent.client(direct=True).lock("a")
    agent.bus.start()
    wait_for(agent._ready, "the name to be owned")


@test("a second agent on the same state is refused, and the first goes on")
def _(rig):
    agent = rig.agent()
    claim = agent.client().request("a")
    claim.acquired()
    from kit.agent import run_agent
    status, text = run_agent(rig.scratch, agent.command()[1:], "second")
    assert status not in (0, None), text
    claim.client.ping()
    assert claim.kinds() == ["acquired"]


if __name__ == "__main__":
    main()
