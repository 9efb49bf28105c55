"""Checkpoints: weights, moments and the number of updates, which stand at their place whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

from .. import errors
from .engine import Engine
from .weights import open_snapshot, write_snapshot

STATE = "lehr.json"
_NAME = re.compile(r"at-(\d+)")


def _wrong(path: str, found: str, expected: str, remedy: str) -> errors.ReadError:
    return errors.ReadError(
        f"{path}: {found}; expected {expected}", remedy=remedy, file=path, found=found, expected=expected
    )


@contextmanager
def _one_process() -> Iterator[None]:
    """Without PyTorch's warning that there is one process, which is as it should be."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
        yield


def _sync_folder(folder: str) -> None:
    """Puts the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def _stated(path: str) -> dict[str, Any] | None:
    """What a whole checkpoint that is a folder says of itself."""
    try:
        with open(os.path.join(path, STATE), encoding="utf-8") as source:
            stated: dict[str, Any] = json.load(source)
            return stated
    except (OSError, ValueError):
        return None


def save(engine: Engine, path: str) -> None:
    """Leaves a checkpoint at exactly ``path``: written beside it, flushed, renamed.

    One of the same run and update that stands there already is left as it is: a branch may be reading it.
    """
    world = engine.world
    beside = f"{path}.new"
    stated = {"completed": engine.completed, "run": engine.run}
    if any(world.any(world.first and _stated(path) == stated)):
        return
    folder = os.path.dirname(os.path.abspath(path))
    if world.first:
        os.makedirs(folder, exist_ok=True)
        _remove(beside)
    world.wait()
    if engine.settings.checkpoint_format == "safetensors":
        values = engine.values()
        if world.first:
            identity = engine.material.identity(engine.settings.lanes)
            write_snapshot(beside, engine.material.names, values, engine.completed, identity)
    else:
        weights, optimiser = get_state_dict(engine.model, engine.optimiser.torch)
        with _one_process():
            dcp.save({"model": weights, "optimiser": optimiser}, checkpoint_id=beside, no_dist=not dist.is_initialized())
        if world.first:
            # Written last: a folder that has it is whole.
            with open(os.path.join(beside, STATE), "w", encoding="utf-8") as out:
                json.dump(stated, out)
                out.flush()
                os.fsync(out.fileno())
            _sync_folder(beside)
    if world.first:
        if os.path.isdir(path) or (os.path.lexists(path) and os.path.isdir(beside)):
            _remove(path)
        os.replace(beside, path)
        _sync_folder(folder)
    world.wait()


def load(engine: Engine, path: str) -> None:
    """Goes on from a checkpoint: a folder of `save`, of any number of processes, or a snapshot of lehr's own engine.

    Raises:
        ReadError: for one that is not there, not whole, or of another run.
    """
    again = "delete it: the job then goes on from an earlier checkpoint or its beginning"
    if os.path.isfile(path):
        snapshot = open_snapshot(path, engine.material.names)
        said = {key: value for key, value in snapshot.identity.items() if key != "lanes"}
        _check_run(path, said, engine.run)
        engine.adopt(snapshot)
        return
    if not os.path.isdir(path):
        raise _wrong(path, "it is not there", "a checkpoint", "train the trunk that leaves it: lehr sweep resume DIR")
    stated = _stated(path)
    if stated is None:
        raise _wrong(path, f"it has no {STATE}", "a whole checkpoint of this engine", again)
    _check_run(path, stated["run"], engine.run)
    weights, optimiser = get_state_dict(engine.model, engine.optimiser.torch)
    state = {"model": weights, "optimiser": optimiser}
    with _one_process():
        dcp.load(state, checkpoint_id=path, no_dist=not dist.is_initialized())
    set_state_dict(
        engine.model,
        engine.optimiser.torch,
        model_state_dict=state["model"],
        optim_state_dict=state["optimiser"],
    )
    engine.completed = int(stated["completed"])


def _check_run(path: str, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key in wanted:
        if found.get(key) != wanted[key]:
            raise _wrong(
                path,
                f"it is of another {key}: {json.dumps(found.get(key))}",
                json.dumps(wanted[key]),
                "a checkpoint of the same model, optimiser, data, batch and seed",
            )


def newest(scratch: str) -> str | None:
    """The job's own checkpoint of the latest update, if there is one."""
    try:
        entries = os.listdir(scratch)
    except FileNotFoundError:
        return None
    found = {int(match[1]): name for name in entries if (match := _NAME.fullmatch(name))}
    return os.path.join(scratch, found[max(found)]) if found else None


def keep(engine: Engine, scratch: str) -> None:
    """Leaves the job's own checkpoint in ``scratch`` and removes its older ones."""
    name = f"at-{engine.completed}"
    save(engine, os.path.join(scratch, name))
    if engine.world.first:
        for other in os.listdir(scratch):
            if other.startswith("at-") and other != name:
                _remove(os.path.join(scratch, other))
