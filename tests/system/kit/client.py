# SPDX-License-Identifier: Apache-2.0
"""A client of the agent over D-Bus: the bus, or the agent's own socket. Handles as any language has them."""
import os
import re
import select
import socket
import time

import dbus
import dbus.bus
import dbus.connection

from .base import PATIENCE_SEC, Timeout

BUS_NAME = "org.tooz.Agent1"
ROOT = "/org/tooz/Agent1"
MANAGER = "org.tooz.Agent1.Manager"
CLAIM = "org.tooz.Agent1.Claim"
DOMAIN = "org.tooz.Agent1.Domain"
ERROR = "org.tooz.Agent1.Error."
NO_QUEUE = 1
NOTIFY_CONTENTION = 4
DATAGRAM_MAX = 4096


def claim_id(path):
    """The number in a claim's object path, as CLAIM= of the handle's events has it."""
    last = path.rsplit("/", 1)[1]
    return re.sub("_([0-9a-f]{2})", lambda m: chr(int(m.group(1), 16)), last)


def parse_event(datagram):
    return dict(line.split("=", 1) for line in datagram.decode().splitlines() if "=" in line)


class Handle:
    """The fd on which the events of one or more claims arrive."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.claims = {}
        self.eof = False
        self.closed = False

    def pump(self, timeout):
        """Read one datagram and give it to its claim; False when none came in time."""
        if self.eof or self.closed:
            return False
        if not select.select([self.socket], [], [], timeout)[0]:
            return False
        try:
            datagram = self.socket.recv(DATAGRAM_MAX + 1)
        except ConnectionResetError:
            datagram = b""
        if not datagram:
            self.eof = True
            for claim in self.claims.values():
                claim.deliver({"EVENT": "eof"})
            return True
        assert len(datagram) <= DATAGRAM_MAX, f"{len(datagram)} bytes in one datagram"
        event = parse_event(datagram)
        claim = self.claims.get(event.get("CLAIM"))
        if claim is None and len(self.claims) == 1:
            claim = next(iter(self.claims.values()))
        if claim:
            claim.deliver(event)
        return True

    def send(self, text):
        self.socket.send(text.encode())

    def close(self):
        if not self.closed:
            self.closed = True
            for claim in self.claims.values():
                claim.ended("release")
            self.socket.close()


class Claim:
    """One request and what became of it. Everything is written to the client's history."""

    def __init__(self, client, path, handle, what, key):
        self.client = client
        self.path = str(path)
        self.id = claim_id(self.path)
        self.key = key                  # in the history
        self.handle = handle
        self.what = what                # domain, name, mode
        self.events = []                # all that came
        self.unread = []
        self.token = self.epoch = None
        self.over = False
        handle.claims[self.id] = self

    def deliver(self, event):
        self.events.append(event)
        self.unread.append(event)
        kind = event["EVENT"]
        if kind == "acquired" and self.token is None:   # Lock() has told it already
            self.token, self.epoch = int(event["TOKEN"]), int(event.get("EPOCH", 0))
            self._log("grant", token=self.token)
        elif kind == "suspended":
            self._log("suspended", deadline=int(event["DEADLINE_BOOTTIME_USEC"]))
        elif kind == "resumed":
            self._log("resumed")
        elif kind in ("lost", "eof"):
            self.ended("lost")
        elif kind == "released":
            self.ended("release")
        elif kind == "failed":
            self.ended("failed")

    def _log(self, event, **fields):
        if not self.over:
            self.client.log.write(event, self.key, **fields)

    def ended(self, how, t=None):
        self._log(how, t=t)
        self.over = True

    def convert(self, mode, timeout_usec=0):
        """Another mode for the same claim: in the history, one claim ends and another begins."""
        domain, name, _ = self.what
        key = self.client.new_key()
        self.client.log.write("request", key, host=self.client.host, domain=domain, name=name, mode=mode,
                              continues=self.key)
        try:
            token = int(self.call("Convert", "st", mode, dbus.UInt64(timeout_usec)))
        except dbus.DBusException:
            self.client.log.write("refused", key)
            raise
        self._log("release")
        self.key, self.what, self.token = key, (domain, name, mode), token
        self._log("grant", token=token)
        return token

    def next(self, timeout=PATIENCE_SEC):
        """The next event; raises Timeout."""
        end = time.monotonic() + timeout
        while not self.unread:
            if not self.handle.pump(max(0, end - time.monotonic())):
                raise Timeout(f"no event for {self.what}; so far {self.events}")
        return self.unread.pop(0)

    def expect(self, kind, timeout=PATIENCE_SEC, ignore=("queued", "contended")):
        """The next event that is not in `ignore` must be `kind`."""
        end = time.monotonic() + timeout
        while True:
            event = self.next(max(0, end - time.monotonic()))
            if event["EVENT"] == kind:
                return event
            if event["EVENT"] not in ignore:
                raise AssertionError(f"expected {kind} for {self.what}, got {event}; all: {self.events}")

    def acquired(self, timeout=PATIENCE_SEC):
        """Wait for the grant. A short loss of contact on a busy machine is no failure of the test."""
        return self.expect("acquired", timeout, ("queued", "contended", "suspended", "resumed"))

    def kinds(self):
        """Names of all events so far, with whatever is readable now."""
        while self.handle.pump(0):
            pass
        return [e["EVENT"] for e in self.events]

    def still_waits(self):
        """After a round trip through the agent, which works in order: no grant has been sent."""
        self.client.ping()
        return "acquired" not in self.kinds()

    def release(self):
        """Give up one claim of a handle that may serve others."""
        self._log("release")
        self.over = True
        self.handle.send(f"RELEASE=1\nCLAIM={self.id}\n")

    def close(self):
        """The usual end: close the fd."""
        self.handle.close()

    def call(self, method, signature="", *args):
        return self.client.call(self.path, CLAIM, method, signature, *args)

    def property(self, name):
        return self.client.property(name, self.path, CLAIM)


class Client:
    """One connection. `address` is that of a bus, or, with direct=True, of an agent's socket."""

    def __init__(self, address, log, host, direct=False, bus_name=BUS_NAME):
        self.log = log
        self.host = host
        self.direct = direct
        self.bus_name = None if direct else bus_name
        kind = dbus.connection.Connection if direct else dbus.bus.BusConnection
        self.connection = kind(address)
        self.open = True
        self.handles = []

    def call(self, path, interface, method, signature="", *args, timeout=PATIENCE_SEC):
        return self.connection.call_blocking(self.bus_name, path, interface, method, signature, args,
                                             timeout=timeout)

    def manager(self, method, signature="", *args, timeout=PATIENCE_SEC):
        return self.call(ROOT, MANAGER, method, signature, *args, timeout=timeout)

    def call_bus(self, method, signature="", *args):
        """Ask the bus driver."""
        return self.connection.call_blocking("org.freedesktop.DBus", "/org/freedesktop/DBus",
                                             "org.freedesktop.DBus", method, signature, args)

    def property(self, name, path=ROOT, interface=MANAGER):
        return self.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", interface, name)

    def ping(self):
        self.call(ROOT, "org.freedesktop.DBus.Peer", "Ping")

    def new_key(self):
        return f"{self.log.process}.{time.monotonic_ns()}"

    def request(self, name, mode="exclusive", domain="node", flags=0, handle=None, **options):
        """RequestLock. Options by their D-Bus names: Timeout=usec, Description=..., Lifetime=..."""
        variants = {key: _variant(key, value) for key, value in options.items()}
        if handle:
            variants["Handle"] = dbus.types.UnixFd(handle.socket.fileno(), variant_level=1)
        key = self.new_key()
        self.log.write("request", key, host=self.host, domain=domain, name=name, mode=mode)
        try:
            path, fd = self.manager("RequestLock", "sssta{sv}", domain, name, mode, dbus.UInt64(flags),
                                    dbus.Dictionary(variants, signature="sv"))
        except dbus.DBusException:
            self.log.write("refused", key)
            raise
        self.log.write("accepted", key)
        if handle is None:
            handle = Handle(fd.take())
            self.handles.append(handle)
        else:
            os.close(fd.take())
        return Claim(self, path, handle, (domain, name, mode), key)

    def lock(self, name, timeout_usec=0, mode="exclusive", domain="node", **options):
        """The blocking convenience: returns a claim that is held."""
        variants = {key: _variant(key, value) for key, value in options.items()}
        key = self.new_key()
        self.log.write("request", key, host=self.host, domain=domain, name=name, mode=mode)
        try:
            path, fd, token = self.manager("Lock", "sssta{sv}", domain, name, mode, dbus.UInt64(timeout_usec),
                                           dbus.Dictionary(variants, signature="sv"))
        except dbus.DBusException:
            self.log.write("refused", key)
            raise
        handle = Handle(fd.take())
        self.handles.append(handle)
        claim = Claim(self, path, handle, (domain, name, mode), key)
        claim.token = int(token)
        self.log.write("grant", key, token=claim.token)
        return claim

    def query(self, name, domain="node"):
        """(holders, waiters), each a list of dicts."""
        fields = ("owner_id", "host", "mode", "pid", "uid", "unit", "token", "since", "description", "extra")
        holders, waiters = self.manager("QueryLock", "ss", domain, name)
        return [[dict(zip(fields, owner)) for owner in part] for part in (holders, waiters)]

    def close(self):
        """Close every handle and the connection."""
        for handle in self.handles:
            handle.close()
        self.disconnect()

    def disconnect(self):
        """Leave the bus, keep the handles."""
        if self.open:
            self.open = False
            self.connection.close()


def _variant(key, value):
    if key in ("Timeout", "TTL"):
        return dbus.UInt64(value, variant_level=1)
    if isinstance(value, bool):
        return dbus.Boolean(value, variant_level=1)
    if isinstance(value, int):
        return dbus.UInt32(value, variant_level=1)
    if isinstance(value, str):
        return dbus.String(value, variant_level=1)
    return value


def refused_with(call, *names):
    """Run `call`, which must be refused by one of these errors; returns the message."""
    try:
        call()
    except dbus.DBusException as e:
        short = (e.get_dbus_name() or "").replace(ERROR, "").replace("org.freedesktop.DBus.Error.", "")
        assert short in names, f"refused with {e.get_dbus_name()}: {e.get_dbus_message()}, expected {names}"
        return e.get_dbus_message()
    raise AssertionError(f"was not refused, expected {names}")
