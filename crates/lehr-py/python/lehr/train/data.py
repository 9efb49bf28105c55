"""Batches: a function of the data, the seed and the update, read by the same code as in lehr's own engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import numpy as np

from .. import _lehr

Tokens = np.ndarray[Any, np.dtype[np.int64]]


def models() -> dict[str, dict[str, Any]]:
    """The configurations of all presets by name."""
    return cast(dict[str, dict[str, Any]], json.loads(_lehr.presets()))


class Material:
    """The tokens and initial weights of a run.

    Args:
        run: model, optimiser, data, batch and seed, as in a job file.

    Attributes:
        run: the same with every key.
        tensors: name, shape, factor of the rate and decay of every tensor of the layout, in order.

    Raises:
        LehrError: a key outside its range, data that cannot be read or do not fit the model.
    """

    def __init__(self, run: dict[str, Any]) -> None:
        self._native = _lehr.material(json.dumps(run))
        self.run = self.stated()
        self.row = int(self.run["model"]["context"]) + 1
        self.tensors: list[dict[str, Any]] = json.loads(self._native.tensors())
        self.names = [str(tensor["name"]) for tensor in self.tensors]
        self.name = self._native.name()
        self.validation_batches = self._native.validation_batches()
        self._index = {name: index for index, name in enumerate(self.names)}

    def stated(self) -> dict[str, Any]:
        """The run with every key, also those that were left out."""
        run: dict[str, Any] = json.loads(self._native.identity(1))
        del run["lanes"]
        return run

    def initial(self, name: str) -> np.ndarray[Any, Any]:
        """Initial values of a tensor of the layout, the same bits as those of lehr's own engine."""
        index = self._index[name]
        return np.frombuffer(self._native.initial(index), "<f4").reshape(self.tensors[index]["shape"]).copy()

    def identity(self, lanes: int) -> str:
        """What a snapshot of lehr's own engine, on so many threads, says of the run."""
        return self._native.identity(lanes)

    def _tokens(self, data: bytes) -> Tokens:
        return np.frombuffer(data, "<u4").astype(np.int64).reshape(-1, self.row)

    def training(self, update: int, first: int, count: int) -> Tokens:
        """Rows ``first`` … of the batch of an update, from 1: count × (T + 1) tokens."""
        return self._tokens(self._native.training(update, first, count))

    def validation(self, index: int, first: int, count: int) -> Tokens:
        """Rows of a validation batch, from 0."""
        return self._tokens(self._native.validation(index, first, count))


class Ahead:
    """Reads the batches of the next updates while this one is trained.

    Args:
        depth: batches that are ready or being made.
    """

    def __init__(self, material: Material, first_row: int, rows: int, depth: int = 2) -> None:
        self._material, self._first, self._rows, self._depth = material, first_row, rows, depth
        self._pool = ThreadPoolExecutor(1, "batches")
        self._made: dict[int, Future[Tokens]] = {}

    def batch(self, update: int) -> Tokens:
        """The rows of the batch of an update; asks for those of the updates after it."""
        wanted = range(update, update + self._depth)
        for old in [known for known in self._made if known not in wanted]:
            self._made.pop(old).cancel()
        for later in wanted:
            if later not in self._made:
                self._made[later] = self._pool.submit(self._material.training, later, self._first, self._rows)
        return self._made.pop(update).result()

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def chunks(rows: Tokens, most: int) -> Iterator[Tokens]:
    """Pieces of at most ``most`` rows; 0: one piece."""
    step = most or len(rows)
    for at in range(0, len(rows), step):
        yield rows[at : at + step]
