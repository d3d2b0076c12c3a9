#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that lock a few names for random short times, each a process, each writing its own history.

    workload.py '{"targets": [["a", "unix:path=…", "direct"]], "folder": …, "clients": 8, …}'

Prints one line "pid name" per client, then "done" with what happened. SIGTERM: everybody finishes what
it is doing. Every client waits for its own locks only, so none of them can block for ever."""
import json
import os
import random
import signal
import sys
import time
from collections import Counter

import dbus

from kit.base import Timeout, now_usec
from kit.client import NO_QUEUE, Client
from kit.history import Log
from kit.page import Page
from kit.proc import die_with_parent

DEFAULTS = {"clients": 8, "operations": 50, "names": 2, "domain": "node", "shared": 0.3, "try": 0.1,
            "give_up": 0.1, "hold_usec": 2000, "timeout_usec": 20_000_000, "seed": 1, "patience": 60}
GONE = ("org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected",
        "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NoServer",
        "org.freedesktop.DBus.Error.FileNotFound", "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.LimitsExceeded")


class Worker:
    """One client."""

    def __init__(self, options, number):
        self.options = options
        self.host, self.address, self.kind = options["targets"][number % len(options["targets"])]
        self.random = random.Random(options["seed"] * 1000 + number)
        self.name = f"{options.get('prefix', 'w')}{number}"
        self.log = Log(os.path.join(options["folder"], f"{self.name}.jsonl"), self.name)
        self.client = None
        self.page = None                # of a cluster: whether we hold, when the agent cannot say so
        self.counts = Counter()
        self.stopping = False

    def connect(self):
        """Again and again: the agent may be away for a while, that is what some tests are about."""
        end = time.monotonic() + self.options["patience"]
        while self.client is None:
            try:
                client = Client(self.address, self.log, self.host, direct=self.kind == "direct")
                if self.options["domain"] != "node":
                    self.page = Page(client.manager("GetStatusPage", "s", self.options["domain"]).take())
                self.client = client
            except dbus.DBusException:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def disconnect(self):
        self.client.close()
        self.client = None
        if self.page:
            self.page.close()
        self.counts["disconnected"] += 1

    def operation(self):
        """One request, to its end; returns what became of it."""
        o, draw = self.options, self.random.random
        mode = "shared" if draw() < o["shared"] else "exclusive"
        flags = NO_QUEUE if draw() < o["try"] else 0
        name = f"{o.get('prefix', 'w')}-lock{self.random.randrange(o['names'])}"
        claim = self.client.request(name, mode, o["domain"], flags, Timeout=o["timeout_usec"])
        try:
            if draw() < o["give_up"]:
                return "given-up"
            return self.hold(claim)
        finally:
            self.check_page(claim)
            claim.close()
            self.client.handles.remove(claim.handle)

    def hold(self, claim):
        """Wait for the grant, keep it for a moment; what ends it early ends the moment."""
        end = time.monotonic() + self.options["patience"]
        while claim.token is None:
            kind = claim.next(max(0, end - time.monotonic()))["EVENT"]
            if kind in ("failed", "lost", "eof"):
                return kind
        until = now_usec() + self.random.randrange(self.options["hold_usec"] + 1)
        while self.check_page(claim) and (left := until - now_usec()) > 0:
            claim.handle.pump(left / 1e6)
        return "lost" if claim.over else "held"

    def check_page(self, claim):
        """Still held? When the page says no, then it was over at the deadline, whatever the agent says or not."""
        if claim.token is None or claim.over or not self.page:
            return not claim.over
        fields = self.page.read()
        if self.page.holds(claim.epoch):
            return True
        claim.ended("lost", min(now_usec(), fields[1]) if fields and fields[0] == claim.epoch else None)
        return False

    def run(self):
        for _ in range(self.options["operations"]):
            if self.stopping:
                break
            self.connect()
            try:
                outcome = self.operation()
            except dbus.DBusException as e:
                outcome = e.get_dbus_name()
                if outcome in GONE:
                    self.disconnect()
            else:
                if outcome == "eof":
                    self.disconnect()
            self.counts[outcome] += 1
        if self.client:
            self.client.close()
        return self.counts


def run_worker(options, number, out):
    die_with_parent()
    worker = Worker(options, number)

    def stop(_number, _frame):
        worker.stopping = True

    signal.signal(signal.SIGTERM, stop)
    try:
        counts, status = worker.run(), 0
    except (Timeout, dbus.DBusException) as e:
        counts, status = {f"stuck: {type(e).__name__}: {e}": 1}, 1
    os.write(out, (json.dumps(counts) + "\n").encode())
    os._exit(status)


def main():
    options = {**DEFAULTS, **json.loads(sys.argv[1])}
    reader, writer = os.pipe()
    pids = []
    for number in range(options["clients"]):
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            run_worker(options, number, writer)
        pids.append(pid)
        print(pid, f"{options.get('prefix', 'w')}{number}", flush=True)
    os.close(writer)

    def stop(_number, _frame):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass

    signal.signal(signal.SIGTERM, stop)
    total = Counter()
    with os.fdopen(reader) as results:
        for line in results:
            total.update(json.loads(line))
    for pid in pids:
        os.waitpid(pid, 0)
    print("done", json.dumps(total), flush=True)


if __name__ == "__main__":
    main()
