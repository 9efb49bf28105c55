"""Runs and a fit that the tests share."""

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
