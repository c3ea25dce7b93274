"""The shapes of GPT-2: four published sizes and one that trains on a laptop.  Imports no torch."""

from dataclasses import dataclass

from pipeline.schema import PipelineError


class ModelError(PipelineError):
    """A checkpoint, token shard or setting that a person must mend."""


@dataclass(frozen=True)
class GPT2Config:
    """Shape of a GPT-2.  Names as in openai/gpt-2 `src/model.py`."""

    n_vocab: int = 50257
    n_ctx: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12

    def __post_init__(self) -> None:
        for name in ("n_vocab", "n_ctx", "n_embd", "n_layer", "n_head"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.n_embd % self.n_head:
            raise ModelError(f"n_embd {self.n_embd} is no multiple of n_head {self.n_head}: heads share it evenly")

    @property
    def parameters(self) -> int:
        """Weights and biases, the tied embedding counted once."""
        block = 12 * self.n_embd**2 + 13 * self.n_embd
        return (self.n_vocab + self.n_ctx) * self.n_embd + self.n_layer * block + 2 * self.n_embd

    def flops_per_token(self, *, length: int | None = None) -> int:
        """Floating-point operations of one trained token, forward and backward, in a sequence of `length`.

        6 for each weight but the positions', 12 * layers * n_embd * length for attention: PaLM (2022), appendix B,
        with causal attention counted whole, as nanoGPT's `estimate_mfu` does.
        """
        return 6 * (self.parameters - self.n_ctx * self.n_embd) + 12 * self.n_layer * self.n_embd * (length or self.n_ctx)


# Radford et al. 2019, table 2.  Heads of 64 dimensions: 12, 16, 20, 25 in the released hparams.json.
SIZES = {
    "tiny": GPT2Config(n_ctx=128, n_embd=128, n_layer=4, n_head=4),
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "gpt2-large": GPT2Config(n_embd=1280, n_layer=36, n_head=20),
    "gpt2-xl": GPT2Config(n_embd=1600, n_layer=48, n_head=25),
}
