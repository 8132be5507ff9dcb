"""Tasks for processes of their own that load nothing heavy: they answer, are slow, or die, as their name says."""

from __future__ import annotations

import os
import signal
import time

from netassay.cli import instances
from netassay.cli.instances import Row, Task


def scripted(task: Task) -> Row:
    """A row by the name of the specification, without looking at it: "die.vnnlib" dies, "slow.vnnlib" is slow, others hold."""
    name = task.instance.spec
    if name.startswith("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("leave"):
        os._exit(3)
    if name.startswith("slow"):
        time.sleep(60)
    print("noise on stdout")
    return {**instances.unknown(task, "incomplete"), "queries": os.getpid()}


def doubled(task: int) -> int:
    """Twice the number; 0 interrupts its process, a negative number ends it."""
    if task == 0:
        os.kill(os.getpid(), signal.SIGINT)
    if task < 0:
        os._exit(-task)
    return 2 * task
