# SPDX-License-Identifier: Apache-2.0
"""A real ZooKeeper, standalone, with a fast start, a short tick and an address of its own.

Every server gets an address in 127/8 that nobody else uses, so that the port stays ours over a
restart and two runs side by side never meet."""
import logging
import os
import random
import shutil
import socket
import struct
import time

from .base import Timeout, wait_for
from .proc import Process

PORT = 2181
TICK_MSEC = 200
JARS = ("/usr/share/java/zookeeper.jar", "/usr/share/zookeeper/zookeeper.jar")
LOG_JAR = "/usr/share/java/slf4j-simple.jar"
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
JVM_FLAGS = ["-Xms32m", "-Xmx96m", "-Xss256k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
             "-XX:-UsePerfData", "-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=64",
             "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
CONFIG = """tickTime={tick}
minSessionTimeout={tick}
maxSessionTimeout=120000
dataDir={data}
clientPortAddress={host}
clientPort={port}
admin.enableServer=false
4lw.commands.whitelist=*
maxClientCnxns=0
"""

# The clients of the tests lose their connection on purpose.
logging.getLogger("kazoo").addHandler(logging.NullHandler())


def java():
    home = os.environ.get("JAVA_HOME")
    if home and os.access(f"{home}/bin/java", os.X_OK):
        return f"{home}/bin/java"
    return shutil.which("java")


def class_path():
    """Debian's jar names what it needs in its manifest; only the log binding must be added."""
    explicit = os.environ.get("TOOZ_TEST_ZK_CLASSPATH")
    if explicit:
        return explicit
    found = [jar for jar in JARS if os.path.exists(jar)][:1]
    return ":".join(found + [LOG_JAR] * os.path.exists(LOG_JAR)) if found else None


def why_not():
    """None when a ZooKeeper can be started here, else what is missing."""
    if not java():
        return "no java"
    if not class_path():
        return "no zookeeper.jar (apt-get install zookeeper)"
    return None


def own_address(port=PORT):
    """An address of 127/8 on which nobody listens."""
    while True:
        host = "127." + ".".join(str(random.SystemRandom().randint(1, 250)) for _ in range(3))
        with socket.socket() as s:
            try:
                s.bind((host, port))
                return host
            except OSError:
                continue


class ZooKeeper:
    """One server; its data outlives stop() and start()."""

    def __init__(self, scratch, name="zk", tick_msec=TICK_MSEC, host=None, extra="", myid=None):
        self.tick_msec = tick_msec
        self.host = host or own_address()
        self.hosts = f"{self.host}:{PORT}"
        self.url = f"zookeeper://{self.hosts}/"
        data = scratch.make(f"{name}.data")
        self.config = scratch.write(f"{name}.cfg", CONFIG.format(tick=tick_msec, data=data, host=self.host,
                                                                 port=PORT) + extra)
        if myid is not None:
            scratch.write(f"{name}.data/myid", f"{myid}\n")
        self.log = scratch(f"{name}.log")
        self.process = None
        self.clients = []
        self.start(wait=myid is None)       # a member of an ensemble serves when others are there

    def start(self, wait=True):
        self.process = Process([java()] + JVM_FLAGS + ["-cp", class_path(), MAIN, self.config], self.log,
                               name="zookeeper")
        if wait:
            self.wait_serving()

    def wait_serving(self):
        def serving():
            if not self.process.alive():
                raise RuntimeError(f"ZooKeeper did not start:\n{self.process.tail()}")
            return "Mode:" in self.ask("srvr")

        wait_for(serving, "ZooKeeper to serve")

    def serves(self):
        return self.process.alive() and not self.process.stopped and "Mode:" in self.ask("srvr")

    def stop(self):
        """kill -9: what the server knew is in its log, nobody is told anything."""
        self.process.kill()

    def terminate(self):
        self.process.terminate()

    def pause(self):
        self.process.stop()

    def resume(self):
        self.process.cont()

    def ask(self, word, patience=2):
        """A four-letter word; '' when the server does not answer."""
        try:
            with socket.create_connection((self.host, PORT), patience) as s:
                s.settimeout(patience)
                s.sendall(word.encode())
                answer = b""
                while True:
                    part = s.recv(65536)
                    if not part:
                        return answer.decode()
                    answer += part
        except OSError:
            return ""

    def mntr(self):
        """The server's counters."""
        lines = (line.split("\t", 1) for line in self.ask("mntr").splitlines())
        return {pair[0]: pair[1] for pair in lines if len(pair) == 2}

    def ephemerals(self):
        """{path: session id} of every ephemeral node."""
        found, session = {}, None
        for line in self.ask("dump").splitlines():
            if line.startswith("0x") and line.endswith(":"):
                session = int(line[:-1], 16)
            elif line.startswith("\t/"):
                found[line.strip()] = session
        return found

    def lock_nodes(self, name=None, root="/tooz/locks"):
        prefix = f"{root}/{name}/" if name else f"{root}/"
        return sorted(path for path in self.ephemerals() if path.startswith(prefix))

    def sessions_under(self, prefix):
        return {sid for path, sid in self.ephemerals().items() if path.startswith(prefix)}

    def client(self, **options):
        """A kazoo client, stopped with the server object."""
        from kazoo.client import KazooClient
        client = KazooClient(hosts=self.hosts, timeout=10, **options)
        client.start(timeout=20)
        self.clients.append(client)
        return client

    def close_clients(self):
        while self.clients:
            client = self.clients.pop()
            try:
                client.stop()
                client.close()
            except Exception:           # the server may be dead: that is what the test was about
                pass

    def expire(self, session):
        expire_session(self.host, PORT, session)


class Ensemble:
    """Three servers. What is asked of one is asked of whichever serves."""

    def __init__(self, scratch, name="ens", tick_msec=TICK_MSEC):
        hosts = [own_address() for _ in range(3)]
        members = "".join(f"server.{i}={host}:2888:3888\n" for i, host in enumerate(hosts, 1))
        extra = f"initLimit=20\nsyncLimit=5\n{members}"
        self.servers = [ZooKeeper(scratch, f"{name}{i}", tick_msec, host, extra, i)
                        for i, host in enumerate(hosts, 1)]
        self.hosts = ",".join(server.hosts for server in self.servers)
        self.url = f"zookeeper://{self.hosts}/"
        self.wait_serving()

    def wait_serving(self):
        """All that run serve."""
        for server in self.running():
            server.wait_serving()

    def running(self):
        return [s for s in self.servers if s.process.alive() and not s.process.stopped]

    def by_host(self, host_port):
        """The server of a string that begins with its address, as agents show it."""
        return next(s for s in self.servers if host_port.startswith(s.host))

    def leader(self):
        return next(s for s in self.running() if "Mode: leader" in s.ask("srvr"))

    def ephemerals(self):
        """As the leader has them: a follower only knows the sessions of its own clients."""
        return self.leader().ephemerals()

    def lock_nodes(self, name):
        return sorted(path for path in self.ephemerals() if path.startswith(f"/tooz/locks/{name}/"))


# --- forced expiry -----------------------------------------------------------------------------------
# The server derives a session's password from its id: java.util.Random(id ^ 0xB3415C00).nextBytes(16).
# With it anybody may resume the session, and close it. The owner, reconnecting, may win it back in
# between: closeSession is pipelined behind the handshake, and repeated until the id is unknown.
SUPER_SECRET = 0xB3415C00
OP_CLOSE = -11


def session_password(session):
    seed = ((session ^ SUPER_SECRET) ^ 0x5DEECE66D) & ((1 << 48) - 1)
    out = b""
    for _ in range(4):
        seed = (seed * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        out += struct.pack("<I", (seed >> 16) & 0xFFFFFFFF)
    return out


def _read_frame(sock):
    head = b""
    while len(head) < 4:
        part = sock.recv(4 - len(head))
        if not part:
            return None
        head += part
    size = struct.unpack(">i", head)[0]
    body = b""
    while len(body) < size:
        part = sock.recv(size - len(body))
        if not part:
            return None
        body += part
    return body


def _close_session_once(host, port, session):
    """The timeout that the server granted: 0 means that it does not know the session any more."""
    signed = session - (1 << 64) if session >> 63 else session
    hello = struct.pack(">iqiq", 0, 0, 30000, signed) + struct.pack(">i", 16) + session_password(session) + b"\0"
    close = struct.pack(">ii", 1, OP_CLOSE)
    with socket.create_connection((host, port), 2) as s:
        s.settimeout(2)
        s.sendall(struct.pack(">i", len(hello)) + hello + struct.pack(">i", len(close)) + close)
        answer = _read_frame(s)
        if answer is None:
            return -1
        granted = struct.unpack(">ii", answer[:8])[1]
        if granted > 0:
            _read_frame(s)              # the reply of closeSession, or the end of the connection
        return granted


def expire_session(host, port, session):
    for _ in range(200):
        try:
            if _close_session_once(host, port, session) == 0:
                return
        except OSError:
            pass
        time.sleep(0.002)
    raise Timeout(f"session 0x{session:x} does not go away")
