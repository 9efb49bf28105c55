"""The PyTorch engine: trains the job files of a sweep, `python -m lehr.train job.json`.

The models, initial weights, order of the data, optimiser and losses are those of lehr's own engine (the crate ``lehr-train``), so that
a sweep may be begun on a laptop and go on on GPUs. Put it into a plan with ``[trainer] command = "python -m lehr.train {job}"``.

This package needs PyTorch, which is yours to install; `lehr` itself does not. Importing ``lehr.train`` alone does not load it.

    job.py          the job file, checked                       settings.py   the plan's [trainer.settings], checked
    model.py        the decoder; experts.py its mixtures        weights.py    snapshots, exchanged with the Rust engine
    data.py         batches as a function of (seed, update)     optimiser.py  AdamW with a factor of the rate a tensor
    parallel.py     DDP, FSDP2, who is told to stop             checkpoint.py whole or not at all
    engine.py       update, evaluate, save, load                loop.py       a job from its newest checkpoint to its exit code
    launch.py       torchrun whose exit code is the job's
"""

from .job import Checkpoint, Job, read
from .settings import Settings

__all__ = ["Checkpoint", "Job", "Settings", "preset", "presets", "read"]


def presets() -> list[str]:
    """Names of the models that lehr knows, dense ones first.

    >>> presets()[:2]
    ['dense-0.03m', 'dense-0.1m']
    """
    from .data import models

    return list(models())


def preset(name: str, **changes: object) -> dict[str, object]:
    """The configuration of a preset, with some keys changed.

    Raises:
        RequestError: for a name that is none.

    >>> preset("dense-0.1m", vocabulary=96)["vocabulary"]
    96
    """
    from .. import errors
    from .data import models

    known = models()
    if name not in known:
        raise errors.RequestError(f"'{name}' is no preset", found=name, expected=f"one of {', '.join(known)}")
    return {**known[name], **changes}
