# SPDX-License-Identifier: Apache-2.0
"""A client in a process of its own: `python3 -m kit.remote …` obeys JSON lines and answers with JSON lines."""
import json
import os
import shutil
import subprocess
import sys

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    __package__ = "kit"

from .base import Timeout       # noqa: E402
from .history import Log        # noqa: E402
from .proc import Process       # noqa: E402

FILE = os.path.abspath(__file__)


class Remote:
    """The test's side. Claims are known by keys that the test chooses."""

    def __init__(self, scratch, history, agent, name, uid=None, direct=False):
        self.name = name
        self.history = history
        log = os.path.join(history.folder, f"{name}.jsonl")
        address = f"unix:path={agent.socket}" if direct else agent.bus.address
        file = FILE
        if uid is not None:
            history.log(name).close()
            os.chown(log, uid, uid)
            # the clone may be in a home that others can't read
            file = os.path.join(shutil.copytree(os.path.dirname(FILE), scratch(f"{name}.d/kit")), "remote.py")

        def become():
            if uid is not None:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)

        self.process = Process([sys.executable, file, address, "direct" if direct else "bus", log, name,
                                agent.name], scratch(f"{name}.remote.log"), name=name,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec=become)
        self.answer()                    # says hello when it is connected

    def answer(self):
        line = self.process.popen.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} is gone: {self.process.tail()}")
        answer = json.loads(line)
        if answer.get("timeout"):
            raise Timeout(answer["timeout"])
        return answer

    def send(self, verb, *arguments, **options):
        """Without waiting for the answer."""
        line = json.dumps([verb, arguments, options]) + "\n"
        self.process.popen.stdin.write(line.encode())
        self.process.popen.stdin.flush()

    def ask(self, verb, *arguments, **options):
        self.send(verb, *arguments, **options)
        answer = self.answer()
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}: {answer.get('message')}")
        return answer["result"]

    def refused(self, verb, *arguments, **options):
        """The short name of the error with which this must be refused."""
        self.send(verb, *arguments, **options)
        answer = self.answer()
        assert "error" in answer, f"{self.name}: {verb} {arguments} was not refused: {answer}"
        return answer["error"].rsplit(".", 1)[1]

    def hold(self, key, name, **options):
        """Request and wait for the grant; returns the event."""
        self.ask("request", key, name, **options)
        return self.ask("acquired", key)

    def kill(self):
        """SIGKILL: after this moment nothing that it held counts."""
        self.history.died(self.name)
        self.process.kill()

    def quit(self):
        if self.process.alive():
            self.process.popen.stdin.close()
            self.process.wait()


# --- the other side ------------------------------------------------------------------------------------

class Server:
    """Verbs of the child."""

    def __init__(self, client):
        self.client = client
        self.claims = {}

    def request(self, key, name, handle_of=None, **options):
        handle = self.claims[handle_of].handle if handle_of else None
        claim = self.client.request(name, handle=handle, **options)
        self.claims[key] = claim
        return claim.id

    def lock(self, key, name, **options):
        self.claims[key] = self.client.lock(name, **options)
        return self.claims[key].token

    def acquired(self, key, timeout=30):
        return self.claims[key].acquired(timeout)

    def expect(self, key, kind, timeout=30):
        return self.claims[key].expect(kind, timeout)

    def kinds(self, key):
        return self.claims[key].kinds()

    def close(self, key):
        self.claims[key].close()

    def release(self, key):
        self.claims[key].release()

    def manager(self, method, signature, *arguments):
        return self.client.manager(method, signature, *arguments)

    def call(self, path, interface, method, signature="", *arguments):
        return self.client.call(path, interface, method, signature, *arguments)

    def path(self, key):
        return self.claims[key].path

    def disconnect(self):
        self.client.disconnect()


def serve():
    import dbus
    from .client import Client
    address, kind, log, name, host = sys.argv[1:]
    client = Client(address, Log(log, name), host, direct=kind == "direct")
    server = Server(client)
    print(json.dumps({"result": "ready"}), flush=True)
    for line in sys.stdin:
        verb, arguments, options = json.loads(line)
        try:
            answer = {"result": getattr(server, verb)(*arguments, **options)}
        except dbus.DBusException as e:
            answer = {"error": e.get_dbus_name(), "message": e.get_dbus_message()}
        except Timeout as e:
            answer = {"timeout": str(e)}
        print(json.dumps(answer), flush=True)
    client.close()


if __name__ == "__main__":
    serve()
