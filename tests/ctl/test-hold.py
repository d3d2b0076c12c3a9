#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""toozctl lock as people use it: without a command, at a terminal, with what a command leaves behind."""
import json
import os
import pty
import select
import signal
import subprocess
import sys

TOP = os.environ.get("srcdir") or os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "system"))
sys.dont_write_bytecode = True

from kit import PATIENCE_SEC, built, main, skip, test, wait_for  # noqa: E402
from kit.ctl import Ctl                                          # noqa: E402
from kit.proc import Process                                     # noqa: E402

LOST = 123


def environment(agent, **more):
    return {**Ctl.environment(agent, direct=True), "PATH": f"{built('src')}:{os.environ['PATH']}", **more}


def hold(rig, agent, *arguments):
    """`toozctl lock a` without a command, with pipes at both ends."""
    return Process([built("src", "toozctl"), "lock", *arguments, "a"], rig.scratch("hold.log"),
                   env=environment(agent), stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def first_line(process):
    return process.popen.stdout.readline().decode()


def read_text(path):
    return open(path, encoding="utf-8").read() if os.path.exists(path) else ""


def wait_free(client):
    wait_for(lambda: not client.query("a")[0], "the lock to be free")


# --- without a command --------------------------------------------------------------------------------


@test("without a command: one line that a shell can eval, held until the input ends")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    process = hold(rig, agent)
    name, token = first_line(process).strip().split("=")
    assert name == "TOOZ_FENCING_TOKEN" and client.query("a")[0][0]["token"] == int(token)
    process.popen.stdin.write(b"this is not the end\n")
    process.popen.stdin.flush()
    client.ping()
    assert process.alive()
    process.popen.stdin.close()
    assert process.wait() == 0
    wait_free(client)


@test("without a command: JSON; a signal gives it back and ends it")
def _(rig):
    agent = rig.agent()
    process = hold(rig, agent, "-j")
    event = json.loads(first_line(process))
    assert event["event"] == "acquired" and event["name"] == "a" and isinstance(event["token"], str), event
    process.signal(signal.SIGINT)
    assert process.wait() == -signal.SIGINT
    wait_free(agent.client())


@test("without a command: lost is 123")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    process = hold(rig, agent)
    token = int(first_line(process).split("=")[1])
    assert rig.ctl(agent, "break-lock", "a", f"--token={token}").wait() == 0
    assert process.wait() == LOST
    wait_free(client)


@test("a signal while it waits: ended by it, and no longer in the queue")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    holder = client.request("a")
    holder.acquired()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        ctl = rig.ctl(agent, "lock", "a", "--", "true")
        wait_for(lambda: client.query("a")[1], "it to wait")
        ctl.process.signal(number)
        assert ctl.wait() == -number
        wait_for(lambda: not client.query("a")[1], "it to leave the queue")


# --- what a command leaves behind ---------------------------------------------------------------------


LEAVE = "(setsid sh -c 'echo $$ >{0}; while test -e {0}; do sleep 0.01; done' &) ; " \
        "until test -s {0}; do sleep 0.01; done; exit 3"


@test("the lock is kept while something that the command started runs, in whatever session")
def _(rig):
    agent = rig.agent()
    mark = rig.scratch("mark")
    client = agent.client()
    ctl = rig.ctl(agent, "lock", "a", "--", "sh", "-c", LEAVE.format(mark))
    wait_for(lambda: "waiting for what it has left" in ctl.output(), "it to say so")
    assert ctl.process.alive() and len(client.query("a")[0]) == 1
    os.unlink(mark)
    assert ctl.wait() == 3
    wait_free(client)


@test("-o: given back when the command ends, what it started runs on")
def _(rig):
    agent = rig.agent()
    mark = rig.scratch("mark")
    ctl = rig.ctl(agent, "lock", "-o", "a", "--", "sh", "-c", LEAVE.format(mark))
    assert ctl.wait() == 3
    assert os.path.exists(f"/proc/{int(read_text(mark))}")
    wait_free(agent.client())
    os.unlink(mark)


@test("SIGKILL of toozctl: its command is killed, and what that started keeps the lock")
def _(rig):
    agent = rig.agent()
    mark = rig.scratch("mark")
    client = agent.client()
    ctl = rig.ctl(agent, "lock", "a", "--", "sh", "-c", LEAVE.format(mark).replace("exit 3", "exec sleep 1000"))
    wait_for(lambda: read_text(mark), "the command")
    ctl.process.kill()
    waiter = client.request("a")
    assert waiter.still_waits()
    os.unlink(mark)
    assert waiter.acquired()["PREVIOUS"] == "died"


@test("lost: every process in every session is stopped before toozctl ends")
def _(rig):
    agent = rig.agent()
    mark = rig.scratch("mark")
    client = agent.client()
    ctl = rig.ctl(agent, "lock", "--kill-after=0.1", "a", "--", "sh", "-c",
                  "trap '' TERM; " + LEAVE.format(mark).replace("exit 3", "while :; do sleep 0.01; done"))
    wait_for(lambda: read_text(mark), "the command")
    agent.close_clients()
    agent.kill()
    assert ctl.wait() == LOST
    assert not os.path.exists(f"/proc/{int(read_text(mark))}")
    assert "agent-gone" in ctl.output()
    del client
    agent.start()


@test("--on-lost=ignore: the command runs on and its status counts; =kill: no TERM")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    for how, script, status in (("ignore", "until test -e {0}; do sleep 0.01; done; exit 6", 6),
                                ("kill", "trap 'touch {0}.term' TERM; while :; do sleep 0.01; done", LOST)):
        mark = rig.scratch(f"mark-{how}")
        ctl = rig.ctl(agent, "lock", f"--on-lost={how}", "a", "--", "sh", "-c", script.format(mark))
        wait_for(lambda: client.query("a")[0], "it to hold")
        token = client.query("a")[0][0]["token"]
        assert rig.ctl(agent, "break-lock", "a", f"--token={token}").wait() == 0
        wait_for(lambda: "lost" in ctl.output(), "it to say so")
        open(mark, "w", encoding="utf-8").close()
        assert ctl.wait() == status, ctl.output()
        assert not os.path.exists(f"{mark}.term")


@test("children that toozctl inherits are left alone")
def _(rig):
    agent = rig.agent()
    mark = rig.scratch("mark")
    script = f"sleep 1000 & echo $! >{mark}; exec {built('src', 'toozctl')} lock a -- true"
    process = Process(["sh", "-c", script], rig.scratch("inherit.log"), env=environment(agent))
    assert process.wait() == 0
    os.kill(int(read_text(mark)), signal.SIGKILL)


# --- at a terminal ------------------------------------------------------------------------------------


class Terminal:
    """A program in a session with a terminal of its own."""

    def __init__(self, argv, env):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, env)

    def read_until(self, word):
        while word not in self.text:
            if not select.select([self.fd], [], [], PATIENCE_SEC)[0]:
                raise AssertionError(f"{word!r} is not in {self.text!r}")
            try:
                self.text += os.read(self.fd, 4096).decode(errors="replace")
            except OSError as e:
                raise AssertionError(f"ended without {word!r}: {self.text!r}") from e

    def type(self, text):
        self.text = ""
        os.write(self.fd, text.encode())

    def wait(self, flags=0):
        return os.waitpid(self.pid, flags)[1]

    def close(self):
        os.close(self.fd)


def terminal(agent, *arguments):
    return Terminal([built("src", "toozctl"), "lock", *arguments],
                    {**os.environ, **environment(agent, TERM="xterm", LC_ALL="C.UTF-8")})


@test("at a terminal: the command reads from it, ^Z stops both, ^C ends the command")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    tty = terminal(agent, "a", "--", "sh", "-c", "echo up; cat; cat")
    tty.read_until("up")
    tty.type("hello\n")
    tty.read_until("hello\r\nhello")
    tty.type("\x1a")
    status = tty.wait(os.WUNTRACED)
    assert os.WIFSTOPPED(status), status
    assert len(client.query("a")[0]) == 1
    os.kill(tty.pid, signal.SIGCONT)
    tty.type("again\n")
    tty.read_until("again\r\nagain")
    tty.type("\x03")
    assert os.waitstatus_to_exitcode(tty.wait()) == 128 + signal.SIGINT
    tty.close()
    wait_free(client)


@test("at a terminal: a wait shows place and holder in one line, and ^C gives up")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    holder = client.request("a", Description="nightly")
    holder.acquired()
    tty = terminal(agent, "a", "--", "true")
    tty.read_until("^C to give up")
    assert "Waiting for node/a… position 1 of 1 · held by a " in tty.text, tty.text
    assert "\n" not in tty.text, tty.text
    tty.type("\x03")
    assert os.WTERMSIG(tty.wait()) == signal.SIGINT
    tty.close()
    wait_for(lambda: not client.query("a")[1], "it to leave the queue")


# --- what else is shipped -----------------------------------------------------------------------------


@test("the examples: a lock in C, in Python, in shell, one after the other")
def _(rig):
    agent = rig.agent()
    holder = agent.client().request("a")
    holder.acquired()
    programs = {"c": [built("examples", "lock")], "python": ["/usr/bin/python3", f"{TOP}/examples/lock.py"],
                "shell": [f"{TOP}/examples/lock.sh"]}
    running = {}
    for name, argv in programs.items():
        running[name] = Process([*argv, "a", "0.05"], rig.scratch(f"{name}.log"), env=environment(agent))
        wait_for(lambda: len(agent.client().query("a")[1]) == len(running), f"{name} to wait")
    holder.close()
    for name, process in running.items():
        assert process.wait() == 0, process.text()
        assert "released" in process.text(), process.text()
    for name in ("c", "shell"):
        assert "token 1" in running[name].text()


COMPLETE = """
source /usr/share/bash-completion/bash_completion
source {0}/src/ctl/completion/toozctl
complete_line() {{
        COMP_LINE=$1 COMP_POINT=${{#1}}
        read -ra COMP_WORDS <<<"$1"
        [[ $1 == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMPREPLY=()
        _toozctl
        echo "${{COMPREPLY[*]}}"
}}
"""


@test("bash completes verbs, options and the names of locks")
def _(rig):
    if not os.path.exists("/usr/share/bash-completion/bash_completion"):
        skip("bash-completion is not installed")
    agent = rig.agent()
    claims = [agent.client().request(name) for name in ("backup", "build")]
    for claim in claims:
        claim.acquired()

    def completions(line):
        script = COMPLETE.format(TOP) + f"complete_line '{line}'\n"
        done = subprocess.run(["bash", "--norc", "-c", script], env={**os.environ, **environment(agent)},
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
        return done.stdout.split()

    assert completions("toozctl br") == ["break-lock"]
    assert completions("toozctl lock -w 5 b") == ["backup", "build"]
    assert completions("toozctl lock-status backup bu") == ["build"]
    assert completions("toozctl list --js") == ["--json="]
    assert completions("toozctl -d no") == ["node"]
    assert "--help" not in completions("toozctl lock backup -- tru") and "true" in completions("toozctl lock backup tru")


if __name__ == "__main__":
    main()
