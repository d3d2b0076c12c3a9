#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Three servers: the death of one, of the leader, of the majority; and followers that still answer reads."""
from kit import main, now_usec, test, wait_for

LONG_SESSION_SEC = 20       # longer than an election takes on the busiest machine


def request(agent, name="backup", mode="exclusive", **options):
    return agent.client().request(name, mode, domain="cluster", **options)


def own_server(ensemble, agent):
    return ensemble.by_host(agent.domain_property("Server"))


def contact_again(claim, agent):
    """Suspended or not in between, but never lost."""
    agent.wait_state("up")
    claim.client.ping()
    assert "lost" not in claim.kinds(), claim.events
    wait_for(lambda: claim.property("State") == "held", "the claim to be held again")


@test("the agent's server is killed: it goes to another with the same session, and the claim stays")
def _(rig):
    ensemble = rig.ensemble()
    a, b = (rig.agent(name, ensemble, session_sec=LONG_SESSION_SEC) for name in "ab")
    claim = request(a)
    claim.acquired()
    session = a.session()
    waiter = request(b)
    waiter.expect("queued")
    old = own_server(ensemble, a)
    old.stop()
    wait_for(lambda: a.domain_property("Server") and own_server(ensemble, a) is not old, "another server")
    contact_again(claim, a)
    assert a.session() == session and "acquired" not in waiter.kinds()
    claim.close()
    waiter.acquired()
    assert waiter.token > claim.token


@test("the leader is killed: after the election everything is as before, and the epoch in tokens has risen")
def _(rig):
    ensemble = rig.ensemble()
    agent = rig.agent("a", ensemble, session_sec=LONG_SESSION_SEC)
    claim = request(agent)
    claim.acquired()
    leader = ensemble.leader()
    leader.stop()
    ensemble.wait_serving()
    contact_again(claim, agent)
    claim.close()
    again = request(agent)
    again.acquired()
    assert again.token >> 48 > claim.token >> 48
    leader.start()
    contact_again(again, agent)


@test("the majority is killed: lost by the deadline while one server is still there; granted again afterwards")
def _(rig):
    ensemble = rig.ensemble()
    agent = rig.agent("a", ensemble)
    claim, waiter = request(agent), request(agent)
    claim.acquired()
    kept = own_server(ensemble, agent)
    away = [server for server in ensemble.servers if server is not kept]
    for server in away:
        server.stop()
    claim.expect("suspended")
    assert claim.expect("lost", ignore=("suspended", "resumed", "contended"))["REASON"] == "deadline"
    assert "acquired" not in waiter.kinds()
    for server in away:
        server.start(wait=False)
    ensemble.wait_serving()
    waiter.acquired()
    assert waiter.token > claim.token


@test("the majority hangs: the agent's server still answers reads, which proves nothing: suspended, lost in time")
def _(rig):
    ensemble = rig.ensemble()
    agent = rig.agent("a", ensemble)
    claim = request(agent)
    claim.acquired()
    kept = own_server(ensemble, agent)
    if kept is ensemble.leader():           # a leader alone steps down; it is the follower that is cut off
        kept.stop()
        wait_for(lambda: agent.domain_property("Server") and own_server(ensemble, agent) is not kept,
                 "another server")
        kept.start(wait=False)
        ensemble.wait_serving()
        claim.close()
        agent.wait_state("up")
        claim = request(agent)
        claim.acquired()
        kept = own_server(ensemble, agent)
    others = [server for server in ensemble.servers if server is not kept]
    for server in others:
        server.pause()
    deadline = int(claim.expect("suspended")["DEADLINE_BOOTTIME_USEC"])
    assert deadline > now_usec() - 60_000_000
    assert claim.expect("lost", ignore=("suspended", "resumed", "contended"))["REASON"] == "deadline"
    for server in others:
        server.resume()
    ensemble.wait_serving()
    again = request(agent)
    again.acquired()
    assert again.token > claim.token


@test("servers are killed one after the other under load on two hosts: the history contradicts no promise")
def _(rig):
    ensemble = rig.ensemble()
    agents = [rig.agent(name, ensemble, session_sec=LONG_SESSION_SEC) for name in "ab"]
    workload = rig.workload(*agents, domain="cluster", clients=8, operations=10 ** 7, names=2)
    for server in ensemble.servers:
        server.stop()
        ensemble.wait_serving()
        for agent in agents:
            agent.wait_state("up")
        server.start(wait=False)
        ensemble.wait_serving()
    counts = workload.stop()
    assert counts["held"] > 100, counts


if __name__ == "__main__":
    main()
