"""Runs and a fit that the tests share."""

import json
import pathlib
import warnings

import pytest

import lehr

FIXTURES = pathlib.Path(__file__).resolve().parents[3] / "fixtures"
QUICK = {"starts": 2, "points": 12}


@pytest.fixture(scope="session")
def path() -> str:
    return str(FIXTURES / "runs")


@pytest.fixture(scope="session")
def runs(path: str) -> lehr.Runs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lehr.read(path, run="*", progress=False)


@pytest.fixture(scope="session")
def some(runs: lehr.Runs) -> lehr.Runs:
    return runs[:6]


@pytest.fixture(scope="session")
def fit(some: lehr.Runs) -> lehr.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lehr.fit(some, **QUICK)


def without_wording(document: str) -> object:
    """A document without the sentences of caveats, which name options as keyword arguments here and as flags there."""

    def plain(value: object) -> object:
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        if isinstance(value, dict):
            said = ("message", "remedy") if "code" in value else ()
            return {name: plain(inner) for name, inner in value.items() if name not in said}
        return value

    return plain(json.loads(document))
