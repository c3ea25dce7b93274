"""What an export holds is read again; what is damaged, or another network, is refused in one sentence."""

import json
import resource

import pytest
import torch
from made_tokens import documents as made_documents
from safetensors.torch import load_file, save_file

from model import GPT2, GPT2Config
from model.config import ModelError
from model.export import export
from model.load import Loaded, loaded, vocabulary_of, weights_of
from tokenizer import train as train_vocabulary


@pytest.fixture(scope="module")
def vocabulary():
    return train_vocabulary(made_documents(30), vocab_size=400)


@pytest.fixture(scope="module")
def network(vocabulary):
    made = GPT2(GPT2Config(n_vocab=vocabulary.n_vocab, n_ctx=48, n_embd=32, n_layer=2, n_head=2))
    made.initialise(seed=0)
    with torch.no_grad():
        made.transformer.wte.weight *= 20  # logits large enough to differ
    return made.eval().requires_grad_(False)


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


@pytest.fixture
def exported(network, vocabulary, tmp_path):
    return export(Loaded(network, tmp_path, None), vocabulary=vocabulary, output=tmp_path / "exported")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "gptj"),
        ("activation_function", "relu"),
        ("add_cross_attention", True),
        ("layer_norm_epsilon", 1e-3),
        ("scale_attn_by_inverse_layer_idx", True),
        ("scale_attn_weights", False),
        ("tie_word_embeddings", False),
        ("n_inner", 64),
        ("n_layer", None),
        ("n_head", "2"),
        ("n_head", 5),
    ],
)
def test_a_config_of_another_network_is_refused(exported, key, value):
    path = exported / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ModelError, match=rf"config\.json: .*{key}\b.* {json.dumps(value)}"):
        weights_of(exported)


def test_a_config_may_say_what_changes_no_arithmetic(exported, network):
    path = exported / "config.json"
    settings = json.loads(path.read_text())
    del settings["n_positions"]  # n_ctx is its older name
    harmless = {"n_inner": 4 * settings["n_embd"], "reorder_and_upcast_attn": True, "scale_attn_weights": True}
    path.write_text(json.dumps({**settings, **harmless}))
    assert weights_of(exported).config == network.config


@pytest.mark.parametrize("key", ["n_layer", "vocab_size", "model_type"])
def test_a_config_that_lacks_a_key_is_refused(exported, key):
    path = exported / "config.json"
    settings = json.loads(path.read_text())
    del settings[key]
    path.write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=rf"config\.json: {key} is null"):
        weights_of(exported)


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_a_cut_weights_file_is_refused(exported, kept):
    path = exported / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model\.safetensors: is no whole safetensors file"):
        loaded(exported)


def test_an_output_that_is_not_tied_is_refused(exported):
    path = exported / "model.safetensors"
    weights = load_file(path)
    save_file({**weights, "lm_head.weight": weights["wte.weight"].clone()}, path)
    assert loaded(exported)
    save_file({**weights, "lm_head.weight": weights["wte.weight"] + 1}, path)
    with pytest.raises(ModelError, match=r"model\.safetensors: lm_head.weight differs from wte.weight"):
        weights_of(exported)


@pytest.mark.parametrize("limit", [40_000, 1_000])
def test_a_full_disk_leaves_no_part_of_an_export(network, vocabulary, tmp_path, limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(ModelError, match=r"exported: cannot be written .* Free some space"):
            export(Loaded(network, tmp_path, None), vocabulary=vocabulary, output=tmp_path / "exported")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "exported").iterdir())
    export(Loaded(network, tmp_path, None), vocabulary=vocabulary, output=tmp_path / "exported")


def test_a_vocabulary_of_another_size_is_refused(network, vocabulary, tmp_path):
    vocabulary.truncated(300).save(tmp_path)
    with pytest.raises(ModelError, match="has 300 tokens"):
        vocabulary_of(Loaded(network, tmp_path, None), given=tmp_path)
