"""One training step (forward, backward, clip, AdamW) of GPT-2: transformers 5, nanoGPT's recipe, ours.  CPU seconds.

    python benchmarks/gpt2_step.py [--layers 6 --width 384 --length 256 --batch 4] [--threads 1] [--rounds 5]

Same tokens, same threads, one process; rounds alternate between the rows, the best of each counts.  Our rows and that of
transformers begin at the same weights, so that their losses must agree; nanoGPT's has its own.
nanoGPT's row is its published recipe on the processor: erf GELU, one matrix of all logits, float32, AdamW not fused.
"""

import argparse
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812
import transformers
from torch import Tensor, nn

from model import GPT2, GPT2Config
from model.optimizer import gradient_norm, optimizers
from model.recipe import Recipe

LR = 6e-4


class NanoBlock(nn.Module):
    """A block as nanoGPT writes it: linear layers, scaled dot product attention, erf GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).split(width, dim=2)
        q, k, v = (part.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for part in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).contiguous().view(batch, length, width)
        x = x + self.c_proj(y)
        return x + self.out(F.gelu(self.c_fc(self.ln_2(x))))


class Nano(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(50304, config.n_embd), nn.Embedding(config.n_ctx, config.n_embd)
        self.h = nn.ModuleList(NanoBlock(config.n_embd, config.n_head) for _ in range(config.n_layer))
        self.ln_f, self.lm_head = nn.LayerNorm(config.n_embd), nn.Linear(config.n_embd, 50304, bias=False)
        self.wte.weight = self.lm_head.weight
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1), ignore_index=-1)


def peer_step(loss: Callable[[], Tensor], model: nn.Module) -> Callable[[], float]:
    groups = [
        {"params": [each for each in model.parameters() if each.dim() >= 2], "weight_decay": 0.1},
        {"params": [each for each in model.parameters() if each.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.95))

    def step() -> float:
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return value.item()

    return step


def our_step(config: GPT2Config, ids: Tensor, weights: Mapping[str, Tensor], *, bf16: bool) -> Callable[[], float]:
    model = GPT2(config)
    model.load_state_dict(weights)
    made = optimizers(model, recipe=Recipe(lr=LR))

    def step() -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            value = model(ids[:, :-1], ids[:, 1:])
        value.backward()
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        factor = min(1.0, 1.0 / (gradient_norm(gradients).item() + 1e-6))
        if factor != 1.0:
            torch._foreach_mul_(gradients, factor)
        for optimizer in made:
            optimizer.step()
        for each in model.parameters():
            each.grad = None
        return value.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("layers", 6), ("width", 384), ("length", 256), ("batch", 4), ("threads", 1), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = GPT2Config(n_ctx=options.length, n_embd=options.width, n_layer=options.layers, n_head=options.width // 64)
    ids = torch.randint(config.n_vocab, (options.batch, options.length + 1))
    off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "use_cache": False}
    shape = {"n_positions": options.length, "n_embd": options.width, "n_layer": options.layers, "n_head": config.n_head}
    peer = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, **off)).train()
    nano = Nano(config).train()

    def peer_loss() -> Tensor:  # `labels` would be shifted inside: give it logits and targets as every row has them
        logits = peer(ids[:, :-1]).logits
        return F.cross_entropy(logits.view(-1, logits.size(-1)), ids[:, 1:].reshape(-1))

    weights = {name: value.clone() for name, value in peer.state_dict().items()}
    rows: dict[str, Callable[[], float]] = {
        "transformers, fp32": peer_step(peer_loss, peer),
        "nanoGPT's recipe, fp32": peer_step(lambda: nano(ids[:, :-1], ids[:, 1:]), nano),
        "ours, fp32": our_step(config, ids, weights, bf16=False),
        "ours, bf16 (the default)": our_step(config, ids, weights, bf16=True),
    }
    best = dict.fromkeys(rows, float("inf"))
    losses: dict[str, float] = {}
    for _ in range(options.rounds + 1):  # the first pass warms up
        for name, step in rows.items():
            started = time.process_time()
            losses[name] = step()
            if _:
                best[name] = min(best[name], time.process_time() - started)
    work = f"{options.layers}x{options.width}, {options.batch} x {options.length} tokens, {options.threads} thread(s)"
    print(f"{work}; torch {torch.__version__}, transformers {transformers.__version__}")
    base = best["transformers, fp32"]
    for name, seconds in best.items():
        print(f"{name:<26}{seconds * 1000:>9.0f} CPU ms a step{base / seconds:>8.2f}x transformers   loss {losses[name]:.3f}")


if __name__ == "__main__":
    main()
