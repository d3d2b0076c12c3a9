#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The zookeeper backend over a real ZooKeeper: questions, and breaking locks."""
import os
import sys

HERE = os.path.join(os.environ.get("srcdir", "."), "tests")
sys.path[:0] = [os.path.join(HERE, "system"), os.path.join(HERE, "backend")]

from kit import PATIENCE_SEC, main, test, wait_for              # noqa: E402
from zk_driver import Driver, nodes, start, wait_gone           # noqa: E402


# --- questions ---------------------------------------------------------------------------------------

@test("who holds and who waits, in order, seen from each host")
def _(rig):
    zk, driver = start(rig, hosts="abc")
    token, _ = driver.take("a", 1, "backup")
    for n, (host, ident) in enumerate((("b", 2), ("c", 3)), 2):
        driver.lock(host, ident, "backup")
        wait_for(lambda n=n: len(nodes(zk, "backup")) == n, "the waiter's node")
    driver.lock("b", 4, "backup")
    driver.expect("claim b 4 queued")
    owners = driver.owners("c", "backup")
    assert [o.brief() for o in owners] == [("holds", "a"), ("waits", "b"), ("waits", "c")], owners
    assert [o["local"] for o in owners] == ["0", "0", "1"]
    assert owners[0]["pid"] == "4711" and owners[0]["since"] == "1"
    assert int(owners[0]["token"]) >> 16 == token >> 16 and owners[1]["token"] == "0"
    owners = driver.owners("b", "backup")
    assert [o.brief() for o in owners] == [("holds", "a"), ("waits", "b"), ("waits", "b"), ("waits", "c")], owners
    owners = driver.owners("a", "backup")
    assert owners[0]["local"] == "1" and int(owners[0]["token"]) == token and owners[0]["node"] in nodes(zk, "backup")
    assert driver.owners("a", "unknown") == []
    driver.quit()


@test("all locks, with counts")
def _(rig):
    zk, driver = start(rig)
    assert driver.locks("a") == {}
    for i in range(100):
        driver.take("a", i, f"lock-{i:03}")
    driver.take("b", 200, "data", "s")
    driver.take("a", 201, "data", "s")
    driver.lock("b", 202, "lock-000")
    wait_for(lambda: len(nodes(zk, "lock-000")) == 2, "the waiter's node")
    locks = driver.locks("b")
    assert len(locks) == 101 and list(locks) == sorted(locks)
    assert locks["lock-000"] == {"mode": "exclusive", "holders": "1", "waiters": "1", "host": "a", "local": "0"}
    assert locks["data"]["holders"] == "2" and locks["data"]["mode"] == "shared"
    assert len(driver.locks("b", "local")) == 2
    driver.quit()


@test("no contact: questions are answered with an error")
def _(rig):
    zk, driver = start(rig, hosts="a")
    zk.stop()
    driver.expect("session a suspended")
    for command, kind in ((("query", "a", "backup"), "lock"), (("list", "a"), "list"),
                          (("break", "a", "backup", 65536), "break")):
        driver.send(*command)
        driver.expect(f"{kind} a ENOTCONN")
    driver.quit()


# --- breaking ----------------------------------------------------------------------------------------

@test("break what this host holds, and what another host holds")
def _(rig):
    zk, driver = start(rig)
    token, _ = driver.take("a", 1, "backup")
    assert driver.breaks("a", "backup", token) == "ok"
    wait_gone(zk, "backup")
    token, _ = driver.take("a", 2, "backup")
    assert driver.breaks("b", "backup", token) == "ok"
    wait_gone(zk, "backup")
    token, _ = driver.take("a", 3, "backup")
    assert driver.breaks("b", "backup", token >> 16 << 16) == "ok"
    lost = [line for line in driver.lines if " lost " in line]
    assert [line.split()[2] for line in lost] == ["1", "2", "3"] and all("reason=broken" in line for line in lost), lost
    client = zk.client()
    wait_for(lambda: all(client.get_children(f"/toozd/hosts/{host}") == ["alive"]
                         for host in client.get_children("/toozd/hosts")), "no request to be left")
    driver.quit()


@test("break with a token that is not the holder's")
def _(rig):
    _, driver = start(rig)
    token, _ = driver.take("a", 1, "backup")
    assert driver.breaks("b", "backup", token - 65536) == "ESTALE"
    assert driver.breaks("b", "backup", token + 1) == "ESTALE"          # the tenure, but not this grant
    assert driver.breaks("a", "backup", token + 1) == "ESTALE"
    assert driver.breaks("b", "unknown", token) == "ENOENT"
    assert not driver.unseen("claim a 1 lost")
    driver.unlock("a", 1)
    driver.quit()


@test("break a reader among readers")
def _(rig):
    zk, driver = start(rig, hosts="abc")
    first, _ = driver.take("a", 1, "data", "s")
    second, _ = driver.take("b", 2, "data", "s")
    assert driver.breaks("c", "data", second) == "ok"
    assert not driver.unseen("claim a 1 lost")
    wait_for(lambda: len(nodes(zk, "data")) == 1, "the node to be gone")
    driver.unlock("a", 1)
    driver.quit()


@test("a foreign holder is refused, and deleted by force")
def _(rig):
    zk, driver = start(rig, hosts="a")
    client = zk.client()
    lock = client.Lock("/tooz/locks/backup", "python")
    assert lock.acquire(timeout=PATIENCE_SEC)
    token = client.exists(zk.lock_nodes("backup")[0]).czxid << 16
    assert driver.breaks("a", "backup", token) == "EPERM"
    assert nodes(zk, "backup")
    assert driver.breaks("a", "backup", token + 65536, "force") == "ESTALE"
    assert driver.breaks("a", "backup", token, "force") == "ok"
    assert not nodes(zk, "backup")
    driver.quit()


@test("an agent that does not answer: time-out, and force deletes")
def _(rig):
    zk = rig.zookeeper()
    driver = Driver(rig, zk.hosts, session="2s")
    victim = Driver(rig, zk.hosts, name="victim", session="30s")
    driver.host("a")
    victim.host("v")
    token, _ = victim.take("v", 1, "backup")
    victim.process.stop()
    assert driver.breaks("a", "backup", token) == "ETIMEDOUT"
    assert nodes(zk, "backup")
    assert driver.breaks("a", "backup", token, "force") == "ok"
    assert not nodes(zk, "backup")
    victim.process.cont()
    victim.unlock("v", 1)
    victim.quit()
    driver.quit()


main()
