#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A lock in a dozen lines of Python, with nothing but D-Bus: lock.py NAME [SECONDS] [DOMAIN]"""
import os
import sys
import time

import dbus


def events(fd):
    """What the agent says on the handle: datagrams of KEY=VALUE lines."""
    while datagram := os.read(fd, 4096):
        yield dict(line.split("=", 1) for line in datagram.decode().splitlines())


bus = dbus.SystemBus()              # or the bus in $DBUS_SYSTEM_BUS_ADDRESS
agent = bus.get_object("org.tooz.Agent1", "/org/tooz/Agent1", introspect=False)
name, seconds, domain = (sys.argv[1:] + ["1", ""][len(sys.argv) - 2:])[:3]
claim, handle = agent.RequestLock(domain, name, "exclusive", dbus.UInt64(0), dbus.Dictionary({}, signature="sv"),
                                  dbus_interface="org.tooz.Agent1.Manager", signature="sssta{sv}")
fd = handle.take()
for event in events(fd):
    print(event["EVENT"], *(f"{key}={event[key]}" for key in ("POSITION", "TOKEN", "PREVIOUS", "REASON")
                            if key in event), flush=True)
    if event["EVENT"] == "acquired":
        break
    if event["EVENT"] == "failed":
        sys.exit(1)
time.sleep(float(seconds))          # the work; a real program would also watch the handle for `lost`
os.close(fd)                        # release; had we died, the kernel would have closed it for us
print("released", flush=True)
