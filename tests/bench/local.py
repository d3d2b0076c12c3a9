# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of libtoozlocal: tests/bench/bench-local runs, and what it says is compared here."""
import json
import os
import statistics
import subprocess

from frame import SCALE, bench, pin, report, rounds, start_agent
from kit import built
from kit.proc import die_with_parent
from kit.tap import Skip

LOCAL = built("tests", "bench", "bench-local")
PATIENCE_SEC = 300
PROCESSES = (2, 4, 8)
RUNS = 5
ROBUST = "robust mutex"


def run(rig, mode, *arguments, arena=None):
    if not os.path.exists(LOCAL):
        raise Skip("tests/bench/bench-local is not built")
    command = [LOCAL, mode, arena or rig.scratch("bench-local.arena"), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=PATIENCE_SEC,
                          preexec_fn=die_with_parent)
    return json.loads(done.stdout)


# --- alone ------------------------------------------------------------------------------------------------

@bench
def local_exclusive(rig):
    pin(one=True)
    pair = run(rig, "pair", rounds(50))
    report("local-exclusive.robust", pair["ours"], pair["robust"], ROBUST, "ns", "ratio <= 0.7")
    report("local-exclusive.fcntl", pair["ours"], pair["ofd"], "fcntl F_OFD_SETLK", "ns", "ratio <= 0.01")


@bench
def local_shared(rig):
    pin(one=True)
    pair = run(rig, "pair", rounds(50))
    report("local-shared", pair["ours_shared"], pair["rwlock"], "pthread_rwlock_rdlock", "ns", "ratio <= 1.2")


@bench
def local_locks(rig):
    """One lock, alone and among many that are held; `open_ns`: to open one of them."""
    pin(one=True)
    alone, *others = run(rig, "locks", rounds(50), 1, 1000, 100000)["sizes"]
    for size in others:
        report(f"local-locks.{size['n']}", size["pair"], alone["pair"], "1 lock", "ns", "ratio <= 1.2",
               open_ns=size["open"], peer_open_ns=alone["open"])


# --- contended --------------------------------------------------------------------------------------------

def contended(rig, name, hold_usec, think_usec):
    """Waits: the median of the runs is compared, the worst of them is shown beside it."""
    pin(one=False)
    seconds = max(0.1, SCALE)
    for n in PROCESSES:
        result = run(rig, "contended", n, RUNS, seconds, hold_usec, think_usec)

        def compare(what, key, unit, goal, worst):
            ours, theirs = ([one[key] for one in result[who]] for who in ("ours", "robust"))
            report(f"{name}.{n}.{what}", statistics.median(ours), statistics.median(theirs), ROBUST, unit, goal,
                   worst=worst(ours), peer_worst=worst(theirs))

        compare("throughput", "rate", "pairs/s", "ratio >= 1", min)
        compare("wait-p99.99", "p9999", "us", "ratio <= 0.5", max)
        compare("wait-longest", "longest", "us", "ratio <= 0.5", max)


@bench
def local_contended(rig):
    contended(rig, "local-contended", 0, 0)


@bench
def local_contended_1us(rig):
    contended(rig, "local-contended-1us", 1, 1)


# --- one who sleeps, one who dies -------------------------------------------------------------------------

@bench
def local_handover(rig):
    for name, one in (("one-cpu", True), ("two-cpus", False)):
        pin(one=one)
        result = run(rig, "handover", rounds(5000))
        ours, robust = result["ours"], result["robust"]
        report(f"local-handover.{name}", ours["p50"], robust["p50"], ROBUST, "us", "none",
               p99=ours["p99"], peer_p99=robust["p99"])


def recovery(rig, name, arena=None):
    pin(one=False)
    for mode in ("exclusive", "shared"):
        result = run(rig, "recovery", mode, rounds(300), arena=arena)
        ours = result["ours"]
        robust = {f"robust_{key}": value for key, value in result.get("robust", {}).items() if key != "n"}
        report(f"{name}.{mode}", ours["p99"], 5000, "the goal", "us, p99", "<= 5000", p50=ours["p50"],
               max=ours["max"], **robust)


@bench
def local_recovery(rig):
    recovery(rig, "local-recovery")


@bench
def local_recovery_agent(rig):
    """In the arena of a running agent."""
    pin(one=False)
    agent = start_agent(rig)
    if not hasattr(agent, "arena"):
        raise Skip("the agent has no arena")
    recovery(rig, "local-recovery-agent", agent.arena)
