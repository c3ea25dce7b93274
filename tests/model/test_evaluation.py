"""Each number of the evaluation against its definition, worked out the slow way."""

import json
import math
from argparse import ArgumentParser, Namespace

import pytest
import torch
from made_tokens import documents as made_documents

from dags import evaluate, sample
from model import GPT2, GPT2Config
from model.config import SIZES, ModelError
from model.evaluation import cloze
from model.evaluation.detokenise import treebank, wikitext
from model.evaluation.lambada import lambada, passages, question
from model.evaluation.paper import TABLE_3, column, printed
from model.evaluation.perplexity import likelihood, word_perplexity
from model.load import Loaded
from tokenizer import train as train_vocabulary

N_CTX = 48


@pytest.fixture(scope="module")
def vocabulary():
    return train_vocabulary(made_documents(30), vocab_size=400)


@pytest.fixture(scope="module")
def network(vocabulary):
    made = GPT2(GPT2Config(n_vocab=vocabulary.n_vocab, n_ctx=N_CTX, n_embd=32, n_layer=2, n_head=2))
    made.initialise(seed=0)
    with torch.no_grad():
        made.transformer.wte.weight *= 20  # opinions strong enough to be right or wrong
    return made.eval().requires_grad_(False)


def slow_nats(network, ids, *, first: int) -> list[float]:
    """Nats of ids[first:], from all logits at once."""
    logits = network(torch.tensor([ids[:-1]]))[0].double()
    return [-float(logits[place - 1].log_softmax(-1)[ids[place]]) for place in range(first, len(ids))]


def test_a_text_within_the_context_is_scored_from_its_first_token(network, vocabulary):
    ids = vocabulary.encode("The judge sold two horses near the harbour.")
    found = likelihood(network, ids, eot=vocabulary.eot)
    assert found.tokens == len(ids)
    assert found.nats == pytest.approx(sum(slow_nats(network, [vocabulary.eot, *ids], first=1)), rel=1e-5)
    assert found.perplexity() == pytest.approx(math.exp(found.nats / len(ids)))
    assert found.bits(units=10) == pytest.approx(found.nats / math.log(2) / 10)


@pytest.mark.parametrize("stride", [None, 17, 1])
@pytest.mark.parametrize("length", [48, 49, 131])
def test_every_token_is_scored_once_in_windows(network, vocabulary, stride, length):
    ids = vocabulary.encode(" ".join(made_documents(2)))[:length]
    stream = [vocabulary.eot, *ids]
    wanted, scored = 0.0, 0
    for end in [*range(min(N_CTX, length), length, stride or N_CTX), length]:
        window = stream[max(0, end - N_CTX) : end + 1]
        wanted += sum(slow_nats(network, window, first=len(window) - (end - scored)))
        scored = end
    found = likelihood(network, ids, eot=vocabulary.eot, stride=stride, batch=3)
    assert found.nats == pytest.approx(wanted, rel=1e-5)


def test_words_are_those_of_the_file_and_text_is_detokenised(network, vocabulary):
    text = " The judge sold two horses , near the harbour . \n \n Nobody asked why . \n"
    found = word_perplexity(network, text, vocabulary=vocabulary, detokeniser=wikitext())
    natural = "The judge sold two horses, near the harbour.\n\nNobody asked why.\n"
    assert (found.words, found.lines, found.raw_lines) == (14, 2, 0)
    nats = likelihood(network, vocabulary.encode(natural), eot=vocabulary.eot).nats
    assert found.per_word == pytest.approx(math.exp(nats / 14))
    raw = likelihood(network, vocabulary.encode(text), eot=vocabulary.eot)
    assert found.per_word_raw == pytest.approx(math.exp(raw.nats / 14))
    assert found.per_token_raw == pytest.approx(math.exp(raw.nats / raw.tokens))


TEXTS = [*(text[:90].rsplit(" ", 1)[0] for text in made_documents(20, sentences=3)), "a remembered lighthouse", "x xylophones!"]


def test_lambada_is_scored_under_both_readings(network, vocabulary):
    token_nats, word_nats, token_right, word_right, split = [], [], 0, 0, 0
    for text in TEXTS:
        ids = vocabulary.encode(text)
        known = len(vocabulary.encode(text.rsplit(" ", 1)[0]))
        assert question(text, vocabulary=vocabulary, n_ctx=N_CTX).target == ids[known:]
        nats = slow_nats(network, ids, first=known)
        guesses = network(torch.tensor([ids]))[0].argmax(-1).tolist()
        right = [guesses[place - 1] == ids[place] for place in range(known, len(ids))]
        split += len(nats) > 1
        token_nats.append(nats[-1])
        word_nats.append(sum(nats))
        token_right += right[-1]
        word_right += all(right)
    found = lambada(network, TEXTS, vocabulary=vocabulary, batch=3)
    count = len(TEXTS)
    assert (found.examples, found.split_words) == (count, split)
    assert split > 1
    assert found.token_perplexity == pytest.approx(math.exp(sum(token_nats) / count), rel=1e-4)
    assert found.word_perplexity == pytest.approx(math.exp(sum(word_nats) / count), rel=1e-4)
    assert (found.token_accuracy, found.word_accuracy) == (token_right / count, word_right / count)
    assert found.filtered_token_accuracy is None


def test_the_stop_word_filter_takes_the_likeliest_word_that_is_none(network, vocabulary):
    context = torch.tensor([vocabulary.encode("The judge")])
    order = network(context)[0, -1].argsort(descending=True).tolist()
    words = [(number, vocabulary.decode([number])) for number in order]
    words = [(number, word[1:]) for number, word in words if word.startswith(" ") and word[1:].isalpha()]
    place = next(place for place, (number, word) in enumerate(words) if place > 2 and vocabulary.encode(f" {word}") == [number])
    text, before = f"The judge {words[place][1]}", [word.lower() for _, word in words[:place]]
    assert lambada(network, [text], vocabulary=vocabulary, stops=before).filtered_word_accuracy == 1.0
    assert lambada(network, [text], vocabulary=vocabulary, stops=before[1:]).filtered_word_accuracy == 0.0
    assert (
        lambada(network, [text], vocabulary=vocabulary, stops=[*before, words[place][1].lower()]).filtered_token_accuracy == 0.0
    )


def test_both_formats_of_lambada_are_read(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "one two"}) + "\n" + json.dumps({"text": "three\n\nfour five"}) + "\n")
    (tmp_path / "b.txt").write_text("one two\nthree four \n")
    assert passages(tmp_path / "a.jsonl") == ["one two", "three\n\nfour five"]
    assert passages(tmp_path / "b.txt") == ["one two", "three four"]
    (tmp_path / "c.jsonl").write_text('{"txt": "one"}\n')
    with pytest.raises(ModelError, match="no JSON object with a field `text`"):
        passages(tmp_path / "c.jsonl")


def options_of(command, *arguments: str) -> Namespace:
    parser = ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(["--model", "none", *arguments])


def results_of(network, *, vocabulary, folder, arguments):
    model = Loaded(network, folder / "no" / "run" / "lies" / "here", None)
    return list(evaluate.results(model, options=options_of(evaluate, *arguments), vocabulary=vocabulary))


TOKENISED = [
    "he did n't ask `` why , '' and she sold the horses",
    "the judge whispered , `` harbour",
    "he said hello, friend of words",
]


def test_the_original_lambada_is_read_de_tokenised(network, vocabulary, tmp_path):
    path = tmp_path / "test.txt"
    path.write_text("\n".join(TOKENISED) + "\n")
    natural = ['he didn\'t ask "why," and she sold the horses', 'the judge whispered, "harbour', TOKENISED[2]]
    assert [treebank().detokenised(line).text for line in TOKENISED] == natural
    wanted = lambada(network, natural, vocabulary=vocabulary, words=["horses", "harbour", "words"])
    found = results_of(network, vocabulary=vocabulary, folder=tmp_path, arguments=["--lambada", str(path)])
    values = (wanted.token_perplexity, wanted.word_perplexity, 100 * wanted.token_accuracy, 100 * wanted.word_accuracy)
    assert [each.value for each in found] == [f"{value:.2f}" for value in values]
    assert all("; de-tokenised, but for 1 of 3 lines" in each.definition for each in found)


def test_openai_s_lambada_is_read_as_it_is(network, vocabulary, tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TOKENISED))
    found = results_of(network, vocabulary=vocabulary, folder=tmp_path, arguments=["--lambada", str(path)])
    assert found[1].value == f"{lambada(network, TOKENISED, vocabulary=vocabulary).word_perplexity:.2f}"
    assert not any("de-tokenised" in each.definition for each in found)


def test_the_last_word_is_found_behind_a_quote(vocabulary):
    passage = 'the judge whispered, "harbour'
    asked = question(passage, vocabulary=vocabulary, n_ctx=N_CTX, word="harbour")
    assert vocabulary.decode(asked.context) == 'the judge whispered, "'
    assert vocabulary.decode(asked.target) == "harbour"
    assert asked.context + asked.target == vocabulary.encode(passage)
    alike = [question("the judge sold", vocabulary=vocabulary, n_ctx=N_CTX, word=word) for word in ("", "sold")]
    assert alike[0] == alike[1]


def test_a_perplexity_beyond_floats_is_infinite(network, vocabulary, tmp_path):
    path = tmp_path / "wiki.txt"
    path.write_text("judgesoldhorses" * 300 + "\n")
    found = results_of(network, vocabulary=vocabulary, folder=tmp_path, arguments=["--wikitext-2", str(path)])
    assert [each.value for each in found[:2]] == ["inf", "inf"]
    assert "nan" not in found[1].definition
    assert found[2].value != "inf"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [(evaluate, ("--stride", "0")), (evaluate, ("--stride", "-1")), (sample, ("--samples", "0")), (sample, ("--samples", "-3"))],
)
def test_a_number_below_one_is_refused(command, arguments):
    with pytest.raises(ModelError, match=f"{arguments[0]} is {arguments[1]}, expected at least 1"):
        command.run(options_of(command, *arguments))


def test_a_cloze_answer_makes_the_rest_of_the_sentence_likeliest(network, vocabulary, tmp_path):
    context = [f"{number} The judge sold a map ." for number in range(1, 21)]
    choices = ["horses", "letters", "key", "clock"]
    path = tmp_path / "cbt.txt"
    path.write_text("\n".join(context) + f"\n21 He buried the XXXXX near the mill .\tkey\t\t{'|'.join(choices)}\n\n")
    (asked,) = cloze.questions(path)
    assert (len(asked.context), asked.answer, asked.choices) == (20, "key", choices)
    short = asked._replace(context=asked.context[:2])  # fits the context whole
    lead = "The judge sold a map. The judge sold a map. He buried the"
    scores = {}
    for choice in choices:
        ids = [vocabulary.eot, *vocabulary.encode(f"{lead} {choice} near the mill.")]
        known = len(vocabulary.encode(lead)) + 1
        scores[choice] = -sum(slow_nats(network, ids, first=known))
    best = max(scores, key=lambda choice: scores[choice])
    assert cloze.accuracy(network, [short._replace(answer=best)], vocabulary=vocabulary) == 1.0
    worst = min(scores, key=lambda choice: scores[choice])
    assert cloze.accuracy(network, [short._replace(answer=worst), short._replace(answer=best)], vocabulary=vocabulary) == 0.5
    assert cloze.accuracy(network, [asked], vocabulary=vocabulary) in (0.0, 1.0)  # longer than the context


def test_the_paper_s_columns_are_those_of_its_sizes():
    assert [column(SIZES[size]) for size in ("tiny", "gpt2", "gpt2-xl")] == ["gpt2", "gpt2", "gpt2-xl"]
    assert printed("lambada-accuracy", config=SIZES["gpt2-xl"]) == 63.24
    assert printed("wikitext-2", config=SIZES["gpt2"]) == 29.41
    assert len(TABLE_3) == 10
