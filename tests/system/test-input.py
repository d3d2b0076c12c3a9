#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input over D-Bus: names, modes, flags, options, sizes, fds; quotas and access (promise 10)."""
import os
import pwd

import dbus

from kit import main, skip, test, wait_for
from kit.client import refused_with

BAD_NAMES = ("", ".", "..", "a" * 256, "é" * 128, "tab\there", "new\nline", "bell\x07", "nul\x7f", "\x1b[31m")
GOOD_NAMES = ("a", "a" * 255, "é" * 127, "with space", "per%cent", "a/b/c", "...", "-", "ünï/cödé", "a.b", "_",
              "MAINPID=1", "*", "日本")


@test("bad names are refused by InvalidName, over both ways in, and change nothing")
def _(rig):
    agent = rig.agent()
    for client in (agent.client(), agent.client(direct=True)):
        for name in BAD_NAMES:
            refused_with(lambda: client.request(name), "InvalidName")
            refused_with(lambda: client.query(name), "InvalidName")
        assert int(client.property("NClaims")) == 0


@test("good names in the node domain: each is its own lock, and reads back as it was given")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    first = client.request(GOOD_NAMES[0])
    claims = [first] + [client.request(name, handle=first.handle) for name in GOOD_NAMES[1:]]
    for claim, name in zip(claims, GOOD_NAMES):
        claim.acquired()
        assert str(claim.property("Name")) == name
    listed = {str(lock[1]) for lock in client.manager("ListLocks", "st", "node", 0)}
    assert listed == set(GOOD_NAMES), listed ^ set(GOOD_NAMES)


@test("bad modes, domains, flags and options are refused, each by its own error")
def _(rig):
    agent = rig.agent()
    client = agent.client()
    for mode in ("", "Exclusive", "exclusive ", "write", "x" * 10000):
        refused_with(lambda: client.request("a", mode), "InvalidArgs")
    for domain in ("nowhere", "cluster", "no/de", "x" * 1000):
        refused_with(lambda: client.request("a", domain=domain), "NoSuchDomain", "InvalidArgs")
    for flags in (2, 1 << 63, (1 << 64) - 1):
        refused_with(lambda: client.request("a", flags=flags), "InvalidArgs", "NotSupported")
    options = ({"Timeout": dbus.String("5s", variant_level=1)}, {"Description": dbus.UInt32(5, variant_level=1)},
               {"Description": dbus.String("x" * 100_000, variant_level=1)},
               {"Description": dbus.String("two\nlines", variant_level=1)},
               {"Lifetime": dbus.String("forever", variant_level=1)},
               {"Handle": dbus.String("h", variant_level=1)}, {"NoSuchOption": dbus.UInt32(1, variant_level=1)})
    for option in options:
        refused_with(lambda: client.manager("RequestLock", "sssta{sv}", "node", "a", "exclusive", dbus.UInt64(0),
                                            dbus.Dictionary(option, signature="sv")), "InvalidArgs", "NotSupported")
    assert int(client.property("NClaims")) == 0


@test("a wrong signature, an unknown method, an unknown object: refused by the bus's own errors")
def _(rig):
    client = rig.agent().client()
    refused_with(lambda: client.manager("RequestLock", "s", "node"), "InvalidArgs")
    refused_with(lambda: client.manager("NoSuchMethod"), "UnknownMethod")
    refused_with(lambda: client.call("/org/tooz/Agent1/claim/_399", "org.tooz.Agent1.Claim", "Release"),
                 "UnknownObject", "UnknownMethod", "NoSuchClaim")
    refused_with(lambda: client.property("NoSuchProperty"), "UnknownProperty")


@test("many fds and big messages are refused without harm")
def _(rig):
    agent = rig.agent()
    client = agent.client(direct=True)
    client.ping()  # libdbus passes no fds before it is authenticated
    null = os.open("/dev/null", os.O_RDONLY)
    client.ping()                       # libdbus only knows then that it may send fds
    many = {f"Handle{i}": dbus.types.UnixFd(null, variant_level=1) for i in range(10)}
    refused_with(lambda: client.manager("RequestLock", "sssta{sv}", "node", "a", "exclusive", dbus.UInt64(0),
                                        dbus.Dictionary(many, signature="sv")), "InvalidArgs")
    big = dbus.Dictionary({"Description": dbus.String("x" * 8_000_000, variant_level=1)}, signature="sv")
    try:
        client.manager("RequestLock", "sssta{sv}", "node", "a", "exclusive", dbus.UInt64(0), big)
        raise AssertionError("8 MB of description were accepted")
    except dbus.DBusException:
        pass
    os.close(null)
    agent.client().request("a").acquired()


@test("raw bytes on the socket: closed, and nobody else notices")
def _(rig):
    import socket
    agent = rig.agent()
    claim = agent.client(direct=True).request("a")
    claim.acquired()
    for garbage in (b"", b"\0", b"\0AUTH\r\n", b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n" + b"\xff" * 4096,
                    b"GET / HTTP/1.0\r\n\r\n", b"\0" * 70000, b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n" +
                    b"l\1\0\1\xff\xff\xff\x7f\1\0\0\0\xff\xff\xff\x7f"):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(agent.socket)
            try:
                s.sendall(garbage)
                s.shutdown(socket.SHUT_WR)
                s.settimeout(5)
                while s.recv(4096):
                    pass
            except OSError:
                pass
    claim.client.ping()
    assert claim.kinds() == ["acquired"]


@test("quota of claims: the user that has enough is refused, by QuotaExceeded; others are not")
def _(rig):
    nobody = other_user()
    agent = rig.agent(config="[Limits]\nClaimsPerUser=5\n")
    greedy = rig.remote(agent, "greedy", uid=nobody)
    for i in range(5):
        greedy.hold(i, f"user/{nobody}/{i}")
    assert greedy.refused("request", "x", f"user/{nobody}/x") == "QuotaExceeded"
    agent.client().request("mine").acquired()
    greedy.ask("close", 0)
    wait_for(lambda: int(agent.clients[0].property("NClaims")) == 5, "the closed claim to be gone")
    greedy.hold("x", f"user/{nobody}/x")


@test("quota of connections to the socket: more are closed, those that there are work on")
def _(rig):
    agent = rig.agent(config="[Limits]\nConnectionsPerUser=4\n")
    good = [agent.client(direct=True) for _ in range(3)]
    for client in good:
        client.ping()
    refused = 0
    for _ in range(4):
        try:
            client = agent.client(direct=True)
            client.ping()
        except dbus.DBusException:
            refused += 1
    assert refused >= 3, refused
    for client in good:
        client.ping()


@test("access: another user may lock below user/<uid>/ and read, nothing else, until a rule allows it")
def _(rig):
    nobody = other_user()
    agent = rig.agent(config=f"[Access builders]\nUser={pwd.getpwuid(nobody).pw_name}\nDomain=node\n"
                             f"Name=build-*\nAllow=lock read\n")
    mine = agent.client().request("mine")
    mine.acquired()
    for direct in (False, True):
        guest = rig.remote(agent, f"guest{direct}", uid=nobody, direct=direct)
        assert guest.refused("request", "x", "mine") == "AccessDenied"
        assert guest.refused("request", "x", "user/0/x") == "AccessDenied"
        assert guest.refused("request", "x", f"user/{nobody}") == "AccessDenied"
        guest.hold("x", f"user/{nobody}/x{direct}")
        guest.hold("y", f"build-{direct}")
        assert guest.refused("manager", "BreakLock", "sstt", "node", "mine", mine.token, 0) == "AccessDenied"
        assert guest.refused("manager", "Unlock", "sst", "node", "mine", mine.token) in ("AccessDenied", "NotOwner")
        assert guest.refused("call", mine.path, "org.tooz.Agent1.Claim", "Release") in ("AccessDenied", "NotOwner")
        assert guest.ask("manager", "ListLocks", "st", "node", 0)
        guest.quit()
    assert mine.kinds() == ["acquired"]


def other_user():
    """The uid of nobody, if this test may become it."""
    if os.geteuid() != 0:
        skip("needs root, to be another user")
    return pwd.getpwnam("nobody").pw_uid


if __name__ == "__main__":
    main()
