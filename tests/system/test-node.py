#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Locks of one host over D-Bus: queue, modes, endings (promises 1, 2, 4, 5, 6)."""
import os
import select

from kit import main, test, wait_for
from kit.client import NO_QUEUE, refused_with


@test("a free lock is acquired at once, with a token")
def _(rig):
    client = rig.agent().client()
    claim = client.request("backup")
    event = claim.expect("acquired", ignore=())
    assert int(event["TOKEN"]) > 0 and event["PREVIOUS"] != "died", event
    assert event["CLAIM"] == claim.id and int(event["SEQ"]) > 0, event
    assert claim.property("State") == "held" and claim.property("Token") == claim.token
    claim.close()


@test("the second waits and is granted when the first closes its fd: PREVIOUS=released, a higher token")
def _(rig):
    agent = rig.agent()
    first, second = agent.client().request("backup"), agent.client().request("backup")
    first.acquired()
    assert second.expect("queued", ignore=())["POSITION"] == "1"
    assert second.still_waits()
    first.close()
    assert second.acquired()["PREVIOUS"] == "released"
    assert second.token > first.token


@test("waiters are served in arrival order, whether they came by the bus or by the socket")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("backup")
    holder.acquired()
    waiters = [agent.client(direct=i % 2 == 1).request("backup") for i in range(6)]
    for position, claim in enumerate(waiters, 1):
        assert claim.expect("queued", ignore=())["POSITION"] == str(position)
    holder.close()
    for i, claim in enumerate(waiters):
        claim.acquired()
        assert all(w.still_waits() for w in waiters[i + 1:])
        claim.close()


@test("SIGKILL of the holder's process frees the lock at once: PREVIOUS=died")
def _(rig):
    agent = rig.agent()
    for direct in (False, True):
        victim = rig.remote(agent, f"victim{direct}", direct=direct)
        victim.hold("x", f"lock{direct}")
        waiter = agent.client().request(f"lock{direct}")
        waiter.expect("queued", ignore=())
        victim.kill()
        assert waiter.acquired()["PREVIOUS"] == "died"


@test("SIGKILL of a waiting process removes it from the queue")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("backup")
    holder.acquired()
    victim = rig.remote(agent, "victim")
    victim.ask("request", "x", "backup")
    victim.ask("expect", "x", "queued")
    last = agent.client().request("backup")
    assert last.expect("queued", ignore=())["POSITION"] == "2"
    victim.kill()
    wait_for(lambda: len(last.client.query("backup")[1]) == 1, "the dead waiter to leave the queue")
    holder.close()
    assert last.acquired()["PREVIOUS"] == "released"


@test("try: a lock that is held is refused with its holder's name, a free one is acquired")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("backup")
    holder.acquired()
    other = agent.client()
    message = refused_with(lambda: other.request("backup", flags=NO_QUEUE), "WouldBlock")
    assert str(os.getpid()) in message and str(holder.token) in message, message
    holder.close()
    wait_for(lambda: not other.query("backup")[0], "the lock to be free")
    other.request("backup", flags=NO_QUEUE).acquired()


@test("a wait ends with failed REASON=timeout, once, and leaves no trace")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("backup")
    holder.acquired()
    waiter = agent.client().request("backup", Timeout=30_000)
    assert waiter.expect("failed")["REASON"] == "timeout"
    assert [len(part) for part in holder.client.query("backup")] == [1, 0]
    assert waiter.kinds().count("failed") == 1
    holder.close()
    waiter.client.request("backup").acquired()


@test("a waiter that closes its fd is gone; those behind it move up")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("backup")
    holder.acquired()
    quitter, last = agent.client().request("backup"), agent.client().request("backup")
    quitter.close()
    wait_for(lambda: len(holder.client.query("backup")[1]) == 1, "the waiter to be gone")
    holder.close()
    last.acquired()


@test("shared: readers together, a writer waits for all, a later reader does not overtake it")
def _(rig):
    agent = rig.agent()
    readers = [agent.client().request("backup", "shared") for _ in range(3)]
    for claim in readers:
        claim.acquired()
    assert len({claim.token for claim in readers}) == 3
    writer = agent.client().request("backup")
    late = agent.client().request("backup", "shared")
    assert writer.still_waits() and late.still_waits()
    for claim in readers:
        assert writer.still_waits()
        claim.close()
    writer.acquired()
    assert late.still_waits()
    writer.close()
    late.acquired()


@test("convert: exclusive to shared lets readers in; shared to exclusive when alone")
def _(rig):
    agent = rig.agent()
    one, two = agent.client(), agent.client()
    claim = one.request("backup")
    claim.acquired()
    reader = two.request("backup", "shared")
    assert reader.still_waits()
    first_token = claim.token
    claim.convert("shared")
    reader.acquired()
    assert claim.property("Mode") == "shared"
    reader.close()
    wait_for(lambda: len(one.query("backup")[0]) == 1, "the reader to be gone")
    assert claim.convert("exclusive") > first_token
    assert two.request("backup", "shared").still_waits()


@test("convert: two readers that both want to write: one is refused, Deadlock, and the other waits for it")
def _(rig):
    agent = rig.agent()
    readers = [rig.remote(agent, name) for name in ("one", "two")]
    for reader in readers:
        reader.hold("x", "backup", mode="shared")
    for reader in readers:
        path = reader.ask("path", "x")
        reader.send("call", path, "org.tooz.Agent1.Claim", "Convert", "st", "exclusive", 20_000_000)
    pipes = {reader.process.popen.stdout: reader for reader in readers}
    refused = pipes[select.select(pipes, [], [])[0][0]]
    other = readers[1 - readers.index(refused)]
    assert refused.answer().get("error", "").endswith("Deadlock")
    refused.ask("close", "x")
    assert other.answer()["result"] > 0


@test("Lock(): replies when granted, with the token; refuses to wait longer than its caller would")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    claim = client.lock("backup", 1_000_000)
    other = agent.client()
    refused_with(lambda: other.lock("backup", 30_000), "TimedOut")
    refused_with(lambda: other.lock("backup", 3_600_000_000), "InvalidArgs")
    claim.close()
    assert other.lock("backup", 10_000_000).token > claim.token


@test("Unlock(): the owner's token releases, an old one does not")
def _(rig):
    client = rig.agent().client()
    claim = client.request("backup")
    claim.acquired()
    refused_with(lambda: client.manager("Unlock", "sst", "node", "backup", claim.token - 1), "StaleToken")
    client.manager("Unlock", "sst", "node", "backup", claim.token)
    assert claim.expect("released")
    again = client.request("backup")
    again.acquired()


@test("Claim.Release() and Claim.Check()")
def _(rig):
    client = rig.agent().client()
    claim = client.request("backup")
    claim.acquired()
    state, token, safe_for = claim.call("Check")
    assert state == "held" and token == claim.token and safe_for > 0
    claim.call("Release")
    assert claim.expect("released")
    refused_with(lambda: claim.call("Check"), "NoSuchClaim", "UnknownObject", "UnknownMethod")


@test("BreakLock(): the victim is told lost REASON=broken, the next one is served; an old token breaks nothing")
def _(rig):
    agent = rig.agent()
    victim, client = agent.client().request("backup"), agent.client()
    victim.acquired()
    waiter = client.request("backup")
    refused_with(lambda: client.manager("BreakLock", "sstt", "node", "backup", victim.token - 1, 0), "StaleToken")
    assert waiter.still_waits()
    client.manager("BreakLock", "sstt", "node", "backup", victim.token, 0)
    assert victim.expect("lost")["REASON"] == "broken"
    waiter.acquired()
    assert waiter.token > victim.token


@test("queries show holders and waiters, and whose token is the current one")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    holder = client.request("backup", Description="nightly")
    holder.acquired()
    waiter = agent.client().request("backup", "shared")
    waiter.expect("queued")
    holders, waiters = client.query("backup")
    assert holders[0]["token"] == holder.token and holders[0]["description"] == "nightly"
    assert holders[0]["mode"] == "exclusive" and waiters[0]["mode"] == "shared"
    assert holders[0]["host"] == "a" and holders[0]["pid"] > 1
    locks = client.manager("ListLocks", "st", "node", 0)
    assert [(str(lock[1]), int(lock[3]), int(lock[4])) for lock in locks] == [("backup", 1, 1)], locks
    assert client.manager("VerifyToken", "sst", "node", "backup", holder.token)[0]
    assert not client.manager("VerifyToken", "sst", "node", "backup", holder.token - 1)[0]
    assert len(client.manager("ListClaims", "t", 0)) == 2
    assert int(client.property("NClaims")) == 2


@test("tokens rise over a restart of the agent")
def _(rig):
    agent = rig.agent()
    claim = agent.client().request("backup")
    claim.acquired()
    assert agent.terminate() == 0
    claim.expect("lost" if claim.handle.pump(5) and claim.unread[0]["EVENT"] == "lost" else "eof")
    agent.close_clients()
    agent.start()
    again = agent.client().request("backup")
    again.acquired()
    assert again.token > claim.token


@test("many clients, few names, killed at random: the history contradicts no promise")
def _(rig):
    rig.checks = ["--complete"]
    agent = rig.agent()
    workload = rig.workload(agent, clients=10, operations=60, names=2)
    for name in ("w1", "w4", "w7"):
        wait_for(lambda: grants(rig, name) > 5, f"{name} to be busy", pause=0.001)
        workload.kill(name)
    counts = workload.wait()
    assert counts["held"] > 200, counts


def grants(rig, name):
    with open(f"{rig.history.folder}/{name}.jsonl", encoding="utf-8") as f:
        return f.read().count('"grant"')


if __name__ == "__main__":
    main()
