#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The zookeeper backend over a real ZooKeeper: sessions and locks."""
import os
import random
import sys
import time

HERE = os.path.join(os.environ.get("srcdir", "."), "tests")
sys.path[:0] = [os.path.join(HERE, "system"), os.path.join(HERE, "backend")]

from kit import PATIENCE_SEC, main, test, wait_for              # noqa: E402
from zk_driver import Driver, nodes, start, wait_gone           # noqa: E402


# --- the session -------------------------------------------------------------------------------------

@test("a host makes its nodes, and leaves nothing but directories")
def _(rig):
    zk, driver = start(rig, hosts="a")
    state = driver.state("a")
    assert state["server"] == zk.hosts and state["detail"] == "-", state
    own = f"/toozd/hosts/{driver.session('a'):016x}"
    wait_for(lambda: f"{own}/alive" in zk.ephemerals(), "the ephemeral child")
    client = zk.client()
    assert client.get(own)[0] == b"HOST=test\nVERSION=0\n"
    driver.quit()
    assert not client.exists(own)
    assert sorted(client.get_children("/toozd")) == ["died", "hosts"] and client.get_children("/tooz") == ["locks"]


@test("chroot of several components")
def _(rig):
    zk, driver = start(rig, "chroot=/prod/eu")
    driver.take("a", 1, "backup")
    driver.lock("b", 2, "backup")
    driver.expect("claim b 2 queued")
    wait_for(lambda: len(zk.lock_nodes("backup", "/prod/eu/tooz/locks")) == 2, "both nodes")
    driver.unlock("a", 1)
    driver.acquired("b", 2)
    assert sorted(zk.client().get_children("/")) == ["prod", "zookeeper"]
    driver.quit()


@test("no server: the reason is shown, and the session comes when the server comes")
def _(rig):
    zk = rig.zookeeper()
    zk.stop()
    driver = Driver(rig, zk.hosts)
    driver.host("a", up=False)
    wait_for(lambda: driver.state("a")["detail"] == f"{zk.hosts}: Connection refused", "the reason to be shown")
    zk.start()
    driver.expect("session a up")
    driver.take("a", 1, "backup")
    driver.quit()


@test("stopping without a server ends, and so does stopping while connecting")
def _(rig):
    zk, driver = start(rig, hosts="a")
    driver.take("a", 1, "backup")
    zk.stop()
    driver.expect("claim a 1 suspended")
    driver.host("b", up=False)
    driver.quit()


@test("names are resolved, and one that does not resolve is no obstacle")
def _(rig):
    zk = rig.zookeeper()
    driver = Driver(rig, f"no-such-host.invalid:2181,{zk.hosts}")
    driver.host("a")
    driver.quit()
    driver = Driver(rig, "no-such-host.invalid:2181", name="lost")
    driver.host("a", up=False)
    wait_for(lambda: "can't resolve no-such-host.invalid" in driver.state("a")["detail"], "the reason to be shown")
    driver.quit()


@test("a session timeout below four ticks is refused with a sentence")
def _(rig):
    zk = rig.zookeeper()
    driver = Driver(rig, zk.hosts, "tick=2s")
    driver.host("a", up=False)
    wait_for(lambda: "less than 4 ticks of 2s" in driver.state("a")["detail"], "the reason to be shown")
    assert driver.state("a")["state"] == "connecting"
    driver.lock("a", 1, "backup", "x", "try")
    driver.expect("claim a 1 refused 2")
    driver.quit()


@test("digest authentication: nodes are for their creator alone")
def _(rig):
    zk, driver = start(rig, "auth=tooz:s3cret", "private")
    driver.take("a", 1, "backup")
    driver.lock("b", 2, "backup")
    driver.expect("claim b 2 queued")
    wait_for(lambda: len(nodes(zk, "backup")) == 2, "both nodes")
    client = zk.client(auth_data=[("digest", "tooz:s3cret")])
    acls = client.get_acls("/tooz/locks")[0]
    assert [acl.id.scheme for acl in acls] == ["digest"], acls
    other = Driver(rig, zk.hosts, name="other")
    other.host("c", up=False)
    wait_for(lambda: "not authenticated" in other.state("c")["detail"], "the reason to be shown")
    driver.unlock("a", 1)
    driver.acquired("b", 2)
    other.quit()
    driver.quit()
    assert "s3cret" not in driver.process.text()


@test("authentication that the servers don't know: the reason is shown")
def _(rig):
    zk = rig.zookeeper()
    driver = Driver(rig, zk.hosts, "scheme=nonsense", "auth=tooz:s3cret")
    driver.host("a", up=False)
    wait_for(lambda: "refuse the authentication" in driver.state("a")["detail"], "the reason to be shown")
    assert driver.state("a")["state"] == "connecting"
    driver.quit()
    assert "s3cret" not in driver.process.text()


@test("directories deleted by somebody while the agents run: made again")
def _(rig):
    zk, driver = start(rig, "chroot=/prod")
    driver.take("a", 1, "backup")
    driver.unlock("a", 1)
    wait_for(lambda: not zk.lock_nodes("backup", "/prod/tooz/locks"), "the node to be gone")
    zk.client().delete("/prod/tooz", recursive=True)
    driver.take("b", 2, "backup")
    driver.lock("a", 3, "backup")
    driver.unlock("b", 2)
    driver.acquired("a", 3)
    driver.quit()


@test("server away for less than the deadline: suspended, resumed, the same session and token")
def _(rig):
    zk = rig.zookeeper()
    # A server that is starting up takes connections and lets them hang: the proxy keeps them away meanwhile.
    proxy = rig.proxy(zk)
    driver = Driver(rig, proxy.hosts, session="20s")
    driver.host("a")
    token, _ = driver.take("a", 1, "backup")
    session = driver.session("a")
    proxy.refuse()
    zk.stop()
    driver.expect("claim a 1 suspended")
    zk.start()
    proxy.heal()
    found = driver.expect(r"claim a 1 resumed token=(\d+)")
    assert int(found.group(1)) == token and driver.session("a") == session
    driver.unlock("a", 1)
    wait_gone(zk, "backup")
    driver.quit()


@test("server away for longer: lost while still disconnected, and its node is deleted afterwards")
def _(rig):
    zk, driver = start(rig, hosts="a", session="2s")
    driver.take("a", 1, "backup")
    zk.stop()
    driver.expect("claim a 1 suspended")
    driver.expect("claim a 1 lost .*reason=deadline")
    zk.start()
    driver.expect("session a up")
    wait_gone(zk, "backup")
    driver.take("a", 2, "backup")
    driver.quit()


@test("forced expiry: the holder loses, the waiter queues again in a new session")
def _(rig):
    zk, driver = start(rig)
    driver.take("a", 1, "backup")
    driver.lock("b", 2, "backup")
    driver.lock("a", 3, "backup")
    wait_for(lambda: len(nodes(zk, "backup")) >= 2, "both nodes")
    before = driver.session("a")
    zk.expire(before)
    driver.expect_all("claim a 1 lost .*reason=session-expired", "claim b 2 acquired", "session a up epoch=2")
    wait_for(lambda: len(nodes(zk, "backup")) == 2, "the waiter to queue again")
    assert driver.session("a") != before
    driver.unlock("b", 2)
    driver.acquired("a", 3)
    driver.quit()


@test("our own node deleted by somebody: made again by the next heartbeat")
def _(rig):
    zk, driver = start(rig, hosts="a", session="2s")
    token, _ = driver.take("a", 1, "backup")
    own = f"/toozd/hosts/{driver.session('a'):016x}"
    client = zk.client()
    client.delete(own, recursive=True)
    wait_for(lambda: client.exists(f"{own}/alive"), "our node to be back")
    driver.unlock("a", 1)
    driver.quit()


# --- locks -------------------------------------------------------------------------------------------

@test("two hosts exclude each other, tokens rise, the node is gone at once")
def _(rig):
    zk, driver = start(rig)
    first, _ = driver.take("a", 1, "backup")
    driver.lock("b", 2, "backup")
    wait_for(lambda: len(nodes(zk, "backup")) == 2, "both nodes")
    assert not driver.unseen("claim b 2 acquired")
    driver.unlock("a", 1)
    second, _ = driver.acquired("b", 2)
    third, _ = (driver.unlock("b", 2), driver.take("a", 3, "backup"))[1]
    assert first < second < third
    driver.unlock("a", 3)
    wait_gone(zk, "backup")
    # what was asked before the end may be answered after it
    wait_for(lambda: driver.state("a")["locks"] == driver.state("b")["locks"] == "0", "both hosts to forget the lock")
    driver.quit()


@test("readers of several hosts hold together, a writer waits for all of them")
def _(rig):
    zk, driver = start(rig, hosts="abcd")
    driver.take("a", 1, "data", "s")
    driver.take("b", 2, "data", "s")
    driver.lock("c", 3, "data")
    wait_for(lambda: len(nodes(zk, "data")) == 3, "the writer's node")
    driver.lock("d", 4, "data", "s")            # behind the writer
    wait_for(lambda: len(nodes(zk, "data")) == 4, "the reader's node")
    driver.unlock("a", 1)
    assert not driver.unseen("claim . . acquired")
    driver.unlock("b", 2)
    driver.acquired("c", 3)
    assert not driver.unseen("claim d 4 acquired")
    driver.unlock("c", 3)
    driver.acquired("d", 4)
    driver.unlock("d", 4)
    wait_gone(zk, "data")
    driver.quit()


@test("a try fails while another host holds, and succeeds afterwards")
def _(rig):
    zk, driver = start(rig)
    driver.take("a", 1, "backup")
    driver.take("b", 9, "other")  # a session that is up is in contact when its first write is answered
    driver.lock("b", 2, "backup", "x", "try")
    driver.expect("claim b 2 failed .*reason=would-block")
    driver.unlock("a", 1)
    wait_gone(zk, "backup")
    driver.take("b", 3, "backup", "x", "try")
    driver.quit()


@test("a death is recorded with the delete, told once, and forgotten")
def _(rig):
    zk, driver = start(rig)
    driver.take("a", 1, "backup")
    driver.unlock("a", 1, "died")
    wait_gone(zk, "backup")
    client = zk.client()
    assert client.get("/toozd/died/backup")[0].isdigit()
    assert driver.take("b", 2, "backup")[1] == "died"
    driver.unlock("b", 2, "died")                # the record is replaced
    wait_gone(zk, "backup")
    assert driver.take("a", 3, "backup")[1] == "died"
    driver.unlock("a", 3)
    wait_gone(zk, "backup")
    wait_for(lambda: not client.exists("/toozd/died/backup"), "the record to be cleared")
    assert driver.take("b", 4, "backup")[1] == "unknown"
    driver.quit()


@test("a record that can't be written does not keep the lock")
def _(rig):
    zk, driver = start(rig)
    client = zk.client()
    driver.take("a", 1, "backup")
    client.create("/toozd/died/backup/child", b"", makepath=True)     # can't be deleted
    driver.unlock("a", 1, "died")
    driver.take("b", 2, "backup")
    driver.unlock("b", 2)
    wait_gone(zk, "backup")
    client.delete("/toozd/died", recursive=True)                      # can't be created
    driver.take("a", 3, "backup")
    driver.unlock("a", 3, "died")
    driver.take("b", 4, "backup")
    driver.quit()


@test("the node names its host and claim")
def _(rig):
    zk, driver = start(rig, hosts="a")
    driver.take("a", 1, "backup")
    data = zk.client().get(zk.lock_nodes("backup")[0])[0].decode()
    pairs = dict(line.split("=", 1) for line in data.splitlines())
    assert pairs["AGENT"] == "tooz" and pairs["HOST"] == "a" and pairs["PID"] == "4711" and pairs["UID"] == "1000"
    assert pairs["DESCRIPTION"] == "nightly backup" and int(pairs["SINCE_REALTIME_USEC"]) > 0
    driver.quit()


@test("kazoo's Lock, ReadLock and WriteLock wait for ours, and ours for them")
def _(rig):
    from kazoo.recipe.lock import ReadLock, WriteLock
    zk, driver = start(rig, hosts="a")
    client = zk.client()
    driver.take("a", 1, "backup", "s")
    assert not client.Lock("/tooz/locks/backup", "python").acquire(blocking=False)
    assert not WriteLock(client, "/tooz/locks/backup").acquire(blocking=False)
    driver.unlock("a", 1)
    wait_gone(zk, "backup")
    theirs = client.Lock("/tooz/locks/backup", "python")
    assert theirs.acquire(timeout=PATIENCE_SEC)
    driver.lock("a", 2, "backup")
    wait_for(lambda: len(nodes(zk, "backup")) == 2, "our node")
    foreign = driver.owners("a", "backup")[0]
    assert foreign["foreign"] == "1" and foreign["description"] == "python" and foreign.role == "holds", foreign
    theirs.release()
    driver.acquired("a", 2)
    driver.unlock("a", 2)
    wait_gone(zk, "backup")
    reader = ReadLock(client, "/tooz/locks/backup", "python")
    assert reader.acquire(timeout=PATIENCE_SEC)
    driver.take("a", 3, "backup", "s")           # readers together
    driver.lock("a", 4, "backup", "x")
    driver.unlock("a", 3)
    wait_for(lambda: len(nodes(zk, "backup")) == 2, "our writer's node")
    assert not driver.unseen("claim a 4 acquired")
    reader.release()
    driver.acquired("a", 4)
    driver.quit()


@test("children that are no contenders change nothing, look-alikes exclude")
def _(rig):
    zk, driver = start(rig, hosts="a")
    client = zk.client()
    client.ensure_path("/tooz/locks/backup")
    for child in ("junk", "__lock__", "a__lock__1", "lease-0000000001", "\u00e4\u00f6"):
        client.create(f"/tooz/locks/backup/{child}", b"\xff\xfe\x00")
    driver.take("a", 1, "backup")
    driver.unlock("a", 1)
    wait_gone(zk, "backup")
    client.create("/tooz/locks/backup/x__r__lock__0000000000", b"")
    driver.lock("a", 2, "backup", "s")
    wait_for(lambda: nodes(zk, "backup"), "our node")
    assert [owner.role for owner in driver.owners("a", "backup")] == ["holds", "waits"]
    client.delete("/tooz/locks/backup/x__r__lock__0000000000")
    driver.acquired("a", 2)
    driver.quit()


@test("a node in force deleted by somebody: its claims are lost, and the lock works")
def _(rig):
    zk, driver = start(rig)
    driver.take("a", 1, "backup", "x", "contention")
    zk.client().delete(zk.lock_nodes("backup")[0])
    driver.expect("claim a 1 lost .*reason=broken")
    driver.take("b", 2, "backup")
    driver.quit()


@test("no watch to be had: the waiter looks again now and then")
def _(rig):
    zk, driver = start(rig)
    driver.take("a", 1, "backup")
    driver.send("watches", "b", 10)
    driver.lock("b", 2, "backup")
    wait_for(lambda: len(nodes(zk, "backup")) == 2, "both nodes")
    driver.unlock("a", 1)
    driver.acquired("b", 2)
    requests = int(zk.mntr()["zk_packets_received"])
    driver.lock("b", 3, "backup")               # wants to know of contention, and can't watch
    driver.expect("claim b 3 queued")
    time.sleep(1)                               # a listing that repeats itself would make thousands of them
    assert int(zk.mntr()["zk_packets_received"]) - requests < 100
    driver.unlock("b", 2)
    driver.acquired("b", 3)
    driver.quit()


@test("a queue of 10,000: the listing is taken, a waiter watches one node")
def _(rig):
    zk, driver = start(rig, hosts="a", session="20s")
    client = zk.client()
    client.ensure_path("/tooz/locks/backup")
    calls = [client.create_async(f"/tooz/locks/backup/{i:032x}__lock__", b"", sequence=True) for i in range(10000)]
    for call in calls:
        call.get(timeout=PATIENCE_SEC)
    driver.lock("a", 1, "backup")
    driver.expect("claim a 1 queued")
    wait_for(lambda: nodes(zk, "backup"), "our node")
    watched = wait_for(lambda: [line for line in zk.ask("wchp").splitlines() if "/tooz/locks/backup" in line],
                       "the watch")
    assert len(watched) == 1 and watched[0].endswith("0000009999"), watched
    assert driver.locks("a")["backup"] == {"mode": "exclusive", "holders": "1", "waiters": "10000", "host": "-",
                                           "local": "0"}
    calls = [client.delete_async(f"/tooz/locks/backup/{child}") for child in client.get_children("/tooz/locks/backup")
             if child not in nodes(zk, "backup")]
    for call in calls:
        call.get(timeout=PATIENCE_SEC)
    driver.acquired("a", 1)
    driver.quit()


@test("replies that are lost: one node, none left, and no guess")
def _(rig):
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    driver = Driver(rig, proxy.hosts, session="20s")
    driver.host("a")
    for fault in (proxy.drop_reply, proxy.drop_request):
        fault("make", 1, "cut", "__lock__")
        driver.take("a", 1, "backup")
        assert len(nodes(zk, "backup")) == 1
        fault("remove", 1, "cut", "__lock__")
        driver.unlock("a", 1)
        wait_gone(zk, "backup")
    driver.quit()


# --- restored backups --------------------------------------------------------------------------------

@test("an ensemble that went back in time: nothing is granted until it is acknowledged, once")
def _(rig):
    old, new = rig.zookeeper("old"), rig.zookeeper("new")
    state = rig.scratch.make("state")
    driver = Driver(rig, old.hosts, name="first")
    driver.host("a", state)
    for i in range(30):
        driver.take("a", i, "backup")
        driver.unlock("a", i)
    driver.quit()
    driver = Driver(rig, new.hosts, name="second")
    driver.host("a", state)
    wait_for(lambda: "went back in time" in driver.state("a")["detail"], "the reason to be shown")
    driver.lock("a", 1, "backup")
    driver.expect("claim a 1 failed .*reason=token-regression")
    driver.quit()
    driver = Driver(rig, new.hosts, "ack", name="third")
    driver.host("a", state)
    driver.take("a", 1, "backup")
    driver.quit()
    driver = Driver(rig, new.hosts, "ack", name="fourth")
    driver.host("a", state)
    driver.take("a", 1, "backup")
    driver.quit()


# --- everything at once ------------------------------------------------------------------------------

def check_history(lines, claims):
    """All hosts are one thread, so the order of the lines is that of the events."""
    holding, last, grants = {"x": {}, "y": {}}, {"x": (0, "s"), "y": (0, "s")}, 0
    for line in lines:
        words = line.split()
        if words[0] != "claim":
            continue
        ident, event = int(words[2]), words[3]
        lock, mode = claims[ident]
        if event == "acquired":
            token = int(words[4].partition("=")[2])
            others = holding[lock].values()
            assert not others or (mode == "s" and set(others) == {"s"}), f"{line}: beside {holding[lock]}"
            # Readers of several hosts may be granted in any order among themselves.
            assert token > last[lock][0] or (mode == "s" and last[lock][1] == "s"), f"{line}: after {last[lock]}"
            if token > last[lock][0]:
                last[lock] = token, mode
            holding[lock][ident] = mode
            grants += 1
        elif event in ("released", "lost"):
            holding[lock].pop(ident)
    assert grants > 0 and not any(holding.values()), holding


def churn(rig, *options):
    """Three hosts, two locks, random requests and ends, now and then a cut: never two holders, tokens rise."""
    seed = int(os.environ.get("KIT_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"# KIT_SEED={seed}")
    dice = random.Random(seed)
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    driver = Driver(rig, proxy.hosts, *options, session="20s")
    live, claims = {}, {}       # id -> (host, lock), (lock, mode)
    for host in "abc":
        driver.host(host)
    for step in range(400):
        if len(live) < 12 and dice.random() < 0.6:
            ident = step
            live[ident] = dice.choice("abc"), dice.choice(("x", "y"))
            claims[ident] = live[ident][1], dice.choice("xxs")
            driver.lock(live[ident][0], ident, *claims[ident])
        elif live:
            ident = dice.choice(sorted(live))
            driver.send("unlock", live.pop(ident)[0], ident, *(["died"] * dice.randrange(2)))
        if step % 100 == 99:
            wait_for(lambda: all(driver.state(host)["state"] == "up" for host in "abc"), "contact")
            proxy.cut()
            driver.expect_all(*(f"session {host} suspended" for host in "abc"))
        driver.read_for(dice.uniform(0, 0.02))
    for ident, (host, _) in sorted(live.items()):
        driver.send("unlock", host, ident)
    for lock in "xy":
        wait_gone(zk, lock)
    for host in "abc":
        wait_for(lambda host=host: driver.state(host)["locks"] == "0", "nothing to be left in the table")
    driver.quit()
    check_history(driver.lines, claims)


@test("churn with cut connections: nothing is left, and the tables are sound")
def _(rig):
    churn(rig)


@test("churn on epoll")
def _(rig):
    churn(rig, "loop=epoll")


main()
