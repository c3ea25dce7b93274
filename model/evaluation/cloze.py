"""The Children's Book Test (Hill et al. 2016): which of ten words was left out of the sentence after twenty others."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import torch

from model.config import ModelError
from model.evaluation.detokenise import Detokeniser, treebank
from model.network import GPT2
from tokenizer import Tokenizer

GAP = "XXXXX"


class Cloze(NamedTuple):
    context: list[str]
    sentence: str
    answer: str
    choices: list[str]


def questions(path: Path) -> list[Cloze]:
    """Blocks of numbered lines; the last of a block is `21 SENTENCE<tab>ANSWER<tab><tab>CHOICE|CHOICE|...`."""
    found: list[Cloze] = []
    context: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            context = []
            continue
        text = line.partition(" ")[2]
        if "\t" not in text:
            context.append(text)
            continue
        fields = [field for field in text.split("\t") if field]
        if len(fields) != 3 or GAP not in fields[0]:
            raise ModelError(f"{path}, line {number}: expected a sentence with {GAP}, an answer and choices, set apart by tabs")
        found.append(
            Cloze(context, fields[0].strip(), fields[1].strip(), [choice for choice in fields[2].strip().split("|") if choice])
        )
    if not found:
        raise ModelError(f"{path}: holds no question of the Children's Book Test")
    return found


def accuracy(model: GPT2, asked: Sequence[Cloze], *, vocabulary: Tokenizer) -> float:
    """Share of questions whose answer makes choice and rest of the sentence likelier than any other: section 3.2's rule."""
    detokeniser = treebank()
    right = sum(_answer(model, each, vocabulary=vocabulary, detokeniser=detokeniser) == each.answer for each in asked)
    return right / len(asked)


def _answer(model: GPT2, asked: Cloze, *, vocabulary: Tokenizer, detokeniser: Detokeniser) -> str:
    lead = " ".join(detokeniser.detokenised(line).text for line in asked.context)
    texts = [f"{lead} {detokeniser.detokenised(asked.sentence.replace(GAP, choice)).text}" for choice in asked.choices]
    rows = [[vocabulary.eot, *vocabulary.encode(text)] for text in texts]
    shared = next((place for place, ids in enumerate(zip_longest(*rows)) if len(set(ids)) > 1), 1)
    longest = max(map(len, rows))
    cut = max(0, min(shared - 1, longest - model.config.n_ctx - 1))  # the oldest words go, the same for all choices
    rows = [row[cut : cut + model.config.n_ctx + 1] for row in rows]
    longest = max(map(len, rows))
    ids_BT = torch.tensor([row + [vocabulary.eot] * (longest - len(row)) for row in rows], device=model.lm_head.weight.device)
    log_p = model.log_likelihoods(ids_BT[:, :-1], ids_BT[:, 1:]).double()
    scores = [float(log_p[number, shared - cut - 1 : len(row) - 1].sum()) for number, row in enumerate(rows)]
    return asked.choices[scores.index(max(scores))]
