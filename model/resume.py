"""A run's tensors out of the network and its optimisers into a checkpoint, and back in place."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import Checkpoint, CheckpointError
from model.network import GPT2
from model.parallel import sharded_like, whole
from model.recipe import Recipe, differences
from model.run import short


def weights_out(network: GPT2) -> dict[str, Tensor]:
    """Copies on the processor, whole even where ranks share them, under the published names.  Every rank has to call it."""
    return {name: whole(tensor) for name, tensor in network.state_dict().items() if name != "lm_head.weight"}


def moments_out(network: GPT2, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """What the optimisers remember of each parameter, as `NAME/KEY`.  Every rank has to call it."""
    return {
        f"{name}/{key}": whole(value)
        for name, parameter, optimizer in _owned(network, optimizers)
        for key, value in optimizer.state.get(parameter, {}).items()
    }


@torch.no_grad()
def tensors_in(kept: Checkpoint, *, network: GPT2, optimizers: list[torch.optim.Optimizer]) -> None:
    """Writes a checkpoint's weights and moments over the present ones."""
    for name, tensor in network.state_dict().items():
        if name != "lm_head.weight":
            tensor.copy_(sharded_like(kept.weights[name], like=tensor))
    held: dict[str, dict[str, Tensor]] = {}
    for name, value in kept.moments.items():
        parameter_name, key = name.split("/")
        held.setdefault(parameter_name, {})[key] = value
    for name, parameter, optimizer in _owned(network, optimizers):
        optimizer.state.pop(parameter, None)
        if name in held:
            optimizer.state[parameter] = {key: sharded_like(value, like=parameter) for key, value in held[name].items()}


def _owned(network: GPT2, optimizers: list[torch.optim.Optimizer]) -> Iterator[tuple[str, Tensor, torch.optim.Optimizer]]:
    owner = {id(each): optimizer for optimizer in optimizers for group in optimizer.param_groups for each in group["params"]}
    for name, parameter in network.named_parameters():
        yield name, parameter, owner[id(parameter)]


def refuse_another_run(kept: Checkpoint, *, recipe: Recipe, identity: dict[str, Any]) -> None:
    """Raises if a checkpoint is of another recipe, network, tokenizer or corpus; the sentence names each difference."""
    wrong = differences(kept.state["recipe"], recipe)
    for name, here in identity.items():
        if kept.state[name] != here:
            wrong.append(f"{name} {short(kept.state[name])} (here {short(here)})")
    if wrong:
        raise CheckpointError(
            f"{kept.path}: was trained with {', '.join(wrong)}. Give the same settings and tokens again, or another --output."
        )
