"""GPT-2 is GPT-2: names, counts, logits and initial weights."""

import math

import pytest
import torch

from model import GPT2, SIZES, GPT2Config
from model.config import ModelError
from model.network import Cache, documents
from model.sample import Sampling, drawn, generated

SMALL = GPT2Config(n_vocab=101, n_ctx=32, n_embd=32, n_layer=3, n_head=4)
COUNTS = {"gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200}


def network(config: GPT2Config = SMALL, *, seed: int = 1, **more: float) -> GPT2:
    """A network with biases and layer norms that are not trivial, or a test would see nothing of them."""
    made = GPT2(config, **more)
    made.initialise(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 1:
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return made.eval()


def hugging_face(config: GPT2Config):
    transformers = pytest.importorskip("transformers")
    shape = {"vocab_size": config.n_vocab, "n_positions": config.n_ctx, "n_embd": config.n_embd, "n_layer": config.n_layer}
    off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, n_head=config.n_head, **off)).eval()


@pytest.mark.parametrize("size", COUNTS)
def test_each_size_has_the_published_number_of_parameters(size):
    with torch.device("meta"):
        made = GPT2(SIZES[size])
    assert sum(parameter.numel() for parameter in made.parameters()) == SIZES[size].parameters == COUNTS[size]


@pytest.mark.parametrize(
    ("config", "batch"), [(SMALL, 3), (GPT2Config(n_vocab=977, n_ctx=64, n_embd=96, n_layer=2, n_head=3), 2)]
)
def test_logits_are_those_of_transformers(config, batch):
    peer, ours = hugging_face(config), network(config)
    peer.load_state_dict(ours.state_dict())
    ids = torch.randint(config.n_vocab, (batch, config.n_ctx), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert (ours(ids) - peer(ids).logits).abs().max() <= 5e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "batch"), [(GPT2Config(n_ctx=256, n_embd=384, n_layer=6, n_head=6), 4), (GPT2Config(n_ctx=512), 1)]
)
def test_logits_of_whole_shapes_are_those_of_transformers(config, batch):
    test_logits_are_those_of_transformers(config, batch)


def test_weights_go_through_transformers_and_come_back_unchanged():
    peer, ours, again = hugging_face(SMALL), network(seed=1), network(seed=2)
    peer.load_state_dict(ours.state_dict())
    again.load_state_dict(peer.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), again.parameters(), strict=True))
    assert ours.state_dict().keys() == peer.state_dict().keys()
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in peer.state_dict().items()}


def test_names_of_the_hub_are_understood():
    ours, again = network(seed=1), network(seed=2)
    published = {name.removeprefix("transformer."): value for name, value in ours.state_dict().items()}
    del published["lm_head.weight"]
    published["h.0.attn.bias"] = torch.ones(1, 1, 32, 32)  # the mask, in old files
    again.load_state_dict(published)
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), again.parameters(), strict=True))


def test_loading_leaves_the_given_weights_as_they_were():
    published = {name.removeprefix("transformer."): value.clone() for name, value in network(seed=1).state_dict().items()}
    before = {name: value.clone() for name, value in published.items()}
    network(seed=2).load_state_dict(published)
    assert published.keys() == before.keys()
    assert all(torch.equal(published[name], before[name]) for name in before)


def test_initial_weights_follow_the_paper():
    config = GPT2Config(n_vocab=5000, n_ctx=256, n_embd=128, n_layer=6, n_head=2)
    made = GPT2(config)
    made.initialise(seed=0)
    residual = 0.02 / math.sqrt(2 * config.n_layer)
    wanted = {"wte": 0.02, "wpe": 0.01, "c_attn": 0.02, "c_fc": 0.02, "c_proj": residual}
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "ln_" in name:
            assert torch.equal(parameter, torch.ones_like(parameter)), name
        else:
            std = next(value for key, value in wanted.items() if key in name)
            assert parameter.std().item() == pytest.approx(std, rel=0.03), name
            assert abs(parameter.mean().item()) < 4 * std / math.sqrt(parameter.numel()), name


def test_masked_documents_are_read_as_if_alone():
    ours = network()
    first, second = torch.tensor([[5, 9, 7]]), torch.tensor([[100, 3, 4, 8]])  # 100 ends the first and opens the second
    together = torch.cat([first, second], dim=1)
    with torch.no_grad():
        masked = ours(together, documents_BT=documents(together, eot=100))
        alone = ours.lm_head(ours.hidden(second, positions=torch.arange(3, 7)))
    assert torch.allclose(masked[:, 3:], alone, atol=2e-6)
    assert torch.allclose(masked[:, :3], ours(first), atol=2e-6)
    assert not torch.allclose(ours(together)[:, 3:], alone, atol=1e-3)


def test_recomputing_activations_changes_no_gradient():
    ids = torch.randint(101, (2, 17), generator=torch.Generator().manual_seed(0))
    gradients = []
    for recompute in (False, True):
        ours = network(recompute=recompute, dropout=0.1).train()
        torch.manual_seed(3)
        ours(ids[:, :-1], ids[:, 1:]).backward()
        gradients.append([parameter.grad for parameter in ours.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_a_cache_gives_the_logits_of_reading_everything_anew():
    ours = network()
    ids = torch.randint(101, (2, 20), generator=torch.Generator().manual_seed(1))
    cache = Cache(SMALL, batch=2, device=torch.device("cpu"), dtype=torch.float32)
    with torch.no_grad():
        whole = ours(ids)
        parts = [ours(ids[:, :9], cache=cache), ours(ids[:, 9:12], cache=cache)]
        parts += [ours(ids[:, place : place + 1], cache=cache) for place in range(12, 20)]
    for place, part in zip([8, 11, *range(12, 20)], parts, strict=True):
        assert torch.allclose(part[:, 0], whole[:, place], atol=2e-6), place


def test_more_than_the_context_is_refused():
    with pytest.raises(ValueError, match="33 tokens, the network reads at most 32"):
        network()(torch.zeros(1, 33, dtype=torch.long))


def written(*, prompts, cached, **settings):
    steps = list(generated(network(), prompts, sampling=Sampling(**settings), eot=100, cached=cached))
    return [list(row) for row in zip(*steps, strict=True)]


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"top_k": 0}, {"top_k": 5, "top_p": 0.8, "temperature": 0.7}])
def test_sampling_with_a_cache_writes_what_it_writes_without(settings):
    prompts = [[1, 2, 3, 4, 5], [6], [7, 8]]
    with_cache = written(prompts=prompts, cached=True, tokens=40, **settings)
    assert with_cache == written(prompts=prompts, cached=False, tokens=40, **settings)


def test_a_prompt_writes_alike_alone_and_beside_longer_ones():
    alone = written(prompts=[[6, 2]], cached=True, tokens=20, temperature=0.0)
    beside = written(prompts=[[6, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9]], cached=True, tokens=20, temperature=0.0)
    assert alone[0] == beside[0]


def test_each_text_forgets_the_older_half_of_its_own_context_alone():
    ours = network()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter *= 8  # or one token is the likeliest whatever was read
    texts = [[7], list(range(1, 32)), [6, 2], list(range(40, 61))]
    steps = generated(ours, texts, sampling=Sampling(tokens=90, temperature=0.0), eot=99)  # which is never the likeliest here
    for text, row in zip(texts, zip(*steps, strict=True), strict=True):
        assert len(set(row)) > 10
        for number in row:
            text = text[-(SMALL.n_ctx // 2) :] if len(text) > SMALL.n_ctx else text
            assert number == ours(torch.tensor([text]))[0, -1].argmax()
            text = [*text, number]


@pytest.mark.parametrize("temperature", [math.nan, math.inf, -1.0])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ModelError, match="--temperature is"):
        Sampling(temperature=temperature)


@pytest.mark.parametrize("settings", [{"top_k": 0}, {"top_k": 2}, {"top_k": 0, "top_p": 0.9}])
@pytest.mark.parametrize("temperature", [1e-45, 5e-324, 1e-30])
def test_a_tiny_temperature_takes_the_likeliest(settings, temperature):
    logits = torch.tensor([[-20.0, 30.0, 29.999, 0.0], [5.0, -1.0, 2.0, 4.0]]).repeat(50, 1)
    sampling = Sampling(temperature=temperature, **settings)
    chosen = drawn(logits, sampling=sampling, generator=torch.Generator().manual_seed(0))
    assert chosen.tolist() == [1, 0] * 50


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_torch_does_not_take_is_refused(seed):
    with pytest.raises(ModelError, match=f"--seed is {seed}, expected 0 to 18446744073709551615"):
        Sampling(seed=seed)
    assert written(prompts=[[1]], cached=True, tokens=2, seed=2**64 - 1)


def test_the_same_seed_writes_the_same_text():
    assert written(prompts=[[1]], cached=True, tokens=20, seed=4) == written(prompts=[[1]], cached=True, tokens=20, seed=4)
    assert written(prompts=[[1]], cached=True, tokens=20, seed=4) != written(prompts=[[1]], cached=True, tokens=20, seed=5)


def test_top_p_keeps_the_smallest_set_that_holds_its_probability():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(2000, 1)
    chosen = drawn(logits, sampling=Sampling(top_k=0, top_p=0.7), generator=torch.Generator().manual_seed(0))
    assert chosen.unique().tolist() == [0, 1]
    assert (chosen == 0).float().mean().item() == pytest.approx(0.5 / 0.8, abs=0.04)


def test_top_k_draws_among_the_likeliest():
    logits = torch.tensor([[1.0, 3.0, 2.0, 0.0]]).repeat(500, 1)
    chosen = drawn(logits, sampling=Sampling(top_k=2), generator=torch.Generator().manual_seed(0))
    assert chosen.unique().tolist() == [1, 2]
