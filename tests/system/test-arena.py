#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One lock space (promise 11): locks of clients of the agent, and of programs that lock in its arena by themselves."""
import os
import time

from kit import main, test
from kit.client import NO_QUEUE, NOTIFY_CONTENTION, refused_with


@test("a holder in the arena is waited for by a client, and the other way round, with rising tokens")
def _(rig):
    agent = rig.agent()
    first = rig.holder(agent, "backup").held("released")
    claim = agent.client().request("backup")
    claim.expect("queued", ignore=())
    assert claim.still_waits()
    second = rig.holder(agent, "backup").waits()
    assert first.release()
    assert claim.acquired()["PREVIOUS"] == "released"
    assert second.still_waits()
    claim.close()
    second.held("released")
    assert first.token < claim.token < second.token
    assert second.release()


@test("without anybody else a client's lock is acquired at once, and free at once for a program")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    for n in range(5):
        claim = client.request("backup")
        assert claim.expect("acquired", ignore=())["PREVIOUS"] == "released"
        holder = rig.holder(agent, "backup").waits()
        claim.close()
        assert holder.held().token > claim.token
        assert holder.release()


@test("readers of both kinds hold together, writers of both kinds keep them out")
def _(rig):
    agent = rig.agent()
    reader = rig.holder(agent, "data", "shared").held()
    claims = [agent.client().request("data", "shared") for _ in range(2)]
    for claim in claims:
        claim.acquired()
    other = rig.holder(agent, "data", "shared").held()
    writer = rig.holder(agent, "data").waits()
    late = agent.client().request("data", "shared")
    assert late.still_waits() and writer.still_waits()
    for claim in claims:
        claim.close()
    assert reader.release() and writer.still_waits() and late.still_waits()
    assert other.release()
    writer.held("released")
    assert late.still_waits()
    assert writer.release()
    late.acquired()
    assert late.token > writer.token > max(claim.token for claim in claims)
    last = rig.holder(agent, "data").waits()
    late.close()
    last.held()


@test("who waits is served in the order of arrival, whatever it is")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("backup")
    holder.acquired()
    waiting = []
    for n in range(4):
        claim = agent.client().request("backup")
        claim.expect("queued", ignore=())
        waiting.append(claim)
        waiting.append(rig.holder(agent, "backup").waits())
        if n % 2:       # two of the same kind
            more = agent.client().request("backup")
            more.expect("queued", ignore=())
            waiting.append(more)
    holder.close()
    tokens = []
    for n, who in enumerate(waiting):
        if hasattr(who, "held"):
            who.held("released")
        else:
            who.acquired()
        tokens.append(who.token)
        assert all(other.still_waits() for other in waiting[n + 1:])
        if hasattr(who, "held"):
            assert who.release()
        else:
            who.close()
    assert tokens == sorted(set(tokens)), tokens


@test("a client that came before a program is served under the same place, one that came after is not")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("backup")
    holder.acquired()
    early = agent.client().request("backup")
    early.expect("queued", ignore=())
    program = rig.holder(agent, "backup").waits()
    late = agent.client().request("backup")
    late.expect("queued", ignore=())
    holder.close()
    early.acquired()
    assert program.still_waits() and late.still_waits()
    early.close()
    program.held()
    assert late.still_waits()
    assert program.release()
    late.acquired()


@test("SIGKILL of a program that holds is told to a client as died, and of a client to a program")
def _(rig):
    agent = rig.agent()
    for mode in ("exclusive", "shared"):
        holder = rig.holder(agent, mode, mode).held()
        claim = agent.client().request(mode)
        claim.expect("queued", ignore=())
        holder.kill()
        assert claim.acquired()["PREVIOUS"] == "died"
        claim.close()
        assert rig.holder(agent, mode).held("released").release()

        victim = rig.remote(agent, f"victim-{mode}")
        victim.hold("x", mode, mode=mode)
        after = rig.holder(agent, mode).waits()
        victim.kill()
        assert after.held("died").release()
        again = agent.client().request(mode)
        assert again.acquired()["PREVIOUS"] == "released"
        again.close()


@test("a waiting program that is killed, or a waiting client that goes, leaves no trace")
def _(rig):
    agent = rig.agent()
    holder = rig.holder(agent, "backup").held()
    quitter = agent.client().request("backup")
    quitter.expect("queued", ignore=())
    victim = rig.holder(agent, "backup").waits()
    last = agent.client().request("backup")
    last.expect("queued", ignore=())
    victim.kill()
    quitter.close()
    assert last.still_waits()
    assert holder.release()
    last.acquired()
    last.close()
    assert rig.holder(agent, "backup").held().release()


@test("a try is refused while a program holds, a wait for it ends by its time-out")
def _(rig):
    agent = rig.agent()
    holder = rig.holder(agent, "backup").held()
    client = agent.client()
    assert client.request("backup", flags=NO_QUEUE).expect("failed")["REASON"] == "would-block"
    message = refused_with(lambda: client.lock("backup"), "WouldBlock")
    assert str(holder.pid) in message and str(holder.token) in message, message
    assert client.request("backup", Timeout=30_000).expect("failed")["REASON"] == "timeout"
    assert holder.release()
    client.request("backup", flags=NO_QUEUE).acquired()


@test("a holder that asked is told that a program waits for it, exclusive or shared")
def _(rig):
    agent = rig.agent()
    for mode in ("exclusive", "shared"):
        claim = agent.client().request(mode, mode, flags=NOTIFY_CONTENTION)
        claim.acquired()
        holder = rig.holder(agent, mode).waits()
        claim.expect("contended", ignore=())
        claim.close()
        assert holder.held().release()


@test("convert: down lets readers of the arena in, up waits for them to leave")
def _(rig):
    agent = rig.agent()
    claim = agent.client().request("data")
    claim.acquired()
    reader = rig.holder(agent, "data", "shared").waits()
    claim.convert("shared")
    reader.held()
    before = claim.token
    refused_with(lambda: claim.convert("exclusive", 50_000), "TimedOut")
    assert rig.holder(agent, "data", "shared").held().release()
    assert reader.release()
    assert claim.convert("exclusive", 10_000_000) > before
    writer = rig.holder(agent, "data").waits()
    claim.close()
    assert writer.held().token > claim.token


@test("QueryLock and ListLocks show programs that hold and wait: pid, uid, command, unit, token, since")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    before = time.time() * 1e6
    holder = rig.holder(agent, "backup").held()
    waiter = rig.holder(agent, "backup").waits()
    claim = client.request("backup")
    claim.expect("queued", ignore=())
    reader = rig.holder(agent, "data", "shared").held()
    holders, waiters = client.query("backup")
    assert [h["pid"] for h in holders] == [holder.pid] and [w["pid"] for w in waiters] == [waiter.pid, os.getpid()]
    shown = holders[0]
    assert shown["token"] == holder.token and shown["uid"] == os.getuid() and shown["mode"] == "exclusive", shown
    assert shown["extra"]["Command"] == "arena-holder" and shown["host"] == agent.name, shown
    assert before - 1e6 < waiters[0]["since"] <= waiters[1]["since"] < time.time() * 1e6 + 1e6
    assert before - 1e6 < shown["since"] < time.time() * 1e6 + 1e6, shown
    locks = {lock[1]: lock for lock in client.manager("ListLocks", "st", "node", 0)}
    assert set(locks) == {"backup", "data"}, locks
    assert [int(n) for n in locks["backup"][3:6]] == [1, 2, holder.token] and str(holder.pid) in locks["backup"][7]
    assert locks["data"][2] == "shared" and locks["data"][5] == reader.token
    assert len(client.manager("ListLocks", "st", "node", 1)) == 1       # only ours
    with open(f"/proc/{holder.pid}/cgroup", encoding="ascii") as f:
        cgroup = f.read()
    assert shown["unit"] in cgroup
    ctl = rig.ctl(agent, "lock-status", "backup")
    assert ctl.wait() == 0 and str(holder.pid) in ctl.output() and str(holder.token) in ctl.output(), ctl.output()
    current, _ = client.manager("VerifyToken", "sst", "node", "backup", holder.token)
    assert current
    assert holder.release() and waiter.held()
    assert [h["pid"] for h in client.query("backup")[0]] == [waiter.pid]


@test("BreakLock takes a lock from a program; a program takes one from a client")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    for mode in ("exclusive", "shared"):
        holder = rig.holder(agent, mode, mode).held()
        refused_with(lambda: client.manager("BreakLock", "sstt", "node", mode, holder.token - 1, 0), "StaleToken")
        client.manager("BreakLock", "sstt", "node", mode, holder.token, 0)
        claim = client.request(mode, mode)
        claim.acquired()
        assert not holder.still_holds() and not holder.release()

        waiter = rig.holder(agent, mode).waits()
        assert rig.holder(agent, mode, "break", str(claim.token + 1)).says() == ["stale"]
        assert rig.holder(agent, mode, "break", str(claim.token)).says() == ["broken"]
        assert claim.expect("lost")["REASON"] == "broken"
        assert waiter.held().release()
    refused_with(lambda: client.manager("BreakLock", "sstt", "node", "nobody", 1, 0), "NotHeld")


@test("BreakLock of a client's own lock gives it to a program that waits")
def _(rig):
    agent = rig.agent()
    claim = agent.client().request("backup")
    claim.acquired()
    holder = rig.holder(agent, "backup").waits()
    agent.client().manager("BreakLock", "sstt", "node", "backup", claim.token, 0)
    assert claim.expect("lost")["REASON"] == "broken"
    assert holder.held().release()


@test("SIGKILL of the agent: what its clients hold stays held while the service manager keeps its descriptor")
def _(rig):
    manager = rig.manager()
    agent = rig.agent(manager=manager)
    assert manager.names() == ["arena"]
    claim = agent.client().request("backup")
    claim.acquired()
    waiter = rig.holder(agent, "backup").waits()
    other = rig.holder(agent, "other").held()
    agent.kill()
    agent.close_clients()
    assert waiter.still_waits(0.5)
    # whoever needs no agent goes on
    assert other.release()
    assert rig.holder(agent, "other").held("released").release()
    start = time.monotonic()
    manager.drop("arena")
    waiter.held("died")
    took = time.monotonic() - start
    assert took < 1, took
    print(f"# recovered {took * 1000:.1f} ms after the descriptor was closed", flush=True)
    assert waiter.token > claim.token
    agent.start()
    assert manager.names() == ["arena"]
    late = agent.client().request("backup")
    late.expect("queued", ignore=())
    assert waiter.release()
    assert late.acquired()["PREVIOUS"] == "released"
    assert late.token > waiter.token


@test("a restarted agent gives back what the killed one held: the next is told died")
def _(rig):
    manager = rig.manager()
    agent = rig.agent(manager=manager)
    for name in ("one", "two"):
        agent.client().request(name).acquired()
    waiter = rig.holder(agent, "one").waits()
    agent.kill()
    agent.close_clients()
    assert manager.names() == ["arena"] and waiter.still_waits(0.3)
    agent.start()
    waiter.held("died")
    claim = agent.client().request("two")
    assert claim.acquired()["PREVIOUS"] == "died"
    assert waiter.release()
    claim.close()
    assert manager.names() == ["arena"]
    agent.terminate()
    assert manager.names() == []
    agent.start()


@test("without a service manager the death of the agent is the end of its clients' locks")
def _(rig):
    agent = rig.agent()
    agent.client().request("backup").acquired()
    waiter = rig.holder(agent, "backup").waits()
    agent.kill()
    agent.close_clients()
    waiter.held("died")
    assert waiter.release()
    agent.start()
    agent.client().request("backup").acquired()


@test("a clean stop gives everything back and tells nobody of a death")
def _(rig):
    agent = rig.agent()
    claim = agent.client().request("backup")
    claim.acquired()
    waiter = rig.holder(agent, "backup").waits()
    assert agent.terminate() == 0
    assert claim.expect("lost")["REASON"] == "agent-stopping"
    waiter.held("released")
    agent.close_clients()
    agent.start()


@test("many waiters: more words than one sleep takes")
def _(rig):
    agent = rig.agent()
    names = [f"lock{n}" for n in range(150)]
    holders = [rig.holder(agent, name) for name in names]
    for holder in holders:
        holder.held()
    client = agent.client()
    claims = [client.request(name) for name in names]
    for claim in claims:
        claim.expect("queued", ignore=())
    for holder in holders[::2]:
        holder.kill()
    for claim in claims[::2]:
        assert claim.acquired()["PREVIOUS"] == "died"
    for holder in holders[1::2]:
        assert holder.release()
    for claim in claims[1::2]:
        assert claim.acquired()["PREVIOUS"] == "released"


@test("an arena that is removed: claims are told lost, and another one is made")
def _(rig):
    agent = rig.agent()
    claim = agent.client().request("backup")
    claim.acquired()
    os.unlink(agent.arena)
    assert claim.expect("lost", timeout=20)["REASON"] == "backend-error"
    again = agent.client().request("backup")
    again.acquired()
    assert rig.holder(agent, "backup").waits()
    again.close()
    # the old one stays mapped: the kernel goes through it when the agent ends
    agent.idle_fds.append(f"{agent.arena} (deleted)")


@test("a truncated arena: claims are told lost, the agent lives on, and begins anew when the file has been removed")
def _(rig):
    agent = rig.agent()
    claim = agent.client().request("backup")
    claim.acquired()
    os.truncate(agent.arena, 0)
    other = agent.client().request("other")
    assert claim.expect("lost", timeout=20)["REASON"] == "backend-error"
    assert other.expect("failed")["REASON"] == "backend-error"
    os.unlink(agent.arena)
    agent.client().request("backup").acquired()
    agent.idle_fds.append(f"{agent.arena} (deleted)")


@test("an arena that can't be had: a warning, and the agent serves its clients")
def _(rig):
    agent = rig.agent(arguments=[f"--arena={rig.scratch('missing')}/arena"])
    assert "can't use the arena" in agent.process.text().lower()
    agent.client().request("backup").acquired()


if __name__ == "__main__":
    main()
