# SPDX-License-Identifier: Apache-2.0
"""What every benchmark needs: registering, rounds, CPUs, the line of JSON."""
import json
import os

SCALE = float(os.environ.get("TOOZ_BENCH_SCALE", "1"))
SESSION_SEC = 30
ALL_CPUS = os.sched_getaffinity(0)
benches = []


def bench(function):
    """Its name is what BENCH= looks for."""
    benches.append(function)
    return function


def rounds(n):
    return str(max(20, int(n * SCALE)))


def report(name, ours, peer, peer_name, unit, goal, **more):
    line = {"bench": name, "ours": round(ours, 3), "peer": round(peer, 3), "peer_name": peer_name,
            "ratio": round(ours / peer, 3) if peer else None, "unit": unit, "goal": goal}
    print(json.dumps({**line, **more}), flush=True)


def pin(one):
    """This process and all that it starts from now on."""
    one = {"1": True, "all": False}.get(os.environ.get("TOOZ_BENCH_CPUS"), one)
    os.sched_setaffinity(0, {min(ALL_CPUS)} if one else ALL_CPUS)


def start_agent(rig, name="a", zk=None, **options):
    """Without the log of every step: that is not what is measured."""
    return rig.agent(name, zk, session_sec=SESSION_SEC, log_level="notice", **options)
