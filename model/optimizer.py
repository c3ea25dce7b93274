"""GPT-2's optimiser: AdamW in two groups, Muon for the blocks' matrices if asked, and the scale of float16 losses."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.recipe import Recipe

GROWTH_STEPS = 2000  # sound steps after which the float16 scale doubles; torch.amp.GradScaler's


def optimizers(model: nn.Module, *, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """One AdamW, or Muon for matrices inside blocks and AdamW for the rest.  Biases and layer norms do not decay."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    made: list[torch.optim.Optimizer] = []
    if recipe.optimizer == "muon":
        inside = [parameter for name, parameter in named if ".h." in name and parameter.dim() == 2]
        # The update is scaled to AdamW's root mean square, so that one learning rate serves both (Liu et al. 2025).
        made.append(torch.optim.Muon(inside, lr=recipe.lr, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"))
        named = [(name, parameter) for name, parameter in named if not (".h." in name and parameter.dim() == 2)]
    groups = [
        {"params": [parameter for _, parameter in named if parameter.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [parameter for _, parameter in named if parameter.dim() < 2], "weight_decay": 0.0},
    ]
    return [*made, torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.beta1, recipe.beta2), fused=True)]


def set_learning_rate(made: Iterable[torch.optim.Optimizer], *, lr: float) -> None:
    for optimizer in made:
        for group in optimizer.param_groups:
            group["lr"] = lr


@dataclass
class LossScale:
    """Keeps float16 gradients in range: halved when one overflows, doubled after 2,000 sound steps (Micikevicius et al. 2018)."""

    scale: float = 1.0
    sound: int = 0
    grows: bool = False

    @classmethod
    def of(cls, precision: str) -> "LossScale":
        return cls(scale=2.0**16, grows=True) if precision == "fp16" else cls()

    def update(self, *, finite: bool) -> None:
        if not self.grows:
            return
        self.sound = self.sound + 1 if finite else 0
        if not finite:
            self.scale = max(1.0, self.scale / 2)
        elif self.sound == GROWTH_STEPS:
            self.scale, self.sound = min(2.0**24, self.scale * 2), 0


def gradient_norm(gradients: list[Tensor]) -> Tensor:
    """Euclidean norm of all gradients together, over all ranks if they are sharded."""
    norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
