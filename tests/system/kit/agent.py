# SPDX-License-Identifier: Apache-2.0
"""tooz-agent on private paths: its own bus, socket and state directory, all in the scratch directory."""
import os
import shutil
from collections import Counter

from dbus import DBusException

from .base import Timeout, built, wait_for
from .bus import Bus
from .client import BUS_NAME, DOMAIN, Client
from .proc import Process, fds_of

# Session timeout of the tests: short, but with room for a busy machine (a heartbeat each T/6).
SESSION_SEC = float(os.environ.get("TOOZ_TEST_SESSION", "4"))


def why_not():
    return None if os.path.exists(built("src", "tooz-agent")) else "src/tooz-agent is not built"


class Agent:
    """One agent, which may be killed, stopped and started again on the same state."""

    def __init__(self, scratch, history, name, url=None, session_sec=SESSION_SEC, tick_msec=200, config="",
                 bus=None, arguments=(), wait_for_contact=True, log_level="debug", manager=None):
        self.name = name
        self.scratch = scratch
        self.history = history
        self.bus = bus or Bus(scratch, f"{name}-bus")
        self.socket = scratch(f"{name}.agent.sock")
        self.log = scratch(f"{name}.log")
        self.state = scratch.make(f"{name}.state")
        self.arena = scratch(f"{name}.arena")
        self.url = url
        text = (f"[Agent]\nBusAddress={self.bus.address}\nSocket={self.socket}\nStateDirectory={self.state}\n"
                f"NodeName={name}\n")
        if url:
            text += (f"\n[Domain cluster]\nURL={url}\nSessionTimeoutSec={session_sec:g}\n"
                     f"TickSec={tick_msec}ms\n")
        self.config = scratch.write(f"{name}.conf", f"{text}\n{config}")
        self.arguments = [f"--log-level={log_level}", f"--arena={self.arena}", *arguments]
        self.clients = []
        self.process = None
        self.manager = manager
        self.idle_fds = None
        self.wait_for_contact = wait_for_contact and bool(url)
        self.start()

    def command(self):
        loop = os.environ.get("TOOZ_LOOP")
        return ([built("src", "tooz-agent"), f"--config={self.config}"] +
                ([f"--loop={loop}"] if loop else []) + self.arguments)

    def start(self):
        managed = {}
        if self.manager:
            managed = {"env": self.manager.env(), "preexec": self.manager.place_fds, "pass_fds": self.manager.fds()}
        command = self.manager.wrap(self.command()) if self.manager else self.command()
        self.process = Process(command, self.log, name=f"agent {self.name}", **managed)
        wait_for(self._ready, f"agent {self.name} to serve:\n{self.process.tail()}")
        if self.wait_for_contact:
            self.wait_state("up")
        probe = self.client()
        probe.ping()
        self.hang_up(probe)
        # without contact one is still to come
        self.idle_fds = fds_of(self.process.pid) + ["socket"] * (bool(self.url) and not self.wait_for_contact)

    def _ready(self):
        if not self.process.alive():
            raise RuntimeError(f"agent {self.name} ended with {self.process.wait()}:\n{self.process.tail()}")
        if not os.path.exists(self.socket):
            return False
        probe = Client(self.bus.address, self.history.own, self.name)
        try:            # a killed agent's connection may stay for a moment longer than its process
            return probe.call_bus("GetConnectionUnixProcessID", "s", BUS_NAME) == self.process.pid
        except DBusException:
            return False
        finally:
            probe.disconnect()

    def client(self, direct=False, log=None):
        """A new connection, by the bus or by the agent's socket."""
        address = f"unix:path={self.socket}" if direct else self.bus.address
        client = Client(address, log or self.history.own, self.name, direct)
        self.clients.append(client)
        return client

    def hang_up(self, client):
        self.clients.remove(client)
        client.close()

    def domain_property(self, name, domain="cluster"):
        client = self.client()
        try:
            return str(client.property(name, f"/org/tooz/Agent1/domain/{domain}", DOMAIN))
        finally:
            self.hang_up(client)

    def domain_state(self):
        return self.domain_property("State")

    def wait_state(self, state):
        wait_for(lambda: self.domain_state() == state, f"the cluster to be {state} for {self.name}", pause=0.02)

    def session(self):
        """The id of the ZooKeeper session, a number; 0: none."""
        return int(self.domain_property("SessionId") or "0", 16)

    # --- faults ------------------------------------------------------------------------------------

    def kill(self):
        self.process.kill()
        self.process = None

    def stop(self):
        self.process.stop()

    def cont(self):
        self.process.cont()

    def terminate(self):
        """A clean stop; returns the exit status."""
        status = self.process.terminate()
        self.process = None
        return status

    def restart_killed(self):
        """SIGKILL and a new start, while clients wait for it: nobody here may be connected."""
        self.close_clients()
        self.kill()
        self.start()

    # --- what must be true at the end ----------------------------------------------------------------

    def running(self):
        return self.process is not None and self.process.alive()

    def close_clients(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    def inspect(self):
        """Idle again: no claim, no fd more than at the start; a clean stop."""
        self.close_clients()
        if self.process is not None:
            if not self.running():
                raise AssertionError(f"agent {self.name} ended by itself with {self.process.wait()}")
            self._inspect_idle()
            status = self.terminate()
            assert status == 0, f"agent {self.name} stopped with status {status}"

    def _inspect_idle(self):
        client = self.client()
        wait_for(lambda: int(client.property("NClaims")) == 0, f"agent {self.name} to have no claim")
        self.hang_up(client)
        try:
            wait_for(lambda: not self._new_fds(), "fds to be closed", patience=10)
        except Timeout:
            raise AssertionError(f"agent {self.name} leaks fds: {dict(self._new_fds())}") from None

    def _new_fds(self):
        return Counter(fds_of(self.process.pid)) - Counter(self.idle_fds)


def run_agent(scratch, arguments, name="bad"):
    """An agent that is expected to end by itself: (exit status, output)."""
    log = scratch(f"{name}.log")
    process = Process([built("src", "tooz-agent"), *arguments], log, name=f"agent {name}")
    status = process.wait()
    return status, process.text()


def find_tool(name):
    path = built("src", name)
    return path if os.path.exists(path) else shutil.which(name)
