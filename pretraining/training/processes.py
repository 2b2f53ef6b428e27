"""What the processes of a launcher (torchrun, `accelerate launch`) tell one another; one alone has nobody to ask."""

from datetime import timedelta

import torch
from torch import distributed
from transformers import TrainingArguments

# While the first process waits for the folder, or judges: it searches all training data, longer than NCCL's 30 minutes.
LONGEST_WAIT = timedelta(days=1)


class Processes:
    """The processes of a run; every one must call each of these, in the same order.

    Args:
        arguments: of this one's Trainer, which joined the others.
    """

    def __init__(self, arguments: TrainingArguments) -> None:
        self.count, self.is_first = arguments.world_size, arguments.process_index == 0
        self._device = arguments.device
        self._patient = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT) if self.count > 1 else None

    def agreed(self, value: float) -> float:
        """The first one's value, in every process."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self._device)
        distributed.broadcast(told, 0)
        return float(told)

    def in_any(self, is_so: bool) -> bool:
        """Whether it is so in one process at least."""
        if self.count == 1:
            return is_so
        told = torch.tensor([float(is_so)], device=self._device)
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
        return bool(told)

    def differ(self, value: float) -> bool:
        """Whether one process has another value than the first."""
        return self.in_any(self.agreed(value) != value)

    def wait(self) -> None:
        """Until every process is here, however long one of them takes."""
        if self._patient is not None:
            distributed.barrier(self._patient)
