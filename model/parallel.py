"""One process or many: DDP, FSDP2, and the few sums that ranks share.  Started by torchrun."""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Replicate
from torch.nn.parallel import DistributedDataParallel

from model.config import ModelError
from model.network import GPT2


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run."""

    rank: int = 0
    world: int = 1
    mesh: DeviceMesh | None = None

    @classmethod
    def join(cls) -> "Ranks":
        """Joins the processes torchrun started; alone without it."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        if kind == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
        return cls(dist.get_rank(), world, init_device_mesh(kind, (world,)))

    def leave(self) -> None:
        if self.world > 1:
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """The mean over ranks of equal shares."""
        return self.sum(value) / self.world

    def sum(self, value: Tensor) -> Tensor:
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def largest(self, value: int, *, device: torch.device) -> int:
        """The largest of the ranks' numbers."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, device=device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return int(shared)

    def told(self, value: Any) -> Any:
        """What rank 0 says, on every rank."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]


def spread(model: GPT2, *, ranks: Ranks, how: str) -> nn.Module:
    """The model as the ranks train it: itself, in DDP, or its blocks' weights sharded by FSDP2."""
    if ranks.world == 1:
        return model
    if how == "ddp":
        return DistributedDataParallel(model, gradient_as_bucket_view=True)
    if how != "fsdp":
        raise ModelError(f"--parallel is {how}, expected ddp or fsdp")
    assert ranks.mesh is not None
    for block in model.transformer.h:
        fully_shard(block, mesh=ranks.mesh)
    fully_shard(model, mesh=ranks.mesh)
    return model


def sync_gradients(model: nn.Module, *, now: bool) -> None:
    """Whether the next backward pass adds up gradients over ranks: only the last micro-batch's of a step."""
    if isinstance(model, DistributedDataParallel):
        model.require_backward_grad_sync = now
    elif isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(now)


def whole(tensor: Tensor) -> Tensor:
    """A copy of a tensor's value on the processor, gathered from all ranks if it is sharded."""
    tensor = tensor.detach()
    if isinstance(tensor, DTensor):
        tensor = tensor.full_tensor()
    return tensor.to("cpu", copy=True)


def sharded_like(value: Tensor, *, like: Tensor) -> Tensor:
    """`value`, laid over ranks and devices as `like` is."""
    if not isinstance(like, DTensor) or value.dim() == 0:
        return value.to(like.device)
    replicated = DTensor.from_local(value.to(like.device), like.device_mesh, [Replicate()])
    return replicated.redistribute(placements=like.placements)
