"""Schedules in Optax."""

import numpy as np
import pytest

import lehr

optax = pytest.importorskip("optax")
jax = pytest.importorskip("jax")


def test_optax_uses_the_rates_of_the_schedule():
    from lehr.optax import schedule

    plan = lehr.Schedule.wsd(peak_lr=1e-3, steps=100, warmup=10, ratio=0.3)
    rate = jax.jit(schedule(plan))
    found = np.array([rate(t) for t in range(105)])
    wanted = np.concatenate([plan.rates(), np.full(5, plan.lr(100))]).astype(np.float32)
    assert (found == wanted).all()
    optimizer = optax.sgd(schedule(str(plan)))
    parameters = jax.numpy.zeros(())
    state = optimizer.init(parameters)
    for t in range(20):
        change, state = optimizer.update(jax.numpy.ones(()), state)
        assert float(change) == -wanted[t]
