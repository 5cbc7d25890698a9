"""Several processes, one for each GPU, that train the same networks on their parts of each batch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import distributed


class Group:
    """The processes that train together. A group of one process does nothing.

    Args:
        rank, size: which process this is, of how many.
        meeting: a file that does not exist yet, through which the processes find each other.
        device: of this process.
    """

    def __init__(self, rank: int = 0, size: int = 1, meeting: Path | None = None, device: str = "cpu") -> None:
        self.rank, self.size = rank, size
        if size > 1:
            assert meeting is not None
            backend = "nccl" if device.startswith("cuda") else "gloo"
            distributed.init_process_group(backend, init_method=meeting.as_uri(), rank=rank, world_size=size)

    def average_gradients(self, network: torch.nn.Module) -> None:
        """Replace the gradients with their mean over the processes, in one message."""
        if self.size == 1:
            return
        gradients = [value.grad for value in network.parameters() if value.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        for gradient, piece in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(piece.view_as(gradient))

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Return the mean of a number over the processes."""
        if self.size == 1:
            return value
        value = value.detach().clone()
        distributed.all_reduce(value)
        return value / self.size

    def any(self, value: bool, device: torch.device) -> bool:
        """Return whether ``value`` is true in any process."""
        if self.size == 1:
            return value
        return bool(self.mean(torch.tensor(float(value), device=device)).item() > 0)

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.size > 1:
            distributed.barrier()

    def close(self) -> None:
        """End the communication between the processes."""
        if self.size > 1:
            distributed.destroy_process_group()
