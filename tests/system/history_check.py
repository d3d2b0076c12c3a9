#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Check what clients saw against the promises of docs/ARCHITECTURE.md.

    history_check.py [--told-slack-usec=N] [--complete] FILE-OR-FOLDER...

Input: JSON lines, one event each, in files (of any number of processes, in any order):

    t       BOOTTIME in microseconds       p  process         c  claim, unique over all processes
    event   request   (host, domain, name, mode "exclusive" or "shared"): before the agent is asked;
                      (continues, a claim): asks for another mode of that one, which may keep its token
            accepted  the agent has taken the claim into its queue
            grant     (token)
            suspended (deadline)   resumed   lost   failed   refused
            release   before the agent is told
            died      (victim, a process): before its SIGKILL
            beat      the claim's holder still ran: only its last one counts, and only if it did not end
            expired   (host): before an operator ends the session of that host's agent. No lock service can
                      promise exclusion against that: what the host held in a cluster counts until then, and
                      what it grants until `renewed` (host) does not count

Checked, each in O(n log n):

    1 exclusion  validity intervals [grant, min(release, lost, deadline)] of conflicting claims are disjoint
    2 tokens     unique for a name; greater than that of every conflicting grant that ended before
    3 told       a claim that was suspended and not resumed is told `lost` no later than its deadline
                 (and --told-slack-usec, for the time that the message travels)
    5 order      of two conflicting claims of one host, the one accepted before the other was requested
                 has the lower token
    6 wake-up    with --complete: every accepted claim ended or was granted

What is not known counts in favour of the accused: a claim without an end lasts for ever only if its
process is not known to have died. The first contradiction in time is printed with all lines of the two
claims that it takes, and nothing else. Exit status 0, or 1 with a contradiction, or 2 for a bad history.
"""
import argparse
import glob
import json
import os
import sys

FOREVER = float("inf")
ENDS = ("release", "lost", "failed", "refused")


class BadHistory(Exception):
    """Not a contradiction: the log itself makes no sense."""


class Claim:
    """All that is known of one claim."""
    __slots__ = ("key", "process", "host", "domain", "name", "mode", "requested", "accepted", "granted", "token",
                 "end", "end_event", "beat", "suspended", "deadline", "forced", "continues", "lines")

    def __init__(self, key, record):
        self.key = key
        self.process = record["p"]
        self.host, self.domain = record["host"], record["domain"]
        self.name, self.mode = record["name"], record["mode"]
        self.requested = record["t"]
        self.accepted = self.granted = self.token = self.deadline = self.end_event = None
        self.suspended = self.beat = None
        self.forced = FOREVER
        self.continues = record.get("continues")
        self.end = FOREVER
        self.lines = [record]

    @property
    def exclusive(self):
        return self.mode == "exclusive"

    @property
    def until(self):
        """The end of validity."""
        return min(self.end, self.forced, FOREVER if self.deadline is None else self.deadline)

    def valid(self):
        """Was it ever valid, seen by its client?"""
        return self.granted is not None and self.granted < self.until

    def apply(self, record):
        """One event, in the order of time."""
        event, t = record["event"], record["t"]
        self.lines.append(record)
        if event == "accepted":
            self.accepted = t
        elif event == "grant":
            if self.granted is not None:
                raise BadHistory(f"{self.key} is granted twice")
            self.granted, self.token = t, record["token"]
        elif event == "suspended":
            self.suspended, self.deadline = t, record["deadline"]
        elif event == "resumed":
            self.deadline = None
        elif event == "beat":
            self.beat = t
            self.lines.pop()
        elif event in ENDS and self.end == FOREVER:
            self.end, self.end_event = t, event


class Contradiction:
    """A promise, what is wrong, and the claims that suffice to see it."""

    def __init__(self, promise, text, claims, at):
        self.promise = promise
        self.text = text
        self.claims = claims
        self.at = at

    def __str__(self):
        lines = sorted((line for claim in self.claims for line in claim.lines), key=lambda r: r["t"])
        return (f"promise {self.promise}: {self.text}\n" +
                "\n".join(f"    {json.dumps(line, sort_keys=True)}" for line in lines))


# --- reading -------------------------------------------------------------------------------------------

def read_records(paths):
    files = []
    for path in paths:
        files += sorted(glob.glob(os.path.join(path, "*.jsonl"))) if os.path.isdir(path) else [path]
    records = []
    for file in files:
        with open(file, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                try:
                    records.append(json.loads(line))
                except ValueError as e:
                    raise BadHistory(f"{file}:{number}: {e}") from None
    records.sort(key=lambda r: r["t"])
    return records


def build_claims(records):
    """{key: Claim}. The death of a process ends what it had."""
    claims, of_process, expired = {}, {}, {}
    for record in records:
        event = record["event"]
        if event == "expired":
            expired[record["host"]] = record["t"]
            for claim in claims.values():
                if claim.host == record["host"] and claim.domain != "node" and claim.granted is not None:
                    claim.forced = min(claim.forced, record["t"])
        elif event == "renewed":
            expired.pop(record["host"], None)
        elif event == "died":
            for claim in of_process.get(record["victim"], ()):
                if claim.end == FOREVER:
                    claim.end, claim.end_event = record["t"], "died"
                    claim.lines.append(record)
        elif event == "request":
            if record["c"] in claims:
                raise BadHistory(f"claim {record['c']} is requested twice")
            claim = claims[record["c"]] = Claim(record["c"], record)
            of_process.setdefault(claim.process, []).append(claim)
        elif record.get("c") not in claims:
            raise BadHistory(f"{event} of an unknown claim {record.get('c')}")
        else:
            claim = claims[record["c"]]
            claim.apply(record)
            if event == "grant" and claim.host in expired and claim.domain != "node":
                claim.forced = expired[claim.host]
    for claim in claims.values():
        if claim.end == FOREVER and claim.beat is not None:
            claim.end, claim.end_event = claim.beat, "beat"
    return claims


def by_name(claims):
    groups = {}
    for claim in claims:
        groups.setdefault((claim.domain, claim.name), []).append(claim)
    return groups.values()


# --- the promises ---------------------------------------------------------------------------------------

def check_exclusion(claims):
    """Sweep over the starts; of those before, the ones that reach furthest are enough."""
    furthest = {True: None, False: None}        # exclusive or not -> claim with the latest end
    for claim in sorted((c for c in claims if c.valid()), key=lambda c: c.granted):
        rivals = [furthest[True]] + ([furthest[False]] if claim.exclusive else [])
        for rival in rivals:
            if rival and rival.until > claim.granted:
                overlap = min(rival.until, claim.until) - claim.granted
                yield Contradiction(1, f"{rival.key} ({rival.mode}) and {claim.key} ({claim.mode}) both hold "
                                       f"{claim.domain}/{claim.name} for {overlap} us", [rival, claim],
                                    claim.granted)
        best = furthest[claim.exclusive]
        if best is None or claim.until > best.until:
            furthest[claim.exclusive] = claim


def check_unique_tokens(claims):
    seen = {}
    for claim in sorted((c for c in claims if c.granted is not None), key=lambda c: c.granted):
        other = seen.setdefault(claim.token, claim)
        if other is not claim and claim.continues != other.key:
            yield Contradiction(2, f"{other.key} and {claim.key} were both given token {claim.token} of "
                                   f"{claim.domain}/{claim.name}", [other, claim], claim.granted)


def check_rising_tokens(claims):
    """Sweep over grants with the ends behind them: the highest token that has ended must be lower."""
    valid = [c for c in claims if c.valid()]
    ends = sorted(valid, key=lambda c: c.until)
    highest = {True: None, False: None}
    position = 0
    for claim in sorted(valid, key=lambda c: c.granted):
        while position < len(ends) and ends[position].until <= claim.granted:
            old = ends[position]
            if highest[old.exclusive] is None or old.token > highest[old.exclusive].token:
                highest[old.exclusive] = old
            position += 1
        for old in [highest[True]] + ([highest[False]] if claim.exclusive else []):
            if old and old.token > claim.token:
                yield Contradiction(2, f"{claim.key} has token {claim.token}, {old.key} before it had "
                                       f"{old.token} of {claim.domain}/{claim.name}", [old, claim], claim.granted)


def check_told(claims, slack_usec):
    for claim in claims:
        if claim.granted is None or claim.deadline is None:
            continue
        told = claim.end if claim.end_event is not None else FOREVER
        if told > claim.deadline + slack_usec:
            when = "never" if told == FOREVER else f"{told - claim.deadline:.0f} us late"
            yield Contradiction(3, f"{claim.key} was suspended until {claim.deadline} and told {when}", [claim],
                                claim.deadline)


def check_order(claims):
    """Per host, from the highest token down: nobody above may have been accepted before we were requested."""
    groups = {}
    for claim in claims:
        if claim.granted is not None and claim.accepted is not None:
            groups.setdefault(claim.host, []).append(claim)
    for group in groups.values():
        earliest = {True: None, False: None}
        for claim in sorted(group, key=lambda c: c.token, reverse=True):
            for rival in [earliest[True]] + ([earliest[False]] if claim.exclusive else []):
                if rival and rival.accepted < claim.requested:
                    yield Contradiction(5, f"{rival.key} waited for {claim.domain}/{claim.name} on {claim.host} "
                                           f"when {claim.key} was requested, and was served after it",
                                        [rival, claim], claim.granted)
            first = earliest[claim.exclusive]
            if first is None or claim.accepted < first.accepted:
                earliest[claim.exclusive] = claim


def check_complete(claims):
    for claim in claims:
        if claim.accepted is not None and claim.granted is None and claim.end_event is None:
            yield Contradiction(6, f"{claim.key} still waits for {claim.domain}/{claim.name}", [claim],
                                claim.accepted)


def contradictions(claims, told_slack_usec=0, complete=False):
    """All of them; one of a kind does not hide another."""
    for group in by_name(claims):
        yield from check_exclusion(group)
        yield from check_unique_tokens(group)
        yield from check_rising_tokens(group)
        yield from check_order(group)
    yield from check_told(claims, told_slack_usec)
    if complete:
        yield from check_complete(claims)


def main():
    parser = argparse.ArgumentParser(description="check a lock history", allow_abbrev=False)
    parser.add_argument("--told-slack-usec", type=int, default=1_000_000)
    parser.add_argument("--complete", action="store_true")
    parser.add_argument("paths", nargs="+")
    options = parser.parse_args()
    try:
        claims = list(build_claims(read_records(options.paths)).values())
    except (BadHistory, KeyError) as e:
        print(f"bad history: {e}")
        return 2
    found = sorted(contradictions(claims, options.told_slack_usec, options.complete), key=lambda c: c.at)
    if found:
        print(found[0])
        if len(found) > 1:
            print(f"({len(found) - 1} more)")
        return 1
    grants = sum(c.granted is not None for c in claims)
    print(f"{len(claims)} claims, {grants} grants: no contradiction")
    return 0


if __name__ == "__main__":
    sys.exit(main())
