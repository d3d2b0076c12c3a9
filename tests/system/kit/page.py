# SPDX-License-Identifier: Apache-2.0
"""The status page of a cluster domain, as include/tooz/tooz-page.h has it: held or not, without asking."""
import mmap
import os
import struct

from .base import now_usec

MAGIC = 0x3165676170746F7A
FORMAT = "=QIIQQQQQII"
CONNECTING, UP, SUSPENDED, OVERDUE = range(4)


class Page:
    """A read-only mapping of the agent's memfd; outlives the agent."""

    def __init__(self, fd):
        self.memory = mmap.mmap(fd, struct.calcsize(FORMAT), mmap.MAP_SHARED, mmap.PROT_READ)
        os.close(fd)
        assert self._fields()[0] == MAGIC

    def _fields(self):
        return struct.unpack_from(FORMAT, self.memory, 0)

    def read(self):
        """(epoch, deadline, session timeout, state), consistent; None when the writer died while writing."""
        for _ in range(1000):
            first = self._fields()
            second = self._fields()
            if first == second and first[3] % 2 == 0:
                return first[4], first[5], first[6], first[8]
        return None

    def holds(self, epoch):
        """Is a claim of this epoch certainly still held?"""
        fields = self.read()
        return bool(fields) and fields[0] == epoch and fields[3] in (UP, SUSPENDED) and now_usec() < fields[1]

    def deadline(self):
        fields = self.read()
        return fields[1] if fields else 0

    def close(self):
        self.memory.close()
