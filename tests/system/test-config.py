#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Configuration files: mistakes are named with file and line and end the agent with status 78."""
import os

from kazoo.exceptions import NoAuthError

from kit import main, skip, test, wait_for
from kit.agent import run_agent, why_not
from kit.zk import PORT, own_address

EX_CONFIG = 78
HEAD = "[Agent]\nBusAddress=none\nSocket={socket}\nStateDirectory={state}\n"       # lines 1 to 4

# what is appended, the line on which the mistake is, a word that the message must contain
MISTAKES = (
    ("Nonsense=1", 5, "Nonsense"),
    ("no equals sign", 5, ""),
    ("[Agent", 5, ""),
    ("[NoSuchSection]\nA=1", 5, "NoSuchSection"),
    ("[Domain]\nURL=zookeeper://127.0.0.1:2181/", 5, ""),
    ("[Domain cluster]\nURL=http://x/", 6, "URL"),
    ("[Domain cluster]\nURL=zookeeper://:2181/", 6, "URL"),
    ("[Domain cluster]\nURL=zookeeper://127.0.0.1:99999/", 6, "URL"),
    ("[Domain cluster]\nURL=zookeeper://127.0.0.1:2181/\nSessionTimeoutSec=soon", 7, "SessionTimeoutSec"),
    ("[Domain cluster]\nURL=zookeeper://127.0.0.1:2181/\nSessionTimeoutSec=1", 7, "SessionTimeoutSec"),
    ("[Domain cluster]\nURL=zookeeper://127.0.0.1:2181/\nTickSec=-1", 7, "TickSec"),
    ("[Domain cluster]\nURL=zookeeper://127.0.0.1:2181/\nAuth=kerberos:x", 7, "Auth"),
    ("[Domain node]\nURL=zookeeper://127.0.0.1:2181/", 5, "node"),
    ("[Limits]\nClaimsPerUser=many", 6, "ClaimsPerUser"),
    ("[Limits]\nClaimsPerUser=-1", 6, "ClaimsPerUser"),
    ("[Access x]\nAllow=lock fly", 6, "fly"),
    ("[Access x]\nUser=no-such-user-here\nAllow=lock", 6, "no-such-user-here"),
)


def head(rig):
    return HEAD.format(socket=rig.scratch("x.sock"), state=rig.scratch.make("x.state"))


@test("every mistake: status 78, the file, the line, the word")
def _(rig):
    if why_not():
        skip(why_not())
    for text, line, word in MISTAKES:
        path = rig.scratch.write("x.conf", f"{head(rig)}{text}\n")
        if os.path.exists(rig.scratch("x.log")):
            os.unlink(rig.scratch("x.log"))
        status, output = run_agent(rig.scratch, [f"--config={path}"], "x")
        assert status == EX_CONFIG, f"{text!r}: status {status}: {output}"
        assert f"{path}:{line}:" in output, f"{text!r}: no {path}:{line}: in {output}"
        assert word in output, f"{text!r}: no {word} in {output}"
        assert not os.path.exists(rig.scratch("x.sock")), "it served although its configuration was wrong"


@test("all mistakes of a file are told at once, and a secret is never repeated")
def _(rig):
    if why_not():
        skip(why_not())
    path = rig.scratch.write("x.conf", f"{head(rig)}One=1\nTwo=2\n[Domain cluster]\nURL=nonsense\n"
                                       "Auth=digest:geheimnis\n")
    status, output = run_agent(rig.scratch, [f"--config={path}"], "x")
    assert status == EX_CONFIG
    for line in (5, 6, 8, 9):
        assert f"{path}:{line}:" in output, f"line {line}: {output}"
    assert "geheimnis" not in output, output


@test("a file that is not there, a directory, an unknown option: refused, not ignored")
def _(rig):
    if why_not():
        skip(why_not())
    for arguments in ([f"--config={rig.scratch('absent.conf')}"], [f"--config={rig.scratch.path}"],
                      ["--no-such-option"], ["--loop=fast"], ["surplus"]):
        status, output = run_agent(rig.scratch, arguments, "x")
        assert status > 0 and output, (arguments, status, output)


@test("no configuration at all: the node domain works")
def _(rig):
    agent = rig.agent()
    assert str(agent.client().property("DefaultDomain")) == "node"
    agent.client().request("a", domain="").acquired()


@test("one line makes a cluster domain, and it becomes the default")
def _(rig):
    if why_not():
        skip(why_not())
    zk = rig.zookeeper()
    agent = rig.agent("a")
    agent.close_clients()
    agent.terminate()
    text = open(agent.config, encoding="utf-8").read()
    rig.scratch.write("a.conf", f"URL={zk.url}\n{text}")
    agent.url, agent.wait_for_contact = zk.url, True
    agent.start()
    assert str(agent.client().property("DefaultDomain")) == "cluster"
    claim = agent.client().request("a", domain="")
    claim.acquired()
    wait_for(lambda: zk.lock_nodes("a"), "the znode")


@test("a full configuration: servers of which one is dead, a path, a namespace, authentication, private nodes")
def _(rig):
    zk = rig.zookeeper()
    zk.client().create("/teams/blue", makepath=True)
    dead = own_address()
    agents = [rig.agent(name, zk, wait_for_contact=False) for name in "ab"]
    for agent in agents:
        agent.close_clients()
        agent.terminate()
        with open(agent.config, encoding="utf-8") as f:
            text = f.read().replace(zk.url, f"zookeeper://{dead}:{PORT},{zk.hosts}/teams/blue")
        rig.scratch.write(f"{agent.name}.conf", f"{text}\nNamespace=/locks-of/tooz\nACL=private\n"
                                                "Auth=digest:blue:geheimnis\n")
        agent.wait_for_contact = True
        agent.start()
    claim = agents[0].client().request("a", domain="cluster")
    claim.acquired()
    waiter = agents[1].client().request("a", domain="cluster")
    folder = "/teams/blue/locks-of/tooz/locks/a"
    wait_for(lambda: len(zk.lock_nodes("a", "/teams/blue/locks-of/tooz/locks")) == 2, "both to queue")
    assert waiter.still_waits()
    try:
        zk.client().get_children(folder)
        raise AssertionError("a private lock could be listed without authentication")
    except NoAuthError:
        pass
    claim.close()
    waiter.acquired()
    logs = "".join(open(agent.log, encoding="utf-8").read() for agent in agents)
    assert "geheimnis" not in logs


if __name__ == "__main__":
    main()
