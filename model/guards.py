"""Steps that would spoil the weights: found before the update, by rule."""

import math
from collections import deque
from dataclasses import dataclass, field

from model.config import ModelError

WINDOW = 64  # losses of accepted steps a new one is compared with; llm.c takes 128, too many for a short run
SIGMA = 6.0  # standard deviations above their mean that make a spike
FLOOR = 0.2  # nats: smaller jumps are noise whatever their sigma
MOST_IN_A_ROW = 10  # bad steps after which the run has diverged


@dataclass
class Guard:
    """Says of each step whether it may change the weights, and counts those that may not."""

    rule: str = "skip"
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    skipped: int = 0
    in_a_row: int = 0
    rollbacks: int = 0

    def verdict(self, *, loss: float, norm: float) -> str | None:
        """None: take the step.  Else why not.  The answer depends on the losses alone, so that a resumed run decides alike."""
        why = None
        if not math.isfinite(loss):
            why = "non-finite loss"
        elif not math.isfinite(norm):
            why = "non-finite gradient"
        elif self.rule != "off" and len(self.losses) == WINDOW:
            mean = sum(self.losses) / WINDOW
            deviation = math.sqrt(sum((each - mean) ** 2 for each in self.losses) / WINDOW)
            if loss > mean + max(SIGMA * deviation, FLOOR):
                why = "loss spike"
        if why is None:
            self.losses.append(loss)
            self.in_a_row = 0
            return None
        self.skipped += 1
        self.in_a_row += 1
        return why

    def check(self, *, step: int, why: str) -> None:
        """Raises when too many steps in a row were bad: the weights are still those of the last step that was taken."""
        if self.in_a_row >= MOST_IN_A_ROW:
            raise ModelError(
                f"the last {self.in_a_row} steps, up to step {step}, were skipped ({why}): the run has diverged. "
                f"The weights saved are those after step {step - self.in_a_row}, the last one taken, which may itself have "
                "spoiled them. Lower --lr, or use --precision fp32, in another --output."
            )
