"""The chunked loss is the plain one, value and gradients."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from model import loss


def plain(hidden, weight, targets):
    return F.cross_entropy(hidden @ weight.T, targets)


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(37, 16, generator=generator)
    weight = 0.3 * torch.randn(53, 16, generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), torch.randint(53, (37,), generator=generator)


@pytest.mark.parametrize("rows", [1, 8, 37, 500])
def test_loss_and_gradients_are_those_of_all_logits_at_once(problem, rows, monkeypatch):
    monkeypatch.setattr(loss, "CHUNK_ROWS", rows)
    wanted = plain(*problem)
    hidden_grad, weight_grad = torch.autograd.grad(3 * wanted, problem[:2])
    found = loss.cross_entropy(*problem)
    found_hidden, found_weight = torch.autograd.grad(3 * found, problem[:2])
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)
    assert torch.allclose(found_hidden, hidden_grad, atol=1e-7)
    assert torch.allclose(found_weight, weight_grad, atol=1e-6)


def test_bfloat16_stays_near(problem):
    wanted = plain(*problem)
    weight_grad = torch.autograd.grad(wanted, problem[1])[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss.cross_entropy(*problem)
    assert found.item() == pytest.approx(wanted.item(), abs=0.02)
    assert (torch.autograd.grad(found, problem[1])[0] - weight_grad).abs().max() < 0.01


def test_a_tiny_float16_gradient_does_not_vanish():
    hidden, weight = torch.full((4096, 4), 0.01), 0.01 * torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    hidden.requires_grad_()
    with torch.autocast("cpu", dtype=torch.float16):
        found = loss.cross_entropy(hidden, weight, torch.arange(4096) % 64)
    (65536.0 * found).backward()
    assert (hidden.grad != 0).float().mean() > 0.99


def test_large_logits_do_not_overflow():
    hidden, weight = torch.tensor([[300.0]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    assert loss.cross_entropy(hidden, weight, torch.tensor([0])).item() == 0.0
    assert loss.cross_entropy(hidden, weight, torch.tensor([1])).item() == pytest.approx(600.0)


def test_log_likelihoods_are_the_losses_one_by_one(problem):
    wanted = -F.cross_entropy(problem[0] @ problem[1].T, problem[2], reduction="none")
    assert torch.allclose(loss.log_likelihoods(*problem), wanted, atol=2e-6)
