#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The checker itself: good histories pass, each seeded bug is found, and it does not take for ever."""
import json
import random

from kit import main, test


class Story:
    """Writes histories the way that clients would."""

    def __init__(self, rig):
        self.rig = rig
        self.n = 0
        self.token = 100
        self.t = 1_000_000
        self.records = []

    def at(self, t, event, claim, process="p", **fields):
        self.records.append({"t": t, "p": process, "c": claim, "event": event, **fields})

    def claim(self, requested, accepted, granted, end, token, mode="exclusive", host="a", name="L", how="release",
              process="p"):
        self.n += 1
        key = f"c{self.n}"
        self.at(requested, "request", key, process, host=host, domain="cluster", name=name, mode=mode)
        if accepted is not None:
            self.at(accepted, "accepted", key, process)
        if granted is not None:
            self.at(granted, "grant", key, process, token=token)
        if end is not None:
            self.at(end, how, key, process)
        return key

    def run(self, *options):
        """(verdict, text) of the checker, over several files in a random order."""
        records = list(self.records)
        random.Random(7).shuffle(records)
        for i, record in enumerate(records):
            with open(f"{self.rig.history.folder}/f{i % 3}.jsonl", "a", encoding="utf-8") as f:
                f.write(json.dumps(record) + "\n")
        try:
            return True, self.rig.history.check(*options)
        except AssertionError as e:
            return False, str(e)
        finally:
            for i in range(3):
                open(f"{self.rig.history.folder}/f{i}.jsonl", "w", encoding="utf-8").close()

    def passes(self, *options):
        good, text = self.run(*options)
        assert good, text

    def fails(self, promise, *options, culprits=None):
        good, text = self.run(*options)
        assert not good and f"promise {promise}:" in text, f"expected a breach of {promise}, got: {text}"
        for key in culprits or ():
            assert f'"{key}"' in text, f"{key} is not named: {text}"
        if culprits:
            named = {line.split('"c": "')[1].split('"')[0] for line in text.splitlines() if '"c": "' in line}
            assert named == set(culprits), f"more than the smallest contradiction: {named}"


@test("good: hand-overs in order, on two hosts, with shared holders side by side")
def _(rig):
    s = Story(rig)
    s.claim(0, 5, 10, 50, 1)
    s.claim(6, 8, 51, 60, 2, host="b")
    s.claim(20, 25, 61, 80, 3, mode="shared")
    s.claim(26, 27, 62, 90, 4, mode="shared")
    s.claim(28, 29, 91, None, 5)
    s.claim(28, 29, None, 70, 0, how="failed")
    s.passes()


@test("good: a suspended claim ends at its deadline although its client never wrote again")
def _(rig):
    s = Story(rig)
    key = s.claim(0, 5, 10, 120, 1, how="lost")
    s.at(50, "suspended", key, deadline=100)
    s.claim(0, 5, 101, 200, 2, host="b")
    s.passes()


@test("good: a process that was killed holds nothing afterwards; different names do not conflict")
def _(rig):
    s = Story(rig)
    s.claim(0, 5, 10, None, 7, process="victim")
    s.records.append({"t": 40, "p": "test", "event": "died", "victim": "victim"})
    s.claim(30, 35, 41, 60, 8)
    s.claim(30, 35, 41, 60, 8, name="other")
    s.passes()


def ended_by_force(rig):
    """Host a's session is ended at 40; its agent has a new one at 60."""
    s = Story(rig)
    s.records.append({"t": 40, "p": "test", "event": "expired", "host": "a"})
    s.records.append({"t": 60, "p": "test", "event": "renewed", "host": "a"})
    return s


@test("good: a session ended by force ends what its host held, and what it grants before it knows")
def _(rig):
    s = ended_by_force(rig)
    s.claim(0, 5, 10, 50, 1, how="lost")
    s.claim(0, 5, 45, 55, 2, mode="shared")
    s.claim(0, 5, 41, 80, 3, host="b")
    s.passes()


@test("bug: a session ended by force excuses neither the other host nor what comes after")
def _(rig):
    s = ended_by_force(rig)
    a = s.claim(0, 5, 30, 70, 1, host="b")
    b = s.claim(0, 5, 65, 80, 2)
    s.fails(1, culprits=[a, b])


@test("bug: two exclusive holders at once")
def _(rig):
    s = Story(rig)
    s.claim(0, 1, 2, 3, 1)
    a = s.claim(0, 5, 10, 50, 2)
    b = s.claim(6, 8, 49, 60, 3, host="b")
    s.fails(1, culprits=[a, b])


@test("bug: a short overlap below a long one that ended earlier")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, 1000, 1, mode="shared")
    s.claim(6, 8, 20, 30, 2, mode="shared")
    b = s.claim(7, 8, 500, 600, 3)
    s.fails(1, culprits=[a, b])


@test("bug: resumed, so that the deadline no longer ends the interval")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, 300, 1)
    s.at(50, "suspended", a, deadline=100)
    s.at(90, "resumed", a)
    b = s.claim(0, 5, 150, 200, 2, host="b")
    s.fails(1, culprits=[a, b])


@test("bug: granted to another before the deadline (grant without the session's end)")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, 120, 1, how="lost")
    s.at(50, "suspended", a, deadline=100)
    b = s.claim(0, 5, 99, 200, 2, host="b")
    s.fails(1, culprits=[a, b])


@test("bug: a holder that never ended, and was not killed")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, None, 1)
    b = s.claim(6, 8, 9000, 9001, 2)
    s.fails(1, culprits=[a, b])


@test("bug: the same token twice")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, 50, 9, mode="shared")
    b = s.claim(6, 8, 20, 60, 9, mode="shared")
    s.fails(2, culprits=[a, b])


@test("no bug: a claim that is converted may keep its token")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, 50, 9)
    s.claim(45, None, 51, 60, 9, mode="shared")
    s.records[-3]["continues"] = a
    s.passes()


@test("bug: a token that starts again (sequence of a re-created directory)")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, 50, 42)
    b = s.claim(60, 61, 70, 80, 1, host="b")
    s.fails(2, culprits=[a, b])


@test("bug: a writer's token is lower than that of an earlier reader")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, 50, 42, mode="shared")
    s.claim(0, 5, 10, 51, 40, mode="shared")
    b = s.claim(60, 61, 70, 80, 41, host="b")
    s.fails(2, culprits=[a, b])


@test("bug: suspended and told nothing until long after the deadline")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, 5_000_000, 1, how="lost")
    s.at(50, "suspended", a, deadline=100)
    s.fails(3, "--told-slack-usec=1000000", culprits=[a])


@test("bug: suspended and never told at all")
def _(rig):
    s = Story(rig)
    a = s.claim(0, 5, 10, None, 1)
    s.at(50, "suspended", a, deadline=100)
    s.fails(3, culprits=[a])


@test("bug: a waiter is overtaken by one of the same host that came later")
def _(rig):
    s = Story(rig)
    s.claim(0, 1, 2, 30, 1)
    a = s.claim(5, 6, 51, 60, 3)
    b = s.claim(10, 11, 31, 50, 2)
    s.fails(5, culprits=[a, b])


@test("bug: a reader overtakes a writer that waits (starvation)")
def _(rig):
    s = Story(rig)
    s.claim(0, 1, 2, 30, 1, mode="shared")
    a = s.claim(5, 6, 51, 60, 3)
    b = s.claim(10, 11, 12, 50, 2, mode="shared")
    s.fails(5, culprits=[a, b])


@test("no bug: the same overtaking between hosts, and between requests that crossed")
def _(rig):
    s = Story(rig)
    s.claim(0, 1, 2, 30, 1)
    s.claim(5, 6, 51, 60, 3)
    s.claim(10, 11, 31, 50, 2, host="b")
    s.passes()
    s = Story(rig)
    s.claim(0, 1, 2, 30, 1)
    s.claim(5, 15, 51, 60, 3)
    s.claim(10, 11, 31, 50, 2)
    s.passes()


@test("bug: a waiter is forgotten (only with --complete)")
def _(rig):
    s = Story(rig)
    a = s.claim(5, 6, None, None, 0)
    s.passes()
    s.fails(6, "--complete", culprits=[a])


@test("a log that makes no sense is refused, not passed")
def _(rig):
    s = Story(rig)
    s.at(5, "grant", "nobody", token=1)
    good, text = s.run()
    assert not good and "bad history" in text, text


@test("30,000 claims take seconds, not hours")
def _(rig):
    s = Story(rig)
    t = 0
    for i in range(30_000):
        s.claim(t, t + 1, t + 2, t + 3, i + 1, name=f"L{i % 3}", host="ab"[i % 2])
        t += 4
    s.passes()


if __name__ == "__main__":
    main()
