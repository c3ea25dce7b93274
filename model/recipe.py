"""How to train: every setting that decides the numbers, with a recipe for each size.  Imports no torch."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from model.config import ModelError


def _require(holds: bool, name: str, found: Any, expected: str) -> None:
    if not holds:
        raise ModelError(f"--{name.replace('_', '-')} is {found}, expected {expected}")


@dataclass(frozen=True)
class Recipe:
    """All that a run's losses depend on, besides its tokens.  A checkpoint of another recipe is refused."""

    n_ctx: int = 1024  # tokens of a sequence; Radford et al. 2019, section 2.3
    batch: int = 512  # sequences of a step; section 2.3
    micro_batch: int = 8  # sequences at a time; the gradients of a step's are added up
    steps: int = 20_000  # 10.5 billion tokens; llm.c reaches GPT-2's loss with 10.3
    lr: float = 6e-4  # Brown et al. 2020, table 2.1, for 125M
    final_lr: float = 0.1  # share of `lr` at the end
    warmup: int = 700  # steps; llm.c
    schedule: str = "cosine"  # or wsd: warm-up, stable, decay (Hu et al. 2024)
    decay: float = 0.2  # share of the steps in which wsd decays, linearly
    optimizer: str = "adamw"  # or muon for the matrices inside blocks (Jordan 2024)
    weight_decay: float = 0.1  # of tensors with two dimensions
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0  # largest norm of the gradient
    dropout: float = 0.0
    precision: str = "auto"  # bf16 where the processor multiplies it, else fp32
    mask_documents: bool = False  # no token looks beyond its own document
    recompute: bool = False  # activation checkpointing
    spike: str = "skip"  # what to do with a step whose loss jumps: skip, rollback, off
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_ctx", "batch", "micro_batch", "steps"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.steps < 10**8, "steps", self.steps, "at most 99,999,999")  # eight digits in a checkpoint's name
        _require(0 <= self.seed < 2**63, "seed", self.seed, "0 to 9,223,372,036,854,775,807")
        _require(self.batch % self.micro_batch == 0, "batch", self.batch, f"a multiple of micro_batch {self.micro_batch}")
        for name in ("lr", "clip"):
            _require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "a number above 0")
        for name in ("final_lr", "decay", "weight_decay", "dropout", "beta1", "beta2"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "a number from 0 to 1")
        _require(self.dropout < 1 and self.beta1 < 1 and self.beta2 < 1, "dropout, beta1 and beta2", 1, "below 1")
        _require(self.warmup >= 0, "warmup", self.warmup, "at least 0")
        for name, known in CHOICES.items():
            _require(getattr(self, name) in known, name, getattr(self, name), "one of " + ", ".join(known))


CHOICES = {
    "schedule": ("cosine", "wsd"),
    "optimizer": ("adamw", "muon"),
    "precision": ("auto", "bf16", "fp16", "fp32"),
    "spike": ("skip", "rollback", "off"),
}

RECIPES = {
    # Some 40,000 tokens on two cores in two minutes: dropout and a short run, because so little text is soon known by heart.
    "tiny": Recipe(n_ctx=128, batch=16, micro_batch=16, steps=400, lr=2e-3, warmup=40, dropout=0.1),
    "gpt2": Recipe(),
    # Learning rates: Brown et al. 2020, table 2.1, for 350M, 760M and 1.3B.
    "gpt2-medium": Recipe(lr=3e-4, micro_batch=4),
    "gpt2-large": Recipe(lr=2.5e-4, micro_batch=2, recompute=True),
    "gpt2-xl": Recipe(lr=2e-4, micro_batch=1, recompute=True),
}


def learning_rate(step: int, *, recipe: Recipe) -> float:
    """The rate of step `step`, the first being 0: a straight rise, then a cosine or a plain and a straight fall."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    low = recipe.lr * recipe.final_lr
    if recipe.schedule == "cosine":
        done = (step - recipe.warmup) / max(1, recipe.steps - 1 - recipe.warmup)
        return low + (recipe.lr - low) * (1 + math.cos(math.pi * min(1.0, done))) / 2
    falling = max(1, round(recipe.steps * recipe.decay))
    left = min(1.0, (recipe.steps - 1 - step) / falling)
    return low + (recipe.lr - low) * max(0.0, left)


def differences(found: dict[str, Any], wanted: Recipe) -> list[str]:
    """What a checkpoint's recipe has otherwise: `lr 0.001 (here 0.002)`."""
    here = asdict(wanted)
    return [
        f"{field.name} {found.get(field.name)} (here {here[field.name]})"
        for field in fields(Recipe)
        if found.get(field.name) != here[field.name]
    ]
