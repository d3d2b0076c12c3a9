# SPDX-License-Identifier: Apache-2.0
"""The kit of the system tests: real agents, a real bus, a real ZooKeeper, on private paths."""
from .base import PATIENCE_SEC, Timeout, built, now_usec, wait_for
from .tap import Skip, main, skip, test

__all__ = ["PATIENCE_SEC", "Skip", "Timeout", "built", "main", "now_usec", "skip", "test", "wait_for"]
