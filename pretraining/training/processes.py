"""Communication between the processes of a launcher (torchrun, `accelerate launch`); without one, there is one process."""

from datetime import timedelta

import torch
from torch import distributed
from transformers import TrainingArguments

# The first process may search all training data meanwhile, which takes longer than NCCL's 30 minutes.
MAX_WAIT = timedelta(days=1)


class Processes:
    """The processes of a run. Every process must call each method, in the same order.

    Args:
        arguments: this process's Trainer arguments, whose construction joined the other processes.
    """

    def __init__(self, arguments: TrainingArguments) -> None:
        self.count, self.is_first = arguments.world_size, arguments.process_index == 0
        self._device = arguments.device
        self._gloo = distributed.new_group(backend="gloo", timeout=MAX_WAIT) if self.count > 1 else None

    def agreed(self, value: float) -> float:
        """The first process's value, in every process."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self._device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in at least one process."""
        if self.count == 1:
            return flag
        shared = torch.tensor([float(flag)], device=self._device)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return bool(shared)

    def differ(self, value: float) -> bool:
        """Whether a process has another value than the first."""
        return self.any(self.agreed(value) != value)

    def wait(self) -> None:
        """Wait until every process is here, however long one of them takes."""
        if self._gloo is not None:
            distributed.barrier(self._gloo)
