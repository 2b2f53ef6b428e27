"""What goes wrong in pretraining once work has begun. Bad input is a `ValueError`, raised before."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

# In the errors of torch 2.13 for memory that is full: of a GPU, of its libraries, of the machine.
OUT_OF_MEMORY = ("out of memory", "ALLOC_FAILED", "DefaultCPUAllocator")


class PretrainingError(Exception):
    """A stage could not go on. The message says what happened, where, and what to do next; what was done before is kept."""


class NothingLeft(PretrainingError):
    """The filters left too little to go on with. The same folder takes other settings."""


class Diverged(PretrainingError):
    """The loss, or a gradient, is not a number. The last checkpoint is from before."""


@contextmanager
def report_out_of_memory(device_batch: int) -> Iterator[None]:
    """Raises PretrainingError where training runs out of memory.

    Args:
        device_batch: sequences that a device takes at once.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in OUT_OF_MEMORY):
            raise
        what = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise PretrainingError(
            f"memory ran out with device_batch={device_batch}: {what}. Give the same command with a smaller one "
            "(-p device_batch=…) or with -p activation_checkpointing=true, and the run goes on from its last checkpoint; "
            "or take a smaller shape (width, layers, context) in another folder. `sagechain pretrain plan` says what fits."
        ) from error


def unknown_name(field: str, value: object, known: Iterable[str]) -> ValueError:
    """The error for a value that is none of the `known` names of `field`."""
    near = get_close_matches(str(value), names := sorted(known), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"{field}: there is no {value!r}.{hint} Known: {', '.join(names)}")
