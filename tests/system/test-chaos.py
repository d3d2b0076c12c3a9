#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""All faults at random, while clients on two hosts lock and release: promises 1 to 6 over the whole history.

TOOZ_TEST_SEED chooses another course, TOOZ_TEST_ROUNDS a longer one. A course is printed as it is taken."""
import os
import random
import time

from kit import main, test, wait_for
from kit.proc import run_for

SEED = int(os.environ.get("TOOZ_TEST_SEED", "1"))
ROUNDS = int(os.environ.get("TOOZ_TEST_ROUNDS", "12"))
SESSION_SEC = 3


class Course:
    """Two agents, each behind a proxy of its own, and what can happen to them."""

    def __init__(self, rig):
        self.draw = random.Random(SEED)
        self.rig = rig
        self.zk = rig.zookeeper()
        self.proxies = [rig.proxy(self.zk, f"proxy{i}") for i in range(2)]
        self.agents = [rig.agent(name, proxy, session_sec=SESSION_SEC)
                       for name, proxy in zip("ab", self.proxies)]
        self.workload = rig.workload(*self.agents, domain="cluster", clients=8, operations=10 ** 7, names=2,
                                     patience=120)
        self.faults = [self.cut, self.silence, self.silence_one_way, self.lose_frame, self.server_restart,
                       self.server_hangs, self.expire, self.agent_hangs, self.agent_killed, self.client_killed]

    def length(self):
        """From a moment to longer than a session."""
        return self.draw.choice((0.05, 0.5, 1.0, 1.3 * SESSION_SEC))

    def either(self, pair):
        return pair[self.draw.randrange(2)]

    def cut(self):
        self.either(self.proxies).cut()

    def silence(self):
        proxy = self.either(self.proxies)
        proxy.blackhole("both")
        run_for(self.length())
        proxy.heal()

    def silence_one_way(self):
        proxy = self.either(self.proxies)
        proxy.blackhole(self.draw.choice(("c2s", "s2c")))
        run_for(self.length())
        proxy.heal()

    def lose_frame(self):
        proxy = self.either(self.proxies)
        drop = self.draw.choice((proxy.drop_request, proxy.drop_reply))
        drop(self.draw.choice(("make", "remove", "get-children2", "set-data")), self.draw.randrange(1, 4),
             self.draw.choice(("cut", "hold")))
        run_for(self.length())
        proxy.heal()

    def server_restart(self):
        self.zk.stop()
        run_for(self.length())
        self.zk.start()

    def server_hangs(self):
        self.zk.pause()
        run_for(self.length())
        self.zk.resume()

    def expire(self):
        agent = self.either(self.agents)
        session = agent.session()
        self.rig.history.expired(agent.name)
        self.zk.expire(session)
        wait_for(lambda: agent.session() not in (0, session), "a new session", pause=0.02)
        self.rig.history.renewed(agent.name)

    def agent_hangs(self):
        agent = self.either(self.agents)
        agent.stop()
        run_for(self.length())
        agent.cont()

    def agent_killed(self):
        self.either(self.agents).restart_killed()

    def client_killed(self):
        if len(self.workload.workers) > 4:
            self.workload.kill(self.draw.choice(sorted(self.workload.workers)))

    def settle(self):
        """Everything is as it should be again, and locks are granted on both hosts."""
        for agent in self.agents:
            agent.wait_state("up")
        before = [self.grants(i) for i in range(2)]
        wait_for(lambda: all(self.grants(i) > before[i] for i in range(2)), "grants on both hosts", pause=0.05)

    def grants(self, host):
        """Targets take turns: two of four workers belong to each host."""
        total = 0
        for number in range(8):
            path = f"{self.rig.history.folder}/w{number}.jsonl"
            if number % 4 // 2 == host and os.path.exists(path):
                with open(path, encoding="utf-8") as f:
                    total += f.read().count('"grant"')
        return total


@test(f"a course of {ROUNDS} faults, seed {SEED}")
def _(rig):
    course = Course(rig)
    course.settle()
    for number in range(ROUNDS):
        fault = course.draw.choice(course.faults)
        start = time.monotonic()
        print(f"# {number}: {fault.__name__}", flush=True)
        fault()
        course.settle()
        print(f"#    settled after {time.monotonic() - start:.1f} s", flush=True)
    counts = course.workload.stop()
    print(f"# {counts}")
    assert counts["held"] > 20 * ROUNDS, counts
    wait_for(lambda: not course.zk.lock_nodes(), "no znode to be left")


if __name__ == "__main__":
    main()
