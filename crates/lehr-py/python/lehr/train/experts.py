"""The mixture of experts of one block: routing without drops, grouped products, auxiliary losses.

A *slot* is one (token, chosen expert) pair; the M·k slots are ordered by expert, then by token.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Routing(NamedTuple):
    """What the router of one layer did.

    Attributes:
        balance: mean over sequences of E·Σ_e f_e·P_e: f_e the share of slots, P_e the mean probability; 1 when perfectly even.
        z: mean over tokens of (ln Σ e^logit)².
        counts: tokens of each expert.
    """

    balance: Tensor
    z: Tensor
    counts: Tensor


class _Permute(torch.autograd.Function):
    """x[order], whose gradient is gathered, too: no atomic additions, the same bits every time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x[order]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (inverse,) = ctx.saved_tensors
        return gradients[0][inverse], None, None


def _loop(x: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
    parts = torch.split(x, counts.tolist())
    return torch.cat([part @ weight for part, weight in zip(parts, weights.unbind(0), strict=True)])


def _grouped(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    grouped: Any = getattr(F, "grouped_mm", None) or torch._grouped_mm
    product: Tensor = grouped(x, weights, offs=ends)
    return product


def can_group() -> bool:
    """Whether this PyTorch has grouped products."""
    return hasattr(F, "grouped_mm") or hasattr(torch, "_grouped_mm")


class Experts(nn.Module):
    """Σ over the k most probable experts of p_e/Σp · SwiGLU_e(x); weights of all experts are stacked.

    Args:
        width: d.
        moe: ``model.config.experts`` of a job file.
    """

    def __init__(self, width: int, moe: dict[str, Any]) -> None:
        super().__init__()
        self.count, self.top_k, hidden = int(moe["count"]), int(moe["top_k"]), int(moe["hidden"])
        self.router = nn.Linear(width, self.count, bias=False)
        self.gate_up = nn.Parameter(torch.empty(self.count, width, 2 * hidden))
        self.down = nn.Parameter(torch.empty(self.count, hidden, width))
        self.grouped = False
        # The type of the products; None: that of the states.
        self.compute: torch.dtype | None = None

    def products(self, x: Tensor, counts: Tensor) -> Tensor:
        """SwiGLU_e of every slot; x: M·k × d, ordered by expert."""
        kind = self.compute or x.dtype
        x, gate_up_weights, down_weights = x.to(kind), self.gate_up.to(kind), self.down.to(kind)
        if self.grouped:
            ends = counts.cumsum(0).to(torch.int32)
            gate, up = _grouped(x, gate_up_weights, ends).chunk(2, dim=-1)
            return _grouped(F.silu(gate) * up, down_weights, ends)
        gate, up = _loop(x, gate_up_weights, counts).chunk(2, dim=-1)
        return _loop(F.silu(gate) * up, down_weights, counts)

    def forward(self, x: Tensor) -> tuple[Tensor, Routing]:
        rows, context, width = x.shape
        flat = x.reshape(-1, width)
        tokens, k = flat.shape[0], self.top_k
        # The router stays in fp32 under autocast: a choice should not hang on the last bit of a short number.
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(flat.float(), self.router.weight.float())
            probability = logits.softmax(-1)
            weight, chosen = probability.topk(k, dim=-1)
            weight = weight / weight.sum(-1, keepdim=True)
            order = chosen.flatten().argsort(stable=True)
            inverse = order.argsort()
            taken = F.one_hot(chosen, self.count).sum(1)
            counts = taken.sum(0)
            slots = flat.unsqueeze(1).expand(tokens, k, width).reshape(tokens * k, width)
            inputs: Tensor = _Permute.apply(slots, order, inverse)
            outputs: Tensor = _Permute.apply(self.products(inputs, counts), inverse, order)
            mixed = (outputs.view(tokens, k, width) * weight.unsqueeze(-1)).sum(1)
            share = taken.view(rows, context, -1).float().mean(1) / k
            mass = probability.view(rows, context, -1).mean(1)
            balance = self.count * (share * mass).sum(-1).mean()
            z = logits.logsumexp(-1).square().mean()
        return mixed.view_as(x), Routing(balance, z, counts)
