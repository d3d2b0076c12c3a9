# SPDX-License-Identifier: Apache-2.0
"""A service manager as far as an agent needs one: it is notified, keeps descriptors, and gives them to the next."""
import array
import os
import socket


class Manager:
    """Hand it to rig.agent(manager=…)."""

    def __init__(self, scratch, name="manager"):
        self.path = scratch(f"{name}.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.stored = []                # (name, fd)
        self.told = []                  # every message, as a dict

    def pump(self):
        """Take what has been sent."""
        while True:
            try:
                text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(16 * 4))
            except BlockingIOError:
                return
            message = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
            fds = array.array("i")
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(data)
            self.told.append(message)
            if message.get("FDSTOREREMOVE") == "1":
                self.drop(message["FDNAME"])
            if message.get("FDSTORE") == "1":
                self.stored += [(message["FDNAME"], fd) for fd in fds]
            else:
                for fd in fds:
                    os.close(fd)

    def drop(self, name):
        """Close all of that name, as the end of a service does."""
        for _, fd in [item for item in self.stored if item[0] == name]:
            os.close(fd)
        self.stored = [item for item in self.stored if item[0] != name]

    def names(self):
        self.pump()
        return [name for name, _ in self.stored]

    # --- for the start of an agent ---------------------------------------------------------------------

    def env(self):
        env = {"NOTIFY_SOCKET": self.path}
        if self.stored:
            env.update(LISTEN_FDS=str(len(self.stored)), LISTEN_FDNAMES=":".join(self.names()))
        return env

    def wrap(self, command):
        return ["sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", *command] if self.stored else command

    def place_fds(self):
        """In the child: from 3 on. Copied above all of them first, so that none is overwritten."""
        copies = [os.dup2(fd, 100 + i) for i, (_, fd) in enumerate(self.stored)]
        for i, copy in enumerate(copies):
            os.dup2(copy, 3 + i)

    def fds(self):
        return tuple(range(3, 3 + len(self.stored)))
