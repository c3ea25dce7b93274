"""One step of training: the gradient of a batch, summed over micro-batches and ranks, and the update."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from model.config import ModelError
from model.device import DTYPES
from model.network import GPT2, documents
from model.optimizer import LossScale, gradient_norm, optimizers, set_learning_rate
from model.parallel import Ranks, spread, sync_gradients
from model.recipe import Recipe
from model.tokens import Batches


class Step:
    """A network with its optimisers, over the ranks of a run."""

    def __init__(self, network: GPT2, *, recipe: Recipe, batches: Batches, ranks: Ranks, parallel: str) -> None:
        self.network, self.recipe, self.batches, self.ranks = network, recipe, batches, ranks
        self.device = network.lm_head.weight.device
        self.model = spread(network, ranks=ranks, how=parallel)
        self.optimizers = optimizers(network, recipe=recipe)
        self.scale = LossScale.of(recipe.precision)
        self.rows, self.micro = share(recipe, ranks=ranks)

    def gradient(self, batch: int, *, before_each: Callable[[], None]) -> tuple[float, float]:
        """Loss and gradient norm of a batch; the gradients, times the loss scale, lie in the parameters.

        `before_each` is called before each micro-batch and may raise to end the step.
        """
        count = self.rows // self.micro
        total = torch.zeros((), device=self.device)
        for index in range(count):
            before_each()
            rows = self.batches.rows(batch, first=self.ranks.rank * self.rows + index * self.micro, count=self.micro)
            sync_gradients(self.model, now=index == count - 1)
            loss, _ = self.loss(rows)
            (loss * (self.scale.scale / count)).backward()
            total += loss.detach() / count
        norm = gradient_norm(self._gradients())
        loss_value, norm_value = torch.stack(
            [self.ranks.mean(total), norm.to(total)]
        ).tolist()  # the one wait for the device
        return loss_value, norm_value / self.scale.scale

    def loss(self, rows: np.ndarray) -> tuple[Tensor, int]:
        """Mean loss of windows of ids and targets, and the number of targets."""
        ids = torch.from_numpy(rows).to(self.device).long()
        ids_BT, targets_BT = ids[:, :-1], ids[:, 1:]
        documents_BT = documents(ids_BT, eot=self.batches.shards.eot) if self.recipe.mask_documents else None
        with self.autocast():
            return self.model(ids_BT, targets_BT, documents_BT=documents_BT), targets_BT.numel()

    def update(self, *, lr: float, norm: float) -> None:
        """Clips the gradients, undoes the loss scale, and lets the optimisers step."""
        factor = min(1.0, self.recipe.clip / (norm + 1e-6)) / self.scale.scale
        if factor != 1.0:
            torch._foreach_mul_(self._gradients(), factor)
        set_learning_rate(self.optimizers, lr=lr)
        for optimizer in self.optimizers:
            optimizer.step()

    def clear(self) -> None:
        """Forgets the gradients."""
        for parameter in self.model.parameters():
            parameter.grad = None

    def autocast(self) -> torch.autocast:
        """The recipe's arithmetic."""
        dtype = DTYPES[self.recipe.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32)

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]


def share(recipe: Recipe, *, ranks: Ranks) -> tuple[int, int]:
    """Sequences of a step, and of a micro-batch, that fall to one rank."""
    if recipe.batch % ranks.world:
        raise ModelError(
            f"a batch of {recipe.batch} sequences cannot be shared by {ranks.world} ranks. "
            "Start with a rank count that divides it."
        )
    rows = recipe.batch // ranks.world
    return rows, math.gcd(rows, recipe.micro_batch)
