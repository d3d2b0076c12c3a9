#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tools of the cluster tests, tried with kazoo: the fault proxy, and forced expiry."""
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import ConnectionLoss, SessionExpiredError
from kazoo.handlers.threading import KazooTimeoutError

from kit import main, test, wait_for


class Observed:
    """A kazoo client through the proxy, which remembers the states that it went through."""

    def __init__(self, hosts, timeout=4):
        self.states = []
        self.client = KazooClient(hosts=hosts, timeout=timeout)
        self.client.add_listener(self.states.append)
        self.client.start(timeout=20)

    def wait_connected(self):
        wait_for(lambda: self.client.state == KazooState.CONNECTED, "kazoo to be connected again")

    def outcome(self, call, *arguments):
        """ok, or what went wrong."""
        try:
            call(*arguments)
            return "ok"
        except (ConnectionLoss, SessionExpiredError, KazooTimeoutError) as e:
            return type(e).__name__

    def close(self):
        self.client.stop()
        self.client.close()


def start(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    direct = zk.client()
    direct.ensure_path("/t")
    return zk, proxy, direct, Observed(proxy.hosts)


@test("frames pass and are counted")
def _(rig):
    _, proxy, direct, via = start(rig)
    via.client.create("/t/a", b"1")
    assert via.client.get("/t/a")[0] == b"1"
    via.client.delete("/t/a")
    assert not direct.exists("/t/a")
    requests = proxy.status()["requests"]
    assert requests["create"] == 1 and requests["delete"] == 1 and requests["get-data"] == 1, requests
    via.close()


@test("drop-request create 2: the second create is not executed, the connection is cut, the session lives")
def _(rig):
    _, proxy, direct, via = start(rig)
    proxy.drop_request("create", 2)
    session = via.client.client_id[0]
    assert via.outcome(via.client.create, "/t/a", b"") == "ok"
    assert via.outcome(via.client.create, "/t/b", b"") == "ConnectionLoss"
    proxy.wait_fired()
    via.wait_connected()
    assert direct.get_children("/t") == ["a"]
    assert via.client.client_id[0] == session
    via.close()


@test("drop-reply create 1: it is executed, and its client does not know")
def _(rig):
    _, proxy, direct, via = start(rig)
    proxy.drop_reply("create", 1)
    assert via.outcome(via.client.create, "/t/a", b"") == "ConnectionLoss"
    assert direct.get_children("/t") == ["a"]
    via.wait_connected()
    via.close()


@test("drop-request and drop-reply of delete")
def _(rig):
    _, proxy, direct, via = start(rig)
    direct.create("/t/a")
    direct.create("/t/b")
    proxy.drop_request("delete", 1)
    assert via.outcome(via.client.delete, "/t/a") == "ConnectionLoss"
    via.wait_connected()
    proxy.heal()
    proxy.drop_reply("delete", 1)
    assert via.outcome(via.client.delete, "/t/b") == "ConnectionLoss"
    via.wait_connected()
    assert direct.get_children("/t") == ["a"]
    via.close()


@test("a rule with a text only counts the requests that contain it")
def _(rig):
    _, proxy, direct, via = start(rig)
    proxy.drop_request("make", 1, "cut", "__lock__")
    assert via.outcome(via.client.create, "/t/other", b"") == "ok"
    assert via.outcome(via.client.create, "/t/x__lock__1", b"") == "ConnectionLoss"
    assert direct.get_children("/t") == ["other"]
    via.close()


@test("hold: the reply is lost and the connection stays, silent, until heal resets it")
def _(rig):
    _, proxy, direct, via = start(rig)
    proxy.drop_reply("create", 1, "hold")
    got = []
    caller = threading.Thread(target=lambda: got.append(via.outcome(via.client.create, "/t/a", b"")), daemon=True)
    caller.start()
    proxy.wait_fired()
    assert direct.get_children("/t") == ["a"]
    assert not got and proxy.status()["open"] == 1
    proxy.heal()
    caller.join(20)
    assert got == ["ConnectionLoss"], got
    via.wait_connected()
    via.close()


@test("blackhole s2c: requests are executed, answers come after heal, on the same connection")
def _(rig):
    _, proxy, direct, via = start(rig)
    accepted = proxy.status()["accepted"]
    proxy.blackhole("s2c")
    answer = via.client.create_async("/t/a", b"")
    wait_for(lambda: direct.exists("/t/a"), "the create to be executed")
    assert not answer.ready()
    proxy.heal()
    assert answer.get(timeout=20) == "/t/a"
    assert proxy.status()["accepted"] == accepted
    via.close()


@test("blackhole c2s: nothing arrives until heal")
def _(rig):
    _, proxy, direct, via = start(rig)
    proxy.blackhole("c2s")
    answer = via.client.create_async("/t/a", b"")
    direct.create("/t/after")                       # a round trip later the other is still not there
    assert not direct.exists("/t/a")
    proxy.heal()
    assert answer.get(timeout=20) == "/t/a"
    via.close()


@test("refuse: no connection until heal, then the same session again")
def _(rig):
    _, proxy, _, via = start(rig)
    session = via.client.client_id[0]
    proxy.refuse()
    wait_for(lambda: KazooState.SUSPENDED in via.states, "kazoo to notice")
    proxy.heal()
    via.wait_connected()
    assert via.client.client_id[0] == session and KazooState.LOST not in via.states
    via.close()


@test("expire: any session ends at once, with its ephemeral nodes")
def _(rig):
    zk, _, direct, via = start(rig)
    for i in range(3):
        session = via.client.client_id[0]
        via.client.create(f"/t/mine{i}", b"", ephemeral=True)
        zk.expire(session)
        assert not direct.exists(f"/t/mine{i}")
        wait_for(lambda: via.states.count(KazooState.LOST) == i + 1, "kazoo to be told")
        via.wait_connected()
        assert via.client.client_id[0] != session
    via.close()


@test("a server that was killed comes back on its address with the same data and sessions")
def _(rig):
    zk, _, direct, via = start(rig)
    session = via.client.client_id[0]
    via.client.create("/t/mine", b"", ephemeral=True)
    zk.stop()
    wait_for(lambda: KazooState.SUSPENDED in via.states, "kazoo to notice")
    zk.start()
    via.wait_connected()
    assert via.client.client_id[0] == session
    assert zk.ephemerals()["/t/mine"] == session
    wait_for(lambda: direct.state == KazooState.CONNECTED, "the other client to be back")
    via.close()


if __name__ == "__main__":
    main()
