# SPDX-License-Identifier: Apache-2.0
"""A private message bus of type system: EXTERNAL authentication, everything allowed."""
import os
import signal
import socket

from .base import wait_for
from .proc import Process

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/>
    <allow send_type="method_call"/> <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/> <allow receive_type="method_return"/>
    <allow receive_type="error"/> <allow receive_type="signal"/>
  </policy>
</busconfig>
"""


class Bus:
    """dbus-daemon on a socket of its own."""

    def __init__(self, scratch, name="bus"):
        self.path = scratch(f"{name}.sock")
        self.address = f"unix:path={self.path}"
        self.config = scratch.write(f"{name}.conf", CONFIG.format(path=self.path))
        self.log = scratch(f"{name}.log")
        self.process = None
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.process = Process(["dbus-daemon", f"--config-file={self.config}", "--nofork", "--nopidfile",
                                "--nosyslog"], self.log)
        wait_for(self.answers, f"dbus-daemon: {self.process.tail()}")

    def answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(self.path)
            except OSError:
                return False
        return True

    def kill(self):
        self.process.signal(signal.SIGKILL)
        self.process.wait()
