"""Optax: a `lehr.Schedule` as a schedule of Optax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import errors
from .schedule import Schedule, text_of

try:
    import jax.numpy as jnp
except ImportError:
    raise errors.missing("jax", "lehr.optax") from None


def schedule(given: str | Schedule) -> Callable[[Any], Any]:
    """A function from Optax's count (updates done) to the rate of the next update.

    Rates are those of the schedule, in JAX's default precision (32 bits unless ``jax_enable_x64`` is set). After the last
    update the last rate stays.
    """
    rates = jnp.asarray(Schedule(text_of(given)).rates())

    def rate(count: Any) -> Any:
        return rates[jnp.clip(count, 0, rates.shape[0] - 1)]

    return rate
