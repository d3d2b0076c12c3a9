# SPDX-License-Identifier: Apache-2.0
"""Runs under `toozctl lock`: writes to the history from when until when it ran, until SIGTERM.

    witness.py LOG PROCESS HOST DOMAIN NAME MODE [ignore-term]

Standard library only, and not the kit, since it must start fast. With "ignore-term" it only ends by
SIGKILL and writes a beat every 2 ms, so that the checker knows how long it ran at least."""
import json
import os
import signal
import sys
import time


def main():
    log, process, host, domain, name, mode = sys.argv[1:7]
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    claim = f"{process}.{os.getpid()}"

    def write(event, **fields):
        record = {"t": time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000, "p": process, "c": claim,
                  "event": event}
        record.update(fields)
        os.write(fd, (json.dumps(record) + "\n").encode())

    def on_term(_number, _frame):
        write("release")
        os._exit(0)

    stubborn = sys.argv[7:] == ["ignore-term"]
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else on_term)
    write("request", host=host, domain=domain, name=name, mode=mode)
    write("grant", token=int(os.environ["TOOZ_FENCING_TOKEN"]))
    while True:
        time.sleep(0.002 if stubborn else 3600)
        write("beat")


if __name__ == "__main__":
    main()
