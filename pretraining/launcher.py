"""What a launcher (torchrun, `accelerate launch`, srun) tells each process of a run, before anything heavy is imported."""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of Linux' prctl.h


def ranks() -> int:
    """How many processes the launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the first of a launcher's processes, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def end_with_torchrun() -> None:
    """Have Linux send SIGTERM to this process when its torchrun, or `accelerate launch`, is gone.

    Those start their processes in sessions of their own: when the launcher is killed they train on, and nobody knows.
    """
    if sys.platform == "linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
