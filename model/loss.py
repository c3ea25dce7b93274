"""Cross-entropy over a large vocabulary without ever holding all the logits.

Shapes: N rows, C channels, V vocabulary, R rows of one chunk.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK_ROWS = 512  # benchmarks/gpt2_loss.py: fewer rows add up the weight gradient too often, more leave the cache
CUDA_ALIGNMENT = 64  # tensor cores want 50,304 columns, not 50,257; llm.c and nanoGPT pad alike


def projection(weight_VC: Tensor, *, dtype: torch.dtype) -> Tensor:
    """The embedding as a matrix to multiply with: in the arithmetic's type, and padded with zero rows where that is faster.

    GPT-2 differs: only the product is padded, never a parameter, so that weights and counts are the paper's.
    """
    n_vocab, n_embd = weight_VC.shape
    padded = -(-n_vocab // CUDA_ALIGNMENT) * CUDA_ALIGNMENT if weight_VC.is_cuda else n_vocab
    if padded == n_vocab:
        return weight_VC.to(dtype)
    whole = weight_VC.new_zeros((padded, n_embd), dtype=dtype)
    whole[:n_vocab] = weight_VC
    return whole


class ChunkedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of `hidden @ weight.T`, gradients made in the forward pass, chunk by chunk.

    The chunk's logits turn in place into probabilities, then into `softmax - onehot`, which at once gives the rows'
    gradient and adds to the weight's in float32.  Backward only scales: by 1/N and by the gradient that comes in,
    so that float16 gradients do not vanish.
    """

    @staticmethod
    def forward(ctx: Any, hidden_NC: Tensor, weight_VC: Tensor, targets_N: Tensor, dtype: torch.dtype) -> Tensor:
        n_rows, n_vocab = len(hidden_NC), len(weight_VC)
        with torch.autocast(hidden_NC.device.type, enabled=False):
            matrix = projection(weight_VC.detach(), dtype=dtype)
            rows_NC = hidden_NC.detach().to(dtype)
            losses_N = torch.empty(n_rows, dtype=torch.float32, device=rows_NC.device)
            hidden_grad = torch.empty_like(rows_NC)
            weight_grad = torch.zeros_like(matrix, dtype=torch.float32)
            # Two buffers for all chunks: fresh memory costs more than the arithmetic done on it.
            product = rows_NC.new_empty((min(CHUNK_ROWS, n_rows), len(matrix)))
            single = product if dtype == torch.float32 else torch.empty_like(product, dtype=torch.float32)
            for start in range(0, n_rows, CHUNK_ROWS):
                rows_RC = rows_NC[start : start + CHUNK_ROWS]
                target_R1 = targets_N[start : start + CHUNK_ROWS, None]
                product_RV, error_RV = product[: len(rows_RC)], single[: len(rows_RC)]
                torch.mm(rows_RC, matrix.T, out=product_RV)
                if dtype != torch.float32:
                    error_RV.copy_(product_RV)
                losses_N[start : start + CHUNK_ROWS] = softmax_minus_onehot(error_RV[:, :n_vocab], target_R1)
                error_RV[:, n_vocab:] = 0
                if dtype == torch.float32:
                    weight_grad.addmm_(error_RV.T, rows_RC)
                else:
                    product_RV.copy_(error_RV)
                    weight_grad += product_RV.T @ rows_RC
                torch.mm(product_RV, matrix, out=hidden_grad[start : start + CHUNK_ROWS])
        ctx.gradients = hidden_grad, weight_grad[:n_vocab]
        ctx.hidden_dtype = hidden_NC.dtype
        return losses_N.mean()

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden_grad, weight_grad = ctx.gradients
        del ctx.gradients  # scaled in place and given away: a second backward would need a second forward
        scale = incoming[0] / len(hidden_grad)
        return (hidden_grad.float() * scale).to(ctx.hidden_dtype), weight_grad.mul_(scale), None, None


def softmax_minus_onehot(logits_RV: Tensor, target_R1: Tensor) -> Tensor:
    """The cross-entropy of each row; the logits become its gradient, in place.

    Maximum, difference, exponential, sum and quotient one after another: a third of the time of torch's `log_softmax`
    on a CPU with AVX-512.
    """
    logits_RV -= logits_RV.amax(dim=1, keepdim=True)
    target_logit = logits_RV.gather(1, target_R1)
    logits_RV.exp_()
    total_R1 = logits_RV.sum(dim=1, keepdim=True)
    logits_RV *= total_R1.reciprocal()
    logits_RV.scatter_add_(1, target_R1, logits_RV.new_full(target_R1.shape, -1.0))
    return (total_R1.log() - target_logit)[:, 0]


def arithmetic(device: torch.device) -> torch.dtype:
    """The type matrices are multiplied in here: autocast's, if it is on."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32


@torch.compiler.disable  # in-place work on reused buffers: a compiler has nothing to add
def cross_entropy(hidden_NC: Tensor, weight_VC: Tensor, targets_N: Tensor) -> Tensor:
    """Mean negative log-likelihood in nats of the targets under `softmax(hidden @ weight.T)`, in float32."""
    if torch.is_grad_enabled() and (hidden_NC.requires_grad or weight_VC.requires_grad):
        return ChunkedCrossEntropy.apply(hidden_NC, weight_VC, targets_N, arithmetic(hidden_NC.device))
    return log_likelihoods(hidden_NC, weight_VC, targets_N).mean().neg()


def log_likelihoods(hidden_NC: Tensor, weight_VC: Tensor, targets_N: Tensor) -> Tensor:
    """Log-probability in nats of each target, without gradients, float32, shape (N,)."""
    with torch.no_grad():
        matrix = projection(weight_VC, dtype=arithmetic(hidden_NC.device))
        parts = []
        for rows_RC, target_R in zip(hidden_NC.split(CHUNK_ROWS), targets_N.split(CHUNK_ROWS), strict=True):
            logits_RV = (rows_RC.to(matrix.dtype) @ matrix.T)[:, : len(weight_VC)].float()
            parts.append(-softmax_minus_onehot(logits_RV, target_R[:, None]))
        return torch.cat(parts)
