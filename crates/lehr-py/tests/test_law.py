"""Laws that are written in Python."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import lehr
from conftest import QUICK

COEFFICIENTS = {
    "l0": (1e-3, 8.0, 2.0),
    "a": lehr.Coefficient(1e-3, 50.0, 0.6, "log"),
    "alpha": lehr.Coefficient(0.05, 3.0, 0.5),
}
TRUTH = (2.5, 0.8, 0.6)


def loss(theta, run):
    l0, a, alpha = theta
    return l0 + a * np.exp(-alpha * run.ln_forward_effect)


def jacobian(theta, run):
    _, a, alpha = theta
    unit = np.exp(-alpha * run.ln_forward_effect)
    return np.stack([np.ones(len(run)), unit, -a * unit * run.ln_forward_effect], axis=1)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lehr.CaveatWarning)
        yield


@pytest.fixture(scope="module")
def truth():
    """Runs whose losses are those of the law itself."""
    made = None
    for peak, total in [(5e-4, 2000), (1e-3, 2000), (1e-3, 4000), (2e-3, 4000)]:
        rates = lehr.Schedule.wsd(peak_lr=peak, steps=total, warmup=100, ratio=0.2).rates()
        losses = TRUTH[0] + TRUTH[1] * np.cumsum(rates) ** -TRUTH[2]
        frame = {"step": np.arange(1, total + 1), "lr": rates, "val_loss": losses}
        runs = lehr.read(frame, name=f"{peak}-{total}", accept=True)
        made = runs if made is None else made + runs
    return made


@pytest.mark.parametrize("derivatives", [None, jacobian])
def test_a_law_of_ones_own_finds_the_truth_and_forecasts(truth, derivatives):
    law = lehr.Law("descent-only", loss, COEFFICIENTS, jacobian=derivatives)
    fit = lehr.fit(truth, law, starts=4)
    assert fit.law == "descent-only"
    for name, value in zip(COEFFICIENTS, TRUTH):
        assert abs(fit.coefficients[name] / value - 1.0) < 1e-3, fit
    target = lehr.Schedule.wsd(peak_lr=1.5e-3, steps=6000, warmup=100, ratio=0.2)
    ahead = fit.forecast(target)
    wanted = TRUTH[0] + TRUTH[1] * target.rates().sum() ** -TRUTH[2]
    assert abs(ahead.final["value"] / wanted - 1.0) < 1e-3
    half = {name: values[:2000] for name, values in truth[2].to_dict().items()}
    half["val_loss"] = half.pop("loss")
    end = fit.forecast(running=half, steps=4000, ratio=0.2).final["value"]
    assert end == pytest.approx(truth[2].loss[-1], rel=1e-3)


def test_differences_and_derivatives_give_the_same_fit(truth):
    one = lehr.fit(truth, lehr.Law("one", loss, COEFFICIENTS, jacobian=jacobian), starts=2)
    other = lehr.fit(truth, lehr.Law("other", loss, COEFFICIENTS), starts=2)
    for name in COEFFICIENTS:
        assert one.coefficients[name] == pytest.approx(other.coefficients[name], rel=1e-5)


def test_own_laws_are_compared_with_those_that_are_there(truth):
    law = lehr.Law("descent-only", loss, COEFFICIENTS)
    found = lehr.compare(truth, [law, "memoryless"], train=truth.ids[:3], **QUICK)
    assert sorted(line["law"] for line in found.laws) == ["descent-only", "memoryless"]
    assert found.winner == "descent-only" and found.laws[0]["test"]["mape"] < 1e-3
    assert lehr.validate(truth, law, train=truth.ids[:3], **QUICK)["test"]["mape"] < 1e-3
    predicted = lehr.LossLaw(law, **QUICK).fit(truth).predict(truth[0].schedule, at=2000)
    assert predicted[-1] == pytest.approx(truth[0].loss[-1], rel=1e-3)


def test_fits_of_own_laws_are_kept_and_need_the_law_again(truth, tmp_path):
    law = lehr.Law("descent-only", loss, COEFFICIENTS)
    fit = lehr.fit(truth, law, **QUICK)
    fit.save(tmp_path / "fit.json")
    with pytest.raises(lehr.LehrError, match="descent-only") as caught:
        lehr.Fit.load(tmp_path / "fit.json")
    assert "laws=" in caught.value.remedy
    ahead = fit.forecast(peak_lr=1e-3, steps=3000)
    for again in (lehr.Fit.load(tmp_path / "fit.json", laws=law), pickle.loads(pickle.dumps(fit)), copy.deepcopy(fit)):
        assert again == fit and again.forecast(peak_lr=1e-3, steps=3000) == ahead


def test_what_a_law_raises_is_raised_from_the_question(truth):
    def broken(theta, run):
        raise ZeroDivisionError("by the law")

    with pytest.raises(ZeroDivisionError, match="by the law"):
        lehr.fit(truth, lehr.Law("broken", broken, COEFFICIENTS), **QUICK)
    for given, found in [(lambda theta, run: 1.0, r"\(\)"), (lambda theta, run: np.ones(3), r"\(3,\)"), (lambda theta, run: "x", "numbers")]:
        with pytest.raises(lehr.RequestError, match=found):
            lehr.fit(truth, lehr.Law("odd", given, COEFFICIENTS), **QUICK)
    later = []

    def late(theta, run):
        if later:
            raise KeyError("later")
        return loss(theta, run)

    fit = lehr.fit(truth, lehr.Law("late", late, COEFFICIENTS), **QUICK)
    later.append(1)
    with pytest.raises(KeyError, match="later"):
        fit.forecast(peak_lr=1e-3, steps=3000)
    later.clear()
    assert np.isfinite(fit.forecast(peak_lr=1e-3, steps=3000).loss).all()


def test_laws_that_contradict_themselves_are_refused():
    for name, coefficients, words in [
        ("fsl", COEFFICIENTS, "taken"),
        ("My Law", COEFFICIENTS, "lower-case"),
        ("empty", {}, "at least 1"),
        ("bounds", {"a": (2.0, 1.0, 1.5)}, "lower below the upper"),
        ("start", {"a": (0.0, 1.0, 2.0)}, "outside its bounds"),
        ("log", {"a": lehr.Coefficient(0.0, 1.0, 0.5, "log")}, "log scale"),
        ("scale", {"a": lehr.Coefficient(0.0, 1.0, 0.5, "square")}, "square"),
        ("two", {"a": (1.0, 2.0)}, "three numbers"),
        ("nan", {"a": (float("nan"), 2.0, 1.0)}, "finite bounds"),
    ]:
        with pytest.raises(lehr.RequestError) as caught:
            lehr.Law(name, loss, coefficients)
        assert words in f"{caught.value} {caught.value.expected}", (name, caught.value)
    with pytest.raises(lehr.RequestError, match="predict is int"):
        lehr.Law("number", 3, COEFFICIENTS)


def test_a_law_sees_the_schedule_of_every_update(truth):
    seen = {}

    def look(theta, run):
        if not seen:
            seen.update(
                update=run.update, lr=run.lr, s=run.forward_effect, m=run.momentum, n8=run.n8, warmup=run.warmup, nodes=run.nodes
            )
        return loss(theta, run)

    lehr.fit(truth[:1], lehr.Law("looking", look, COEFFICIENTS, momentum=True), starts=1, points="all")
    rates = truth[0].schedule.rates()
    assert seen["lr"].tolist() == rates[seen["update"].astype(int) - 1].tolist()
    assert seen["s"] == pytest.approx(np.cumsum(rates)[seen["update"].astype(int) - 1], rel=1e-12)
    assert len(seen["m"]) == len(seen["update"]) and seen["m"][-1] > 0.0 == seen["m"][0]
    assert seen["n8"] == 1.0 and seen["warmup"] == 100.0
    nodes = seen["nodes"]
    for point, n in zip(seen["update"], nodes["before_point"].astype(int)):
        # Side steps are forgotten, but for the one that ends at the point.
        on_the_way = (nodes["side"][:n] == 0) | (np.arange(n) == n - 1)
        assert nodes["updates"][:n][on_the_way].sum() == point
