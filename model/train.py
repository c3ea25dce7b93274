"""Token shards in, checkpoints out.  The same bits whether or not it was killed on the way.

Everything random is a function of (seed, step, rank) or of (seed, batch): the order of windows, dropout, samples.  So a
checkpoint's step and batch numbers are the state of every generator, and a resumed run repeats the killed one's losses.
"""

import contextlib
import math
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TextIO

import torch
from torch import Tensor

from model import checkpoint as files
from model.config import SIZES, ModelError
from model.device import peak_flops, pick_device, precision_here
from model.guards import MOST_IN_A_ROW, Guard
from model.journal import Journal, writing
from model.load import weights_digest, weights_of
from model.network import GPT2
from model.parallel import Ranks
from model.recipe import Recipe, learning_rate
from model.resume import moments_out, refuse_another_run, tensors_in, weights_out
from model.run import Outcome, Run, Signals, Stopped, manifest_hash, seed_of, short, vocabulary_beside
from model.sample import Sampling, generated, text_of
from model.step import Step, share
from model.tokens import Batches, TokenShards
from model.validation import bytes_per_token, validation_loss

SAMPLE = Sampling(tokens=96, top_k=40)
MOST_ROLLBACKS = 10


def train(run: Run, *, recipe: Recipe, size: str, stream: TextIO) -> Outcome:
    """Trains until the last step or a signal, from the newest checkpoint in `run.output` if there is one."""
    ranks = Ranks.join()
    try:
        with contextlib.ExitStack() as stack:
            signals = stack.enter_context(Signals().watched())
            refusal = None
            if ranks.first:
                try:
                    stack.enter_context(files.only_trainer(run.output))
                    files.sweep(run.output)
                except ModelError as error:
                    refusal = str(error)
            refusal = ranks.told(refusal)
            if refusal:
                raise ModelError(refusal)
            trainer = Trainer(run, recipe=recipe, size=size, ranks=ranks, signals=signals, stream=stream)
            return trainer.run_to_the_end()
    finally:
        ranks.leave()


class Trainer:
    """One process of a run: `step` updates done, `batch` batches taken."""

    def __init__(self, run: Run, *, recipe: Recipe, size: str, ranks: Ranks, signals: Signals, stream: TextIO) -> None:
        self.run, self.ranks, self.signals = run, ranks, signals
        self.device = pick_device()
        if recipe.precision == "auto":
            recipe = replace(recipe, precision=precision_here(self.device))
        self.recipe = recipe
        self.training = TokenShards(run.tokens, split="train")
        self.validation = TokenShards(run.tokens, split="validation")
        if (self.validation.tokenizer, self.validation.n_vocab) != (self.training.tokenizer, self.training.n_vocab):
            raise ModelError(f"{run.tokens}: train and validation are of different tokenizers. Run `webtext tokens` again.")
        if self.validation.tokens < 2:
            raise ModelError(f"{run.tokens}: the validation shards hold {self.validation.tokens} token, expected at least 2.")
        share(recipe, ranks=ranks)
        self.vocabulary = vocabulary_beside(run, fingerprint=self.training.tokenizer)
        if self.vocabulary is not None:
            self.bytes_per_token = bytes_per_token(self.validation, vocabulary=self.vocabulary, max_tokens=run.eval_tokens)
        self.config = replace(SIZES[size], n_vocab=self.training.n_vocab, n_ctx=recipe.n_ctx)
        self.step = self.batch = 0
        self.guard = Guard(rule=recipe.spike)
        self.best: dict[str, Any] = {}
        self.begun_from = None if run.weights is None else weights_digest(weights_of(run.weights).weights)
        self.evaluated = self.saved = -1
        self.validation_losses: list[float] = []
        self.sample = ""
        self.writer = files.Writer()

        found = files.checkpoints(run.output)
        kept = files.load(found[-1]) if found else None
        if kept is not None:
            refuse_another_run(kept, recipe=recipe, identity=self._identity())
        torch.set_num_threads(run.threads or (kept.state["threads"] if kept else torch.get_num_threads()))
        torch.set_float32_matmul_precision("high" if self.device.type == "cuda" else "highest")
        network = GPT2(self.config, dropout=recipe.dropout, recompute=recipe.recompute)
        if kept is None:
            network.initialise(seed=recipe.seed)
            if run.weights is not None:
                network.load_state_dict(self._first_weights())
        network.to(self.device)
        self.compiled = run.compile if run.compile is not None else self.device.type == "cuda"
        if self.compiled:
            for block in network.transformer.h:
                block.compile()
        batches = Batches(self.training, length=recipe.n_ctx, batch=recipe.batch, seed=recipe.seed)
        self.steps = Step(network, recipe=recipe, batches=batches, ranks=ranks, parallel=run.parallel)
        if kept is not None:
            self._restore(kept)
            self.batch = kept.state["batch"]
            self.saved = self.step
        self.journal = None
        if ranks.first:
            tokens = recipe.batch * recipe.n_ctx
            self.journal = Journal(
                run.output,
                stream=stream,
                steps=recipe.steps,
                tokens_per_step=tokens,
                flops_per_step=tokens * self.config.flops_per_token() / ranks.world,
                peak=peak_flops(self.device),
            )
            self.journal.open(step=self.step, evaluated=self.evaluated)
            self._introduce(kept)

    def _first_weights(self) -> dict[str, Tensor]:
        """The weights to begin with, if their shape is this run's."""
        assert self.run.weights is not None
        config, weights, path, tokenizer = weights_of(self.run.weights)
        if config != self.config or tokenizer not in (None, self.training.tokenizer):
            raise ModelError(
                f"{path}: holds a {config}, tokenizer {short(tokenizer)}; this run is a {self.config}, tokenizer "
                f"{short(self.training.tokenizer)}. Give the same size and tokens, or leave --weights out."
            )
        return weights

    # ---- the loop ----

    def run_to_the_end(self) -> Outcome:
        stopped = None
        self._warm_up()
        try:
            while True:
                self._look_up()
                if self.step == self.recipe.steps:
                    break
                self._advance()
        except Stopped:
            stopped = self.ranks.largest(self.signals.received, device=self.device)
            self._save(unscheduled=True)
        except ModelError:
            # Once: a repeat would push the checkpoints from before out of those that are kept.
            if 0 < self.guard.in_a_row <= MOST_IN_A_ROW and self.step:
                self._save(unscheduled=True)
            raise
        finally:
            curve = self.run.output / "loss.png"
            try:
                self.writer.wait()
                if self.journal is not None:
                    curve = self.journal.draw()
            finally:
                if self.journal is not None:
                    self.journal.close()
        losses = self.validation_losses or [math.nan]
        return Outcome(self.step, losses[0], losses[-1], self.best, curve, self.sample, stopped)

    def _warm_up(self) -> None:
        """A pass that nobody reads.  On busy virtual machines the first one of a process was seen to come out 1e-5 off, three
        times in some five hundred processes, and no later one ever: it must not be the one that a resumed run goes on from."""
        if self.device.type != "cpu" or self.compiled:
            return
        ids = torch.zeros(self.steps.micro, self.recipe.n_ctx, dtype=torch.long)
        self.steps.model.eval()
        with torch.no_grad(), self.steps.autocast():
            self.steps.model(ids, ids)
        self.steps.model.train()

    def _advance(self) -> None:
        """One step: gradients of a batch, the guard's verdict, the update."""
        lr = learning_rate(self.step, recipe=self.recipe)
        if self.recipe.dropout:
            torch.manual_seed(seed_of(self.recipe.seed, self.step, self.batch, self.ranks.rank))
        loss, norm = self._gradient()
        why = self.guard.verdict(loss=loss, norm=norm)
        if why is None:
            self.steps.update(lr=lr, norm=norm)
        self.steps.scale.update(finite=math.isfinite(norm))
        self.steps.clear()
        if why == "loss spike" and self.recipe.spike == "rollback" and self._rolled_back(loss):
            return
        self.step += 1
        self.batch += 1
        if self.journal is not None:
            finite = loss if math.isfinite(loss) else None
            if why is None:
                self.journal.record(self.step, loss=loss, gradient_norm=norm, lr=lr)
                self.journal.show(self.step, loss=loss, lr=lr)
            else:
                self.journal.record(self.step, loss=finite, skipped=why)
                self.journal.say(f"step {self.step:,} skipped: {why} ({loss:.4f}); {self.guard.skipped:,} skipped so far")
        if why is not None:
            self.guard.check(step=self.step, why=why)

    def _gradient(self) -> tuple[float, float]:
        return self.steps.gradient(self.batch, before_each=self._stop_if_asked)

    def _stop_if_asked(self) -> None:
        """Between micro-batches: the weights are those of the last whole step, so that half a step is simply dropped."""
        if self.ranks.largest(self.signals.received, device=self.device):
            self.steps.clear()
            raise Stopped

    # ---- looking up: evaluation, samples, checkpoints ----

    def _look_up(self) -> None:
        """Evaluates and saves where this step is due, once, whether it was reached or resumed at."""
        last = self.step == self.recipe.steps
        better = again = False
        if self.evaluated != self.step and (last or self.step % self.run.eval_every == 0):
            loss = self._validation_loss()
            better = self.step > 0 and loss < self.best.get("validation_loss", math.inf)
            if better:
                self.best = {"step": self.step, "validation_loss": loss}
            self.validation_losses.append(loss)
            self.evaluated = self.step
            again = self.saved == self.step  # by a signal, before this evaluation: the checkpoint has to know of it
            self._write_sample()
            if self.journal is not None:
                values = {"validation_loss": loss}
                if self.vocabulary is not None:
                    values["validation_bits_per_byte"] = loss / math.log(2) / self.bytes_per_token
                self.journal.record(self.step, **values)
                self.journal.say(f"step {self.step:,}  validation loss {loss:.4f}" + ("  (best)" if better else ""))
        if again:
            self.saved = -1
        if self.saved != self.step and (last or better or again or self.step % self.run.save_every == 0):
            self._save()

    def _validation_loss(self) -> float:
        return validation_loss(
            self.steps.loss,
            network=self.steps.model,
            shards=self.validation,
            length=self.recipe.n_ctx,
            batch=self.steps.micro,
            max_tokens=self.run.eval_tokens,
            ranks=self.ranks,
            before_each=self._stop_if_asked,
        )

    def _write_sample(self) -> None:
        """A text of the model's own; every rank takes part, because its weights may be spread over them."""
        if self.vocabulary is None:
            return
        self.steps.model.eval()
        eot = self.training.eot
        # A compiler would make a program for each length of the cache.
        with self.steps.autocast(), torch.compiler.set_stance("force_eager") if self.compiled else contextlib.nullcontext():
            rows = list(generated(self.steps.model, [[eot]], sampling=SAMPLE, eot=eot, base=self.steps.network))
        self.steps.model.train()
        self.sample = text_of([row[0] for row in rows if row[0] != eot], decode_bytes=self.vocabulary.decode_bytes)
        if self.journal is not None:
            path = self.run.output / "samples" / f"step-{self.step:08d}.txt"
            with writing(path):
                path.parent.mkdir(exist_ok=True)
                path.write_text(self.sample + "\n")

    def _save(self, *, unscheduled: bool = False) -> None:
        if self.saved == self.step or not self.step:
            return
        weights, moments = weights_out(self.steps.network), moments_out(self.steps.network, self.steps.optimizers)
        self.saved = self.step
        if self.journal is not None:
            self.journal.draw()
            state = self._state() | {"unscheduled": unscheduled and self.step % self.run.save_every != 0}
            self.writer.submit(partial(_write, self.run, weights=weights, moments=moments, state=state))

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the run that goes on from it, besides the recipe."""
        return {
            "config": asdict(self.config),
            "tokenizer": self.training.tokenizer,
            "tokens": self.training.fingerprint,
            "validation": self.validation.fingerprint,
            "corpus": manifest_hash(self.run.tokens),
            "weights": self.begun_from,
        }

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "batch": self.batch,
            "recipe": asdict(self.recipe),
            **self._identity(),
            "threads": torch.get_num_threads(),
            "ranks": self.ranks.world,
            "parallel": self.run.parallel,
            "guard": {
                "losses": list(self.guard.losses),
                "skipped": self.guard.skipped,
                "in_a_row": self.guard.in_a_row,
                "rollbacks": self.guard.rollbacks,
            },
            "scale": {"scale": self.steps.scale.scale, "sound": self.steps.scale.sound},
            "best": self.best,
            "evaluated": self.evaluated,
            "validation_losses": self.validation_losses,
            "versions": {"torch": torch.__version__},
        }

    def _restore(self, kept: files.Checkpoint) -> None:
        """Weights, moments, step, guard and scale as they were; the data go on from where they are."""
        tensors_in(kept, network=self.steps.network, optimizers=self.steps.optimizers)
        state = kept.state
        self.step, self.best, self.evaluated = state["step"], state["best"], state["evaluated"]
        self.validation_losses = list(state["validation_losses"])
        self.guard.losses.clear()
        self.guard.losses.extend(state["guard"]["losses"])
        self.guard.skipped, self.guard.in_a_row = state["guard"]["skipped"], state["guard"]["in_a_row"]
        self.guard.rollbacks = max(self.guard.rollbacks, state["guard"]["rollbacks"])
        self.steps.scale.scale, self.steps.scale.sound = state["scale"]["scale"], state["scale"]["sound"]

    def _rolled_back(self, loss: float) -> bool:
        """Goes back to the newest scheduled checkpoint and on with the data after the spike; False if there is none."""
        self.writer.wait()
        self.ranks.told(None)  # no rank reads before the first has written
        scheduled = [path for path in files.checkpoints(self.run.output) if not files.read_state(path)["unscheduled"]]
        if not scheduled:
            return False
        if self.guard.rollbacks == MOST_ROLLBACKS:
            raise ModelError(
                f"rolled back {MOST_ROLLBACKS} times, and the loss jumps again at step {self.step}. "
                "Lower --lr in another --output."
            )
        spiked = self.step + 1
        self._restore(files.load(scheduled[-1]))
        self.guard.rollbacks += 1
        self.saved = self.step
        self.batch += 1
        if self.journal is not None:
            self.journal.open(step=self.step, evaluated=self.evaluated)
            # Of the next step: a run killed here resumes before it, drops the line, and comes to write it again.
            self.journal.record(self.step + 1, rolled_back_from=spiked, spike=loss, rollbacks=self.guard.rollbacks)
            self.journal.say(f"step {spiked:,}: the loss jumped; back to step {self.step:,}, past the batches since")
        return True

    def _introduce(self, kept: files.Checkpoint | None) -> None:
        assert self.journal is not None
        recipe = self.recipe
        self.journal.say(
            f"{self.config.parameters:,} parameters, {self.training.tokens:,} training tokens in "
            f"{self.training.documents:,} documents, {self.validation.tokens:,} validation tokens, "
            f"{recipe.batch * recipe.n_ctx:,} tokens a step, {recipe.precision} on {self.device.type}"
        )
        if self.vocabulary is None:
            self.journal.say("no vocabulary given or found beside the tokens: no samples, no bits per byte (--vocab)")
        if kept is None:
            return
        self.journal.say(f"going on from step {self.step:,} of {kept.path}")
        for name, here in (("threads", torch.get_num_threads()), ("ranks", self.ranks.world)):
            if kept.state[name] != here:
                self.journal.say(f"{name}: {here} here, {kept.state[name]} before: losses will agree to rounding, not to the bit")


def _write(run: Run, *, weights: dict[str, Tensor], moments: dict[str, Tensor], state: dict[str, Any]) -> None:
    files.save(run.output, weights=weights, moments=moments, state=state)
    files.prune(run.output, keep=run.keep, best=state["best"].get("step"))
