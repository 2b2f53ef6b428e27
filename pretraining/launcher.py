"""The variables that a launcher (torchrun, `accelerate launch`) sets for each process, read without heavy imports.

srun alone sets neither `RANK` nor `WORLD_SIZE`: its processes would each train on their own; start torchrun in it.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # Linux, prctl.h


def ranks() -> int:
    """The number of processes that the launcher started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the first of the launcher's processes, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def end_with_torchrun() -> None:
    """Have Linux send SIGTERM to this process when its torchrun, or `accelerate launch`, dies.

    Launchers start their processes in separate sessions: without this they would train on, unnoticed, after it was killed.
    """
    if sys.platform == "linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
