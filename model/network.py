"""GPT-2, exactly: Radford et al. 2019, section 2.3, and openai/gpt-2 `src/model.py`.

Shapes: B sequences, T tokens, C = n_embd channels, H heads, D = C / H, S = tokens a query may look at, V vocabulary.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.config import GPT2Config
from model.loss import cross_entropy, log_likelihoods


class Cache:
    """Keys and values of the tokens already read, for every layer, so that a new token costs one position."""

    def __init__(self, config: GPT2Config, *, batch: int, device: torch.device, dtype: torch.dtype) -> None:
        shape = (config.n_layer, 2, batch, config.n_head, config.n_ctx, config.n_embd // config.n_head)
        self.states = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    def extended(self, layer: int, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of all tokens, the new ones last.  `length` grows when the whole network has run."""
        end = self.length + k_BHTD.shape[2]
        self.states[layer, 0, :, :, self.length : end] = k_BHTD
        self.states[layer, 1, :, :, self.length : end] = v_BHTD
        return self.states[layer, 0, :, :, :end], self.states[layer, 1, :, :, :end]


class Projection(nn.Linear):
    """A linear layer that rests transposed in state dicts, (n_in, n_out), as OpenAI and Hugging Face keep it.

    Inside it is (n_out, n_in): bfloat16 products on a CPU take a third longer the other way round.
    """

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "weight"] = destination[prefix + "weight"].t()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        name = prefix + "weight"
        found = {key: value for key, value in state_dict.items() if key.startswith(prefix)}
        if name in found:
            found[name] = found[name].t()
        super()._load_from_state_dict(found, prefix, *rest)


class Attention(nn.Module):
    def __init__(self, config: GPT2Config, *, layer: int, dropout: float) -> None:
        super().__init__()
        self.layer, self.n_head, self.dropout = layer, config.n_head, dropout
        self.c_attn = Projection(config.n_embd, 3 * config.n_embd)
        self.c_proj = Projection(config.n_embd, config.n_embd)

    def forward(self, x_BTC: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        B, T, C = x_BTC.shape
        # Split, then view: one view to (B, T, 3, H, D) and a permutation costs a fifth of the step on a CPU.
        q, k, v = (part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for part in self.c_attn(x_BTC).split(C, 2))
        if cache is not None:
            k, v = cache.extended(self.layer, k, v)
        p = self.dropout if self.training else 0.0
        y_BHTD = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p, is_causal=mask is None and T > 1)
        y_BTC = self.c_proj(y_BHTD.transpose(1, 2).reshape(B, T, C))
        return F.dropout(y_BTC, p) if p else y_BTC


class MLP(nn.Module):
    def __init__(self, config: GPT2Config, *, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.c_fc = Projection(config.n_embd, 4 * config.n_embd)
        self.c_proj = Projection(4 * config.n_embd, config.n_embd)

    def forward(self, x_BTC: Tensor) -> Tensor:
        # The tanh form is GPT-2's; the erf form moves logits by 8e-4.
        y_BTC = self.c_proj(F.gelu(self.c_fc(x_BTC), approximate="tanh"))
        return F.dropout(y_BTC, self.dropout) if self.dropout and self.training else y_BTC


class Block(nn.Module):
    def __init__(self, config: GPT2Config, *, layer: int, dropout: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.attn = Attention(config, layer=layer, dropout=dropout)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.mlp = MLP(config, dropout=dropout)

    def forward(self, x_BTC: Tensor, mask: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        x_BTC = x_BTC + self.attn(self.ln_1(x_BTC), mask, cache)
        return x_BTC + self.mlp(self.ln_2(x_BTC))


class Transformer(nn.Module):
    """All but the output, under the published names."""

    def __init__(self, config: GPT2Config, *, dropout: float) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.n_vocab, config.n_embd)
        self.wpe = nn.Embedding(config.n_ctx, config.n_embd)
        self.h = nn.ModuleList(Block(config, layer=layer, dropout=dropout) for layer in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=1e-5)


class GPT2(nn.Module):
    """GPT-2 with its output tied to its embedding.  `state_dict` has the keys and shapes of `GPT2LMHeadModel`.

    `recompute` keeps only the blocks' inputs for the backward pass: less memory, a third more work.
    """

    def __init__(self, config: GPT2Config, *, dropout: float = 0.0, recompute: bool = False) -> None:
        super().__init__()
        self.config, self.dropout, self.recompute = config, dropout, recompute
        self.transformer = Transformer(config, dropout=dropout)
        self.lm_head = nn.Linear(config.n_embd, config.n_vocab, bias=False)
        self.lm_head.weight = self.transformer.wte.weight
        self.register_load_state_dict_pre_hook(_with_published_names)

    def initialise(self, *, seed: int) -> None:
        """Draws every weight anew: normal, 0.02, positions 0.01, ends of residual branches 0.02 / sqrt(2 * n_layer).

        Radford et al. 2019, section 2.3, for the residual factor; openai/gpt-2 `src/model.py` for the rest.
        """
        generator = torch.Generator(device=self.lm_head.weight.device).manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif ".ln_" in name:
                nn.init.ones_(parameter)
            else:
                std = 0.01 if "wpe" in name else 0.02
                if name.endswith("c_proj.weight"):
                    std /= math.sqrt(2 * self.config.n_layer)
                nn.init.normal_(parameter, std=std, generator=generator)

    def hidden(
        self,
        ids_BT: Tensor,
        *,
        documents_BT: Tensor | None = None,
        cache: Cache | None = None,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """States after the last layer norm, shape (B, T, C).

        `documents_BT` numbers the document of each token: none looks beyond its own.  With a `cache` the ids are those that
        follow what it holds.  `positions` and a boolean `mask` (True: may look) replace the usual ones.
        """
        past = 0 if cache is None else cache.length
        T = ids_BT.shape[1]
        if past + T > self.config.n_ctx:
            raise ValueError(f"{past + T} tokens, the network reads at most {self.config.n_ctx}")
        if positions is None:
            positions = torch.arange(past, past + T, device=ids_BT.device)
        if mask is None and documents_BT is not None:
            mask = document_mask(documents_BT)
        if mask is None and past and T > 1:
            mask = torch.ones(T, past + T, dtype=torch.bool, device=ids_BT.device).tril(past)
        x_BTC = self.transformer.wte(ids_BT) + self.transformer.wpe(positions)
        if self.dropout and self.training:
            x_BTC = F.dropout(x_BTC, self.dropout)
        for block in self.transformer.h:
            if self.recompute and self.training:
                x_BTC = checkpoint(block, x_BTC, mask, cache, use_reentrant=False)
            else:
                x_BTC = block(x_BTC, mask, cache)
        if cache is not None:
            cache.length += T
        return self.transformer.ln_f(x_BTC)

    def forward(
        self,
        ids_BT: Tensor,
        targets_BT: Tensor | None = None,
        *,
        documents_BT: Tensor | None = None,
        cache: Cache | None = None,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, T, V), with a cache only the last token's (B, 1, V); with targets the mean loss in nats.

        The loss never holds all logits.
        """
        x_BTC = self.hidden(ids_BT, documents_BT=documents_BT, cache=cache, positions=positions, mask=mask)
        if targets_BT is not None:
            return cross_entropy(x_BTC.flatten(0, 1), self.lm_head.weight, targets_BT.flatten())
        return self.lm_head(x_BTC[:, -1:] if cache is not None else x_BTC)

    def log_likelihoods(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Log-probability in nats of every target, shape (B, T), without gradients."""
        with torch.no_grad():
            x_BTC = self.hidden(ids_BT)
            return log_likelihoods(x_BTC.flatten(0, 1), self.lm_head.weight, targets_BT.flatten()).view(targets_BT.shape)


def document_mask(documents_BT: Tensor) -> Tensor:
    """True where a token may look: back, and inside its own document.  Shape (B, 1, T, T)."""
    T = documents_BT.shape[1]
    same = documents_BT[:, None, :, None] == documents_BT[:, None, None, :]
    return same & torch.ones(T, T, dtype=torch.bool, device=documents_BT.device).tril()


def documents(ids_BT: Tensor, *, eot: int) -> Tensor:
    """The number of each token's document.  An end-of-text id opens the next one: samples begin after it too."""
    return (ids_BT == eot).cumsum(1)


def _with_published_names(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Accepts what the hub calls `gpt2`: no `transformer.` in front, mask buffers inside, no `lm_head`."""
    if f"{prefix}wte.weight" in state_dict:
        for name in [name for name in state_dict if name.startswith(prefix) and not name.startswith(f"{prefix}lm_head")]:
            state_dict[f"{prefix}transformer.{name[len(prefix) :]}"] = state_dict.pop(name)
    for name in [name for name in state_dict if name.endswith((".attn.bias", ".attn.masked_bias"))]:
        del state_dict[name]
    if f"{prefix}transformer.wte.weight" in state_dict:
        state_dict.setdefault(f"{prefix}lm_head.weight", state_dict[f"{prefix}transformer.wte.weight"])
