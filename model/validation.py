"""How well a network in training predicts text it does not learn from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.parallel import Ranks
from model.tokens import TokenShards, windows_in_order
from tokenizer import Tokenizer


@torch.no_grad()
def validation_loss(
    forward: Callable[[np.ndarray], tuple[Tensor, int]],
    *,
    network: nn.Module,
    shards: TokenShards,
    length: int,
    batch: int,
    max_tokens: int,
    ranks: Ranks,
    before_each: Callable[[], None],
) -> float:
    """Mean loss over the validation tokens, each predicted once, from inside its window.  Ranks share the work.

    `forward` gives the mean loss of an array of windows and the number of its targets; `before_each` may raise to end it.
    """
    network.eval()
    totals: Any = None
    arrays = list(windows_in_order(shards, length=length, batch=batch, max_tokens=max_tokens))
    try:
        for first in range(0, len(arrays), ranks.world):
            before_each()
            mine = first + ranks.rank
            loss, count = forward(arrays[min(mine, len(arrays) - 1)])  # beyond the end for nothing: every rank has to take part
            weight = count if mine < len(arrays) else 0
            part = torch.stack([loss.double() * weight, torch.tensor(float(weight), dtype=torch.float64, device=loss.device)])
            totals = part if totals is None else totals + part
    finally:
        network.train()
    nats, tokens = ranks.sum(totals).tolist()
    return nats / tokens


def bytes_per_token(shards: TokenShards, *, vocabulary: Tokenizer, max_tokens: int) -> float:
    """Of the tokens a validation loss is taken over; the end-of-text id is worth no byte."""
    count = min(shards.tokens - 1, max_tokens)
    ids = shards.read(np.array([1]), length=count)[0]
    return len(vocabulary.decode_bytes(ids[ids != shards.eot].tolist())) / count
