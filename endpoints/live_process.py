"""Which process wrote a record, and whether it may still be working, seen from this machine.

A process id alone is not enough: a home folder may be shared by several machines, and ids are used again.
"""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
START_TIME_FIELD = 19  # of /proc/PID/stat after the name of the program: field 22 in proc(5), in clock ticks since boot


@dataclass(frozen=True)
class ProcessRecord:
    """A process: its machine, the boot of that machine, its id and its own start; empty where the system lacks the fact."""

    host: str
    machine: str
    boot: str
    pid: int
    started: str

    @property
    def is_of_another_machine(self) -> bool:
        """Whether it ran, or runs, on another machine than this one."""
        return (self.host, self.machine) != (socket.gethostname(), _machine_id())

    @property
    def is_another_living_process(self) -> bool:
        """Whether it is another process of this machine that is alive now; False where the system does not show it."""
        if self.pid == os.getpid() or self.is_of_another_machine or (self.boot and self.boot != _boot_id()):
            return False
        return self.started != "" and self.started == _start_time(self.pid)


def this_process() -> ProcessRecord:
    """The record of the running process."""
    pid = os.getpid()
    return ProcessRecord(socket.gethostname(), _machine_id(), _boot_id(), pid, _start_time(pid))


@cache
def _boot_id() -> str:
    return _read(BOOT_ID)


@cache
def _machine_id() -> str:
    return next(filter(None, map(_read, MACHINE_IDS)), "")


def _start_time(pid: int) -> str:
    """When a process started; empty if there is no such process, or no /proc."""
    after_name = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return after_name[START_TIME_FIELD] if len(after_name) > START_TIME_FIELD else ""


def _read(path: Path) -> str:
    with suppress(OSError, ValueError):
        return path.read_text(encoding="utf-8").strip()
    return ""
