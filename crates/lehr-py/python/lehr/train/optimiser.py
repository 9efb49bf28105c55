"""AdamW over fp32 weights, with a factor of the rate and decay a tensor, and clipping by the global norm."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .data import Material
from .weights import by_parameter


class Optimiser:
    """AdamW that is told the rate of every update.

    θ ← θ·(1 − η·λ) − η·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε), η = rate·(the tensor's factor), λ for matrices alone.

    Args:
        model: its parameters, sharded or not.
        material: says each tensor's factor and whether it decays.
    """

    def __init__(self, model: nn.Module, material: Material) -> None:
        stated = material.run["optimiser"]
        outline = {tensor["name"]: tensor for tensor in material.tensors}
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        parameters = dict(model.named_parameters())
        for name, parts in by_parameter(material.names).items():
            tensor = outline[parts[0][0]]
            groups.setdefault((tensor["rate"], tensor["decay"]), []).append(parameters[name])
        self._factors = [factor for factor, _ in groups]
        self._clip = float(stated["clip"])
        self._parameters = [parameter for members in groups.values() for parameter in members]
        self.torch = torch.optim.AdamW(
            [
                {"params": members, "weight_decay": float(stated["weight_decay"]) if decay else 0.0}
                for (_, decay), members in groups.items()
            ],
            lr=0.0,
            betas=(float(stated["beta1"]), float(stated["beta2"])),
            eps=float(stated["epsilon"]),
            fused=True,
        )

    def step(self, rate: float) -> Tensor:
        """One update at a rate; gives the gradient's norm before clipping."""
        limit = self._clip or math.inf
        norm: Any = nn.utils.clip_grad_norm_(self._parameters, limit)
        # Of sharded gradients the norm is sharded, too.
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        for group, factor in zip(self.torch.param_groups, self._factors, strict=True):
            group["lr"] = rate * factor
        self.torch.step()
        self.torch.zero_grad(set_to_none=True)
        return norm.detach()  # type: ignore[no-any-return, unused-ignore]

    def moments(self, parameter: nn.Parameter) -> tuple[Tensor, Tensor]:
        """First and second moments of a parameter; zeros before the first update."""
        state = self.torch.state.get(parameter)
        if not state:
            return torch.zeros_like(parameter.data), torch.zeros_like(parameter.data)
        return state["exp_avg"], state["exp_avg_sq"]

    def set_moments(self, parameter: nn.Parameter, first: Tensor, second: Tensor, completed: int) -> None:
        """Puts moments in the place of a parameter's, after so many updates."""
        self.torch.state[parameter] = {
            "step": torch.tensor(float(completed), dtype=torch.float32, device=parameter.device),
            "exp_avg": first,
            "exp_avg_sq": second,
        }
