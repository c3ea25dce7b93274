"""Lets a GPT-2 write: temperature, top-k, top-p, many prompts at once, one position of work a token."""

import codecs
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.config import ModelError
from model.network import GPT2, Cache


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.  Defaults: the paper's own samples, top-k 40 at temperature 1 (section 3.6 takes k = 2)."""

    tokens: int = 128  # new ones, at most
    temperature: float = 1.0  # 0: always the likeliest
    top_k: int = 40  # 0: all
    top_p: float = 1.0  # the smallest set of tokens that holds this much probability (Holtzman et al. 2020)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ModelError(f"--tokens is {self.tokens}, expected at least 1")
        if not 0 <= self.temperature < math.inf:
            raise ModelError(f"--temperature is {self.temperature}, expected 0 (the likeliest token) or a finite number above")
        if self.top_k < 0:
            raise ModelError(f"--top-k is {self.top_k}, expected 0 (all tokens) or more")
        if not 0 < self.top_p <= 1:
            raise ModelError(f"--top-p is {self.top_p}, expected a number above 0, up to 1")
        if not 0 <= self.seed < 2**64:
            raise ModelError(f"--seed is {self.seed}, expected 0 to {2**64 - 1}")


def drawn(logits_BV: Tensor, *, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """One id a row, drawn from its logits.  Shape (B,)."""
    if sampling.temperature == 0:
        return logits_BV.argmax(dim=-1)
    logits_BV = logits_BV.float()
    logits_BV = logits_BV - logits_BV.amax(-1, keepdim=True)  # the likeliest at 0, which no temperature makes infinite
    logits_BV = logits_BV / max(sampling.temperature, torch.finfo(torch.float32).tiny)  # whose inverse is finite
    count = min(sampling.top_k or logits_BV.shape[-1], logits_BV.shape[-1])
    if sampling.top_p == 1.0 and not sampling.top_k:
        return torch.multinomial(logits_BV.softmax(-1), 1, generator=generator)[:, 0]
    values_BK, ids_BK = logits_BV.topk(count, dim=-1)  # falling
    probabilities = values_BK.softmax(-1)
    if sampling.top_p < 1.0:
        before = probabilities.cumsum(-1) - probabilities  # the likeliest token always stays
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    choice = torch.multinomial(probabilities, 1, generator=generator)
    return ids_BK.gather(1, choice)[:, 0]


@torch.no_grad()
def generated(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    sampling: Sampling,
    eot: int,
    base: GPT2 | None = None,
    cached: bool = True,
) -> Iterator[list[int]]:
    """The next id of every prompt, again and again, until `sampling.tokens` are out or every text has ended.

    A row that has ended repeats the end-of-text id.  Texts are padded on the left, and no token looks at padding.  When a text
    fills the context its older half is forgotten and all are read anew.  `cached=False` reads everything anew for every token.
    """
    network = base if base is not None else model
    assert isinstance(network, GPT2)
    device = network.lm_head.weight.device
    n_ctx = network.config.n_ctx
    generator = torch.Generator(device=device).manual_seed(sampling.seed)
    texts = [list(prompt)[-(n_ctx - 1) :] or [eot] for prompt in prompts]
    ended = torch.zeros(len(texts), dtype=torch.bool, device=device)
    cache = None
    for _ in range(sampling.tokens):
        longest = max(map(len, texts))
        if longest > n_ctx:  # what no longer fits is forgotten, half a context at a time
            texts = [text[-(n_ctx // 2 or 1) :] if len(text) > n_ctx else text for text in texts]
            longest, cache = max(map(len, texts)), None
        if cache is None:
            pads = torch.tensor([longest - len(text) for text in texts], device=device)
            fresh = torch.tensor([[eot] * (longest - len(text)) + text for text in texts], device=device)
            cache = Cache(network.config, batch=len(texts), device=device, dtype=_cache_dtype(network)) if cached else None
        logits_BTV = model(fresh, cache=cache, **_padding(pads, total=longest, fresh=fresh.shape[1]))
        chosen = drawn(logits_BTV[:, -1], sampling=sampling, generator=generator).masked_fill(ended, eot)
        ended |= chosen == eot
        row = chosen.tolist()
        yield row
        if ended.all():
            return
        fresh = chosen[:, None]
        for text, number in zip(texts, row, strict=True):
            text.append(number)


def _padding(pads_B: Tensor, *, total: int, fresh: int) -> dict[str, Tensor]:
    """Positions and mask of the last `fresh` of `total` columns where rows begin with padding; nothing where none does."""
    if not pads_B.any():
        return {}
    columns = torch.arange(total, device=pads_B.device)
    positions = (columns[None, -fresh:] - pads_B[:, None]).clamp(min=0)
    may_look = columns[None, None, :] <= columns[None, -fresh:, None]
    inside = columns[None, None, :] >= pads_B[:, None, None]
    itself = columns[None, None, :] == columns[None, -fresh:, None]  # a row of padding must look at something
    return {"positions": positions, "mask": ((may_look & inside) | itself)[:, None]}


def _cache_dtype(network: GPT2) -> torch.dtype:
    device = network.lm_head.weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else network.lm_head.weight.dtype


def text_of(ids: Sequence[int], *, decode_bytes: Callable[[list[int]], bytes]) -> str:
    """The text of ids; bytes that are no UTF-8 show as U+FFFD."""
    return decode_bytes(list(ids)).decode("utf-8", errors="replace")


class TextStream:
    """Text as it comes: whole characters only, a half one waits for its other bytes."""

    def __init__(self, *, decode_bytes: Callable[[list[int]], bytes]) -> None:
        self._decode_bytes = decode_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token: int) -> str:
        return self._decoder.decode(self._decode_bytes([token]))

    def end(self) -> str:
        return self._decoder.decode(b"", final=True)
