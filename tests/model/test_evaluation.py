"""Each number of the evaluation against its definition, worked out the slow way."""

import json
import math

import pytest
import torch
from made_tokens import documents as made_documents

from model import GPT2, GPT2Config
from model.config import SIZES, ModelError
from model.evaluation import cloze
from model.evaluation.detokenise import wikitext
from model.evaluation.lambada import lambada, passages, question
from model.evaluation.paper import TABLE_3, column, printed
from model.evaluation.perplexity import likelihood, word_perplexity
from model.export import export
from model.load import Loaded, loaded, vocabulary_of
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


def test_an_export_is_loaded_by_transformers_with_equal_logits_and_ids(network, vocabulary, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = export(Loaded(network, tmp_path, None), vocabulary=vocabulary, output=tmp_path / "exported")
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    reader = transformers.AutoTokenizer.from_pretrained(folder)
    text = "The judge sold <|endoftext|> two  horses\n\n near 3 harbours…"
    plain = text.replace("<|endoftext|>", "")
    assert reader(plain)["input_ids"] == vocabulary.encode(plain)
    assert reader.eos_token_id == peer.config.eos_token_id == vocabulary.eot
    ids = torch.tensor([vocabulary.encode(text)])
    with torch.no_grad():
        assert (peer(ids).logits - network(ids)).abs().max() <= 2e-5  # logits up to 40 here
    again = loaded(folder)
    assert all(torch.equal(again.network.state_dict()[name], value) for name, value in network.state_dict().items())
    assert vocabulary_of(again, given=None).fingerprint == vocabulary.fingerprint


def test_an_export_does_not_write_over_what_is_there(network, vocabulary, tmp_path):
    (tmp_path / "mine").write_text("")
    with pytest.raises(ModelError, match="is not empty"):
        export(Loaded(network, tmp_path, None), vocabulary=vocabulary, output=tmp_path)


def test_a_vocabulary_of_another_size_is_refused(network, vocabulary, tmp_path):
    vocabulary.truncated(300).save(tmp_path)
    with pytest.raises(ModelError, match="has 300 tokens"):
        vocabulary_of(Loaded(network, tmp_path, None), given=tmp_path)
