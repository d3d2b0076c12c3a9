#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""toozctl: exit codes, the child under the lock, queries, and what it does when the lock is lost."""
import json
import os
import signal

from kit import main, test, wait_for

CONFLICT, LOST, TIMED_OUT, CANNOT_RUN, NOT_FOUND = 75, 123, 124, 126, 127
NODE_A = ("node", "a", "exclusive")


def run(rig, agent, *arguments, **options):
    """(status, output) of a run that ends by itself."""
    ctl = rig.ctl(agent, *arguments, **options)
    return ctl.wait(), ctl.output()


@test("lock NAME -- COMMAND: the command's status, its arguments untouched, the lock free afterwards")
def _(rig):
    agent = rig.agent()
    for direct in (True, False):
        assert run(rig, agent, "lock", "a", "--", "true", direct=direct) == (0, "")
        assert run(rig, agent, "lock", "a", "--", "sh", "-c", "exit 7", direct=direct)[0] == 7
    assert run(rig, agent, "lock", "a", "--", "sh", "-c", "kill -TERM $$")[0] == 128 + signal.SIGTERM
    assert run(rig, agent, "lock", "a", "--", "echo", "-n", "-x", "--")[1] == "-x --"
    assert run(rig, agent, "lock", "a", "echo", "-s", "x")[1] == "-s x\n"
    assert run(rig, agent, "lock", "-c", "echo $((1 + 1))", "a")[1] == "2\n" or \
        run(rig, agent, "lock", "a", "-c", "echo $((1 + 1))")[1] == "2\n"
    assert not agent.client().query("a")[0]


@test("the command finds lock, domain and token in its environment")
def _(rig):
    agent = rig.agent()
    status, text = run(rig, agent, "lock", "a", "--", "sh", "-c",
                       "echo $TOOZ_LOCK $TOOZ_DOMAIN $TOOZ_FENCING_TOKEN")
    name, domain, token = text.split()
    assert status == 0 and (name, domain) == ("a", "node") and int(token) > 0, text


@test("-n: conflict is 75 and says who holds it; -E chooses another status")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("a", Description="nightly")
    holder.acquired()
    status, text = run(rig, agent, "lock", "-n", "a", "--", "true")
    assert status == CONFLICT and "nightly" in text and str(holder.token) in text, (status, text)
    assert run(rig, agent, "lock", "-n", "-E", "9", "a", "--", "true")[0] == 9
    assert run(rig, agent, "lock", "-n", "-E", "600", "a", "--", "true")[0] not in (0, 9, 88, CONFLICT)


@test("-w: a wait that is too long is 124")
def _(rig):
    agent = rig.agent()
    agent.client().request("a").acquired()
    assert run(rig, agent, "lock", "-w", "0.05", "a", "--", "true")[0] == TIMED_OUT
    assert run(rig, agent, "lock", "-w", "50ms", "-E", "9", "a", "--", "true")[0] in (9, 2, 125)


@test("126 and 127: the command cannot be run, or is not there; the lock is free again")
def _(rig):
    agent = rig.agent()
    plain = rig.scratch.write("plain", "no program")
    assert run(rig, agent, "lock", "a", "--", plain)[0] == CANNOT_RUN
    assert run(rig, agent, "lock", "a", "--", rig.scratch("absent"))[0] == NOT_FOUND
    agent.client().request("a").acquired()


@test("two runs serialise; -s share")
def _(rig):
    rig.checks = ["--complete"]
    agent = rig.agent()
    first = rig.ctl(agent, "lock", "a", witness=NODE_A)
    first.wait_holding()
    second = rig.ctl(agent, "lock", "-w", "30", "a", witness=NODE_A, direct=False)
    client = agent.client()
    wait_for(lambda: len(client.query("a")[1]) == 1, "the second to wait")
    assert not second.holds()
    first.terminate()
    second.wait_holding()
    second.terminate()
    shared = [rig.ctl(agent, "lock", "-s", "a", witness=("node", "a", "shared")) for _ in range(2)]
    for ctl in shared:
        ctl.wait_holding()
    for ctl in shared:
        ctl.terminate()


@test("signals reach the command; the lock is kept until it has ended")
def _(rig):
    agent = rig.agent()
    mark = rig.scratch("mark")
    ctl = rig.ctl(agent, "lock", "a", "--", "sh", "-c",
                  f"trap 'echo usr1 >>{mark}' USR1; trap 'echo term >>{mark}; exit 5' TERM; "
                  f"echo up >>{mark}; while :; do sleep 0.01; done")

    def marked(word):
        return os.path.exists(mark) and word in open(mark, encoding="utf-8").read()

    wait_for(lambda: marked("up"), "the command to run")
    ctl.process.signal(signal.SIGUSR1)
    wait_for(lambda: marked("usr1"), "SIGUSR1 to arrive")
    assert len(agent.client().query("a")[0]) == 1
    ctl.process.signal(signal.SIGTERM)
    assert ctl.wait() == 5
    assert marked("term")


@test("SIGKILL of toozctl frees the lock at once, PREVIOUS=died")
def _(rig):
    agent = rig.agent()
    ctl = rig.ctl(agent, "lock", "a", "--", "sleep", "1000")
    client = agent.client()
    wait_for(lambda: client.query("a")[0], "toozctl to hold the lock")
    waiter = client.request("a")
    ctl.process.kill()
    assert waiter.acquired()["PREVIOUS"] == "died"


@test("break-lock: the command and all that it started are stopped, status 123")
def _(rig):
    agent = rig.agent()
    pids = rig.scratch("pids")
    ctl = rig.ctl(agent, "lock", "--kill-after=1", "a", "--", "sh", "-c",
                  f"trap '' TERM; sleep 1000 & echo $! $$ >{pids}; while :; do sleep 0.05; done")
    wait_for(lambda: os.path.exists(pids) and open(pids, encoding="utf-8").read().strip(), "the command")
    token = agent.client().query("a")[0][0]["token"]
    assert run(rig, agent, "break-lock", "a", f"--token={token - 1}")[0] != 0
    assert ctl.process.alive()
    assert run(rig, agent, "break-lock", "a", f"--token={token}")[0] == 0
    assert ctl.wait() == LOST
    for pid in open(pids, encoding="utf-8").read().split():
        wait_for(lambda: ended(pid), f"process {pid} to be stopped")


def ended(pid):
    """Gone, or a zombie that nobody has reaped yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@test("the agent is stopped cleanly: its holders are told, status 123")
def _(rig):
    agent = rig.agent()
    ctl = rig.ctl(agent, "lock", "--kill-after=1", "a", "--", "sleep", "1000")
    client = agent.client()
    wait_for(lambda: client.query("a")[0], "toozctl to hold the lock")
    agent.close_clients()
    assert agent.terminate() == 0
    assert ctl.wait() == LOST


@test("no agent: 125 for lock, a failure for the rest, with a message")
def _(rig):
    agent = rig.agent()
    agent.close_clients()
    agent.terminate()
    status, text = run(rig, agent, "lock", "a", "--", "true")
    assert status == 125 and text, (status, text)
    for verb in ("status", "list", "list-locks"):
        status, text = run(rig, agent, verb)
        assert status == 1 and text, (verb, status, text)


@test("list-locks, lock-status, list, status: tables and JSON tell the same")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("backup", Description="nightly")
    holder.acquired()
    waiter = agent.client().request("backup")
    waiter.expect("queued")
    for verb in (["list-locks"], ["lock-status", "backup"], ["list"], ["status"], []):
        status, text = run(rig, agent, *verb)
        assert status == 0 and text, (verb, status, text)
        if verb and verb[0] != "status":
            assert "backup" in text, text
    for verb in (["list-locks"], ["lock-status", "backup"], ["list"]):
        status, text = run(rig, agent, *verb, "--json=short")
        assert status == 0, text
        assert "backup" in json.dumps(json.loads(text)), text
        assert str(holder.token) in text
    assert f'"{holder.token}"' in run(rig, agent, "list-locks", "--json=short")[1], "a token must be a string"


@test("is-locked: 0, 3, by state; usage errors are 2")
def _(rig):
    agent = rig.agent()
    assert run(rig, agent, "is-locked", "a")[0] == 3
    claim = agent.client().request("a")
    claim.acquired()
    assert run(rig, agent, "is-locked", "a")[0] == 0
    for wrong in (["no-such-verb"], ["lock"], ["list-locks", "--no-such-option"]):
        status, text = run(rig, agent, *wrong)
        assert status in (2, 125) and text, (wrong, status, text)


if __name__ == "__main__":
    main()
