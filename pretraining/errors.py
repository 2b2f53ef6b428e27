"""Errors of pretraining after work has started. Wrong arguments are a `ValueError`, raised before."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

# Parts of the messages of torch 2.13 for full memory: of a GPU, of its libraries, of the machine.
OUT_OF_MEMORY = ("out of memory", "ALLOC_FAILED", "DefaultCPUAllocator")


class PretrainingError(Exception):
    """A stage failed. The message states what happened, where, and what to do next; finished work is not lost."""


class NothingLeft(PretrainingError):
    """The filters left too few documents. The same folder can be used with other settings."""


class Diverged(PretrainingError):
    """The loss or a gradient is not a number. The last checkpoint is from before that."""


@contextmanager
def report_out_of_memory(device_batch: int) -> Iterator[None]:
    """Raise PretrainingError, with advice, where the block runs out of memory.

    Args:
        device_batch: sequences in one forward pass of a device, for the message.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in OUT_OF_MEMORY):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise PretrainingError(
            f"memory ran out with device_batch={device_batch}: {reason}. Give the same command with a smaller one "
            "(-p device_batch=…) or with -p activation_checkpointing=true, and the run resumes from its last checkpoint; "
            "or take a smaller shape (width, layers, context) in another folder. `sagechain pretrain plan` shows what fits."
        ) from error


def unknown_name(field: str, value: object, known: Iterable[str]) -> ValueError:
    """The error for a value that is not one of the `known` names of `field`."""
    similar = get_close_matches(str(value), names := sorted(known), n=1)
    hint = f" Did you mean {similar[0]!r}?" if similar else ""
    return ValueError(f"{field}: there is no {value!r}.{hint} Known: {', '.join(names)}")
