"""LAMBADA (Paperno et al. 2016): the last word of a passage, under both readings of "accuracy"."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from model.config import ModelError
from model.evaluation.perplexity import perplexity
from model.network import GPT2
from tokenizer import Tokenizer

CANDIDATES = 128  # likeliest first tokens the stop-word filter chooses among; cybertronai/bflm takes as many


class Lambada(NamedTuple):
    """`token`: of the last BPE token, the paper's reading.  `word`: of the whole last word, lm-evaluation-harness's."""

    examples: int
    split_words: int  # examples whose last word is more than one token
    token_perplexity: float
    token_accuracy: float
    word_perplexity: float
    word_accuracy: float
    filtered_token_accuracy: float | None  # stop words may not be answers
    filtered_word_accuracy: float | None


class Question(NamedTuple):
    context: list[int]
    target: list[int]


def passages(path: Path) -> list[str]:
    """One passage a line: OpenAI's jsonl with a field `text`, or the original, tokenised."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ModelError(f"{path}: holds no passage, expected one a line")
    if path.suffix != ".jsonl":
        return [line.strip() for line in lines]
    try:
        return [json.loads(line)["text"] for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: a line is no JSON object with a field `text` ({error!r})") from error


def question(passage: str, *, vocabulary: Tokenizer, n_ctx: int, word: str = "") -> Question:
    """The passage cut before its last word, as the lm-evaluation-harness cuts it: the word keeps the space before it.

    `word` is the last word where it is known better than by a space: `menzies` of a passage that ends in `"menzies`.
    """
    context, space, _ = passage.rpartition(" ")
    if not space or not context.strip():
        raise ModelError(f"passage {passage[:60]!r} has only one word, expected several with a space between")
    if word and passage.endswith(word):
        context = passage.removesuffix(word)
    whole = vocabulary.encode(passage)
    known = len(vocabulary.encode(context.rstrip()))
    return Question(whole[max(0, len(whole) - n_ctx - 1) : known], whole[known:])


def stop_words(path: Path) -> frozenset[str]:
    """A list of words, one a line."""
    return frozenset(path.read_text(encoding="utf-8").split())


def lambada(
    model: GPT2,
    texts: Sequence[str],
    *,
    vocabulary: Tokenizer,
    words: Sequence[str] | None = None,
    stops: Collection[str] | None = None,
    batch: int = 16,
) -> Lambada:
    """Scores every passage's last word: `words`, or what follows the last space."""
    questions = [
        question(text, vocabulary=vocabulary, n_ctx=model.config.n_ctx, word=word)
        for text, word in zip(texts, words or [""] * len(texts), strict=True)
    ]
    barred = _barred(vocabulary, stops) if stops is not None else None
    order = sorted(range(len(questions)), key=lambda number: len(questions[number].context))  # little padding
    totals = {"token_nats": 0.0, "word_nats": 0.0, "token": 0, "word": 0, "filtered_token": 0, "filtered_word": 0}
    for first in range(0, len(order), batch):
        part = [questions[number] for number in order[first : first + batch]]
        for asked, logits_TV in zip(part, _target_logits(model, part, eot=vocabulary.eot), strict=True):
            target = torch.tensor(asked.target)
            log_p = logits_TV.log_softmax(-1).gather(1, target[:, None])[:, 0]
            right = logits_TV.argmax(-1) == target
            totals["token_nats"] -= float(log_p[-1])
            totals["word_nats"] -= float(log_p.double().sum())
            totals["token"] += bool(right[-1])
            totals["word"] += bool(right.all())
            if barred is not None:
                best = logits_TV[0].topk(min(CANDIDATES, logits_TV.shape[1])).indices
                allowed = best[~barred[best]]
                right[0] = len(allowed) > 0 and allowed[0] == target[0]
                totals["filtered_token"] += bool(right[-1])
                totals["filtered_word"] += bool(right.all())
    count = len(questions)
    return Lambada(
        count,
        sum(len(each.target) > 1 for each in questions),
        perplexity(totals["token_nats"] / count),
        totals["token"] / count,
        perplexity(totals["word_nats"] / count),
        totals["word"] / count,
        None if barred is None else totals["filtered_token"] / count,
        None if barred is None else totals["filtered_word"] / count,
    )


@torch.no_grad()
def _target_logits(model: GPT2, questions: Sequence[Question], *, eot: int) -> list[torch.Tensor]:
    """For each question the logits at its target's places, (tokens of the target, V), on the processor."""
    rows = [(each.context + each.target)[:-1] for each in questions]
    longest = max(map(len, rows))
    ids_BT = torch.tensor([row + [eot] * (longest - len(row)) for row in rows], device=model.lm_head.weight.device)
    hidden_BTC = model.hidden(ids_BT)  # padding follows the text, and nothing looks ahead
    parts = [
        hidden_BTC[number, len(row) - len(each.target) : len(row)]
        for number, (row, each) in enumerate(zip(rows, questions, strict=True))
    ]
    logits = model.lm_head(torch.cat(parts)).float().cpu()
    return list(logits.split([len(part) for part in parts]))


def _barred(vocabulary: Tokenizer, stops: Collection[str]) -> torch.Tensor:
    """True for ids that cannot begin an answer: stop words, and what is no new word.

    The paper's filter is "an approximation"; ours looks at the first token of the word alone.
    """
    texts = [vocabulary.decode_bytes([number]).decode("utf-8", errors="replace") for number in range(vocabulary.n_vocab)]
    return torch.tensor([not text.startswith(" ") or not text[1:].isalpha() or text[1:].lower() in stops for text in texts])
