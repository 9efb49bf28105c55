"""The decoder of lehr's own engine in PyTorch: RMSNorm, rotary positions, causal attention, SwiGLU or experts, no biases.

Symbols: B sequences of T tokens, width d, H heads of width h = d/H, inner width f, vocabulary V, L layers, E experts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .experts import Experts, Routing


class Losses(NamedTuple):
    """What a pass over some sequences comes to.

    Attributes:
        total: what is minimised: ``loss`` and, summed over layers, the auxiliary losses with their coefficients.
        loss: mean cross-entropy, nats per token.
        balance, z: of a mixture, mean over layers before the coefficients; else 0.
        counts: of a mixture, L × E, tokens routed to each expert; else L × 0.
    """

    total: Tensor
    loss: Tensor
    balance: Tensor
    z: Tensor
    counts: Tensor


def ratio(config: dict[str, Any]) -> float:
    """base width / d of the maximal-update parametrisation, 1 of the standard one."""
    parametrisation = config["parametrisation"]
    if isinstance(parametrisation, str):
        return 1.0
    return float(parametrisation["mup"]["base_width"]) / float(config["width"])


def norm(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """RMSNorm: y = g·x/√(Σx²/d + ε), in fp32."""
    return F.rms_norm(x, (x.shape[-1],), gain.to(x.dtype), epsilon)


class SwiGlu(nn.Module):
    """W_down·(silu(gate)·up), where ``gate_up`` makes f gates and then f ups."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        down: Tensor = self.down(F.silu(gate) * up)
        return down


class Block(nn.Module):
    """h ← h + A(norm(h)), h ← h + F(norm(h)): attention, then SwiGLU or routed and shared experts."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, moe = int(config["width"]), config.get("experts")
        self.heads = int(config["heads"])
        self.epsilon = float(config["norm_epsilon"])
        head = width // self.heads
        # √h_base/h with h_base = h·ratio.
        self.scale = (head * ratio(config)) ** 0.5 / head
        self.norm1 = nn.Parameter(torch.ones(width))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm2 = nn.Parameter(torch.ones(width))
        self.mlp = None if moe else SwiGlu(width, int(config["hidden"]))
        self.experts = Experts(width, moe) if moe else None
        shared = int(moe["shared"]) * int(moe["hidden"]) if moe else 0
        self.shared = SwiGlu(width, shared) if shared else None

    def attention(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        rows, context, width = x.shape
        qkv = self.qkv(x).view(rows, context, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        # In fp32 also under autocast: the tables are.
        mixed = F.scaled_dot_product_attention(
            rotate(q, cosine, sine).to(v.dtype), rotate(k, cosine, sine).to(v.dtype), v, is_causal=True, scale=self.scale
        )
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(rows, context, width))
        return out

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Routing | None]:
        x = x + self.attention(norm(x, self.norm1, self.epsilon), cosine, sine)
        y = norm(x, self.norm2, self.epsilon)
        routing: Routing | None = None
        if self.mlp is not None:
            return x + self.mlp(y), routing
        assert self.experts is not None
        mixed, routing = self.experts(y)
        if self.shared is not None:
            x = x + self.shared(y)
        return x + mixed, routing


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotates element i of every head with element i + h/2 by the angle of its position; x: B × H × T × h."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)


class Decoder(nn.Module):
    """The whole model; its output is the losses of the sequences it is given.

    Args:
        config: every key of ``model.config`` of a job file, as `Material.run` states them.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        width, vocabulary = int(config["width"]), int(config["vocabulary"])
        self.epsilon = float(config["norm_epsilon"])
        self.logit_scale = ratio(config)
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(int(config["layers"])))
        self.norm = nn.Parameter(torch.ones(width))
        self.head = None if config.get("tied") else nn.Linear(width, vocabulary, bias=False)
        self.cosine: Tensor
        self.sine: Tensor
        half = width // int(config["heads"]) // 2
        for name in ("cosine", "sine"):
            self.register_buffer(name, torch.empty(int(config["context"]), half), persistent=False)

    def fill_tables(self) -> None:
        """Cosines and sines of the rotary angles t·θ^(−2i/h), made in double precision; after the model got its memory."""
        context, half = self.cosine.shape
        exponent = torch.arange(half, dtype=torch.float64) / half
        angle = torch.outer(torch.arange(context, dtype=torch.float64), float(self.config["rope_theta"]) ** -exponent)
        self.cosine.copy_(angle.cos())
        self.sine.copy_(angle.sin())

    def compile_blocks(self) -> None:
        """Compiles every block (one graph for all) and the loss."""
        for block in self.blocks:
            block.compile()
        self.cross_entropy = torch.compile(self.cross_entropy)  # type: ignore[method-assign, unused-ignore]

    def cross_entropy(self, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        """Mean of ln Σ e^z − z_target over tokens, z = scale·W·norm(x)."""
        logits = F.linear(norm(x, self.norm, self.epsilon), weight).float() * self.logit_scale
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def forward(self, tokens: Tensor) -> Losses:
        """The losses of B × (T + 1) tokens."""
        x: Tensor = self.embedding(tokens[:, :-1]).float()
        context = x.shape[1]
        cosine, sine = self.cosine[:context], self.sine[:context]
        routings: list[Routing] = []
        for block in self.blocks:
            x, routing = block(x, cosine, sine)
            if routing is not None:
                routings.append(routing)
        weight = self.embedding.weight if self.head is None else self.head.weight
        loss: Tensor = self.cross_entropy(x, weight, tokens[:, 1:])
        if not routings:
            zero = loss.new_zeros(())
            counts = torch.zeros(len(self.blocks), 0, dtype=torch.int64, device=loss.device)
            return Losses(loss, loss.detach(), zero, zero, counts)
        moe = self.config["experts"]
        balance = torch.stack([routing.balance for routing in routings])
        z = torch.stack([routing.z for routing in routings])
        total = loss + moe["balance"] * balance.sum() + moe["z"] * z.sum()
        counts = torch.stack([routing.counts for routing in routings])
        return Losses(total, loss.detach(), balance.detach().mean(), z.detach().mean(), counts)


def flops_per_token(config: dict[str, Any]) -> float:
    """Arithmetic of one trained token: 6·(N_active + V·d) + 6·L·T·d, as a plan of a sweep counts it.

    6 for every weight that takes part (2 forward, 4 backward; the head counts, the embedding, a look-up, does not), and causal
    attention: 2·T·d·L of scores and mixing on average over positions, thrice.
    """
    d, layers, moe = float(config["width"]), float(config["layers"]), config.get("experts")
    if moe:
        one = 3.0 * d * moe["hidden"]
        inner = d * moe["count"] + one * (moe["top_k"] + moe.get("shared", 0))
    else:
        inner = 3.0 * d * config["hidden"]
    active: float = layers * (2.0 * d + 4.0 * d * d + inner) + d
    return 6.0 * (active + float(config["vocabulary"]) * d) + 6.0 * layers * float(config["context"]) * d
