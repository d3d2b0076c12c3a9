#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: we and the peer, in one run, on this machine. One JSON object per line:

    {"bench": …, "ours": …, "peer": …, "peer_name": …, "ratio": ours/peer, "unit": …, "goal": …}

Where a goal is an absolute figure, the peer is that figure. Arguments: only benches with one of these words.
Everything runs on one CPU, agent, bus and client: wake-ups across CPUs would measure the machine. With a
ZooKeeper, whose server has threads of its own, and where processes contend for a lock in shared memory, all CPUs
are used. TOOZ_BENCH_CPUS=1 or =all decides otherwise.
TOOZ_BENCH_SCALE=0.1 does a tenth of the rounds."""
import json
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

from kit import built, wait_for                 # noqa: E402
from kit.proc import Process, reap_all          # noqa: E402
from kit.rig import Rig                         # noqa: E402
from kit.tap import Skip                        # noqa: E402

import local                                    # noqa: E402, F401: registers its own
from frame import bench, benches, pin, report, rounds, start_agent      # noqa: E402

CLIENT = built("tests", "bench", "bench-client")
ZOO = built("tests", "bench", "bench-zoo")


def client(*arguments):
    done = subprocess.run([CLIENT, *arguments], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


# --- one host ---------------------------------------------------------------------------------------------

@bench
def bus_round_trip(rig):
    pin(one=True)
    agent = start_agent(rig)
    for way, address in (("bus", agent.bus.address), ("direct", f"unix:path={agent.socket}")):
        result = client("pair", way, address, "node", rounds(5000), "16")
        report(f"request-acquired-close.{way}", result["lock"]["p50"], result["ping"]["p50"],
               f"Peer.Ping on the same {'bus' if way == 'bus' else 'socket'}", "us", "ratio <= 1.5",
               p99=result["lock"]["p99"], peer_p99=result["ping"]["p99"])


@bench
def syscalls_per_request(rig):
    pin(one=True)
    agent = start_agent(rig)
    for clients, goal in ((1, None), (64, 0.25)):
        requests = int(rounds(20000))
        counts = count_syscalls(agent, clients, requests)
        total = sum(counts.values()) / requests
        entering = sum(n for name, n in counts.items() if "io_uring_enter" in name or "epoll_wait" in name
                       or "epoll_pwait" in name) / requests
        by_name = {name: round(n / requests, 3) for name, n in
                   sorted(counts.items(), key=lambda item: -item[1]) if n / requests >= 0.005}
        report(f"loop-waits-per-request.{clients}-clients", entering, goal or 1, "the goal" if goal else "1",
               "io_uring_enter or epoll_wait", f"<= {goal} at 64 clients" if goal else "none")
        report(f"syscalls-per-request.{clients}-clients", total, 1, "1", "syscalls", "none", by_name=by_name)


def count_syscalls(agent, clients, requests):
    """{name: count} of what the agent does for these requests, by the kernel's own counters."""
    load = subprocess.Popen([CLIENT, "many", f"unix:path={agent.socket}", str(clients), str(requests)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert load.stdout.readline().strip() == "ready"
    counter, result = start_counter(agent)
    load.stdin.write("go\n")
    load.stdin.flush()
    load.stdout.readline()
    counts = result(counter)
    load.stdin.write("end\n")
    load.stdin.flush()
    load.wait()
    return counts


def start_counter(agent):
    """strace counts by name and needs no tracefs; it slows the agent down, which only makes it batch more
    where requests pile up: at one client they cannot."""
    out = agent.scratch("strace.out")
    tracer = Process(["strace", "-c", "-f", "-o", out, "-p", str(agent.process.pid)], agent.scratch("strace.log"))
    wait_for(lambda: "attached" in tracer.text(), "strace to attach")

    def result(process):
        process.signal(2)
        process.wait()
        counts = {}
        with open(out, encoding="utf-8") as f:
            for line in f:
                row = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
                if row and row.group(2) != "total":
                    counts[row.group(2)] = int(row.group(1))
        return counts

    return tracer, result


# --- cluster ----------------------------------------------------------------------------------------------

@bench
def first_acquire(rig):
    """Each lock was held before, so its folder is there; nobody holds or waits: the create decides."""
    pin(one=False)
    zk = rig.zookeeper()
    agent = start_agent(rig, zk=zk)
    for way, address in (("direct", f"unix:path={agent.socket}"), ("bus", agent.bus.address)):
        ours, theirs = [], []
        for _ in range(5):
            ours.append(client("pair", way, address, "cluster", rounds(300), "50")["lock"]["p50"])
            done = subprocess.run([ZOO, zk.hosts, rounds(300)], stdout=subprocess.PIPE, check=True, text=True)
            theirs.append(json.loads(done.stdout)["p50"])
        report(f"cluster-acquire.{way}", statistics.median(ours), statistics.median(theirs), "one zoo_create", "us",
               "ratio <= 1.5")


@bench
def acquire_and_release(rig):
    """The same lock again and again, so that each round waits for the release before it."""
    from tooz import coordination
    pin(one=False)
    zk = rig.zookeeper()
    agent = start_agent(rig, zk=zk)
    n = int(rounds(1000))
    coordinator = coordination.get_coordinator(f"zookeeper://{zk.hosts}", b"bench")
    coordinator.start()
    try:
        lock = coordinator.get_lock(b"bench-tooz")
        theirs = []
        for _ in range(n):
            start = time.perf_counter()
            lock.acquire()
            lock.release()
            theirs.append((time.perf_counter() - start) * 1e6)
    finally:
        coordinator.stop()
    ours = client("cycle", "direct", f"unix:path={agent.socket}", "cluster", str(n))["lock"]
    report("cluster-acquire-release", ours["mean"], statistics.mean(theirs), "Tooz zookeeper:// on the same server",
           "us", "ratio <= 0.5", p50=ours["p50"], peer_p50=round(statistics.median(theirs), 3))


@bench
def zookeeper_operations(rig):
    """Counted on the wire; heartbeats, the price of safety, apart."""
    pin(one=False)
    zk = rig.zookeeper()
    proxy = rig.proxy(zk)
    agent = start_agent(rig, zk=proxy)
    n = int(rounds(300))
    client("pair", "direct", f"unix:path={agent.socket}", "cluster", "20", "1")     # the folder is made
    before = proxy.status()["requests"]
    client("pair", "direct", f"unix:path={agent.socket}", "cluster", str(n), "1")
    after = proxy.status()["requests"]
    n += 1                                      # bench-client takes each lock once more beforehand
    spent = {kind: after[kind] - before.get(kind, 0) for kind in after}
    ignored = ("ping", "set-data")
    writes = sum(spent.get(kind, 0) for kind in ("create", "create2", "delete", "multi")) / n
    reads = sum(count for kind, count in spent.items()
                if kind not in ignored + ("create", "create2", "delete", "multi")) / n
    by_name = {kind: round(count / n, 3) for kind, count in spent.items() if count}
    report("zookeeper-writes-per-acquire-release", writes, 2, "the goal", "operations", "<= 2", by_name=by_name)
    report("zookeeper-reads-per-acquire-release", reads, 2, "the goal", "operations", "<= 2, pipelined")


def main():
    words = [word.replace("-", "_") for word in sys.argv[1:]]
    failed = 0
    for function in benches:
        if words and not any(word in function.__name__ for word in words):
            continue
        rig = Rig()
        try:
            function(rig)
        except Skip as e:
            print(f"{function.__name__}: skipped: {e}", file=sys.stderr)
        except Exception as e:          # the others are still worth running
            failed += 1
            print(f"{function.__name__}: {type(e).__name__}: {e}\n{rig.describe()}", file=sys.stderr)
        finally:
            rig.close()
    reap_all()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
