"""What users do wrong is said by name before anything is lost; what they may expect to work does."""

import copy
import fractions
import glob
import itertools
import json
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import lehr
from conftest import QUICK


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lehr.CaveatWarning)
        yield


def rows(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def test_a_file_that_is_no_log_is_left_as_it_is(tmp_path):
    for text in ('{"model": "config", "lr": 1}', "precious", '{"step": "a"}\n', "x,y\n1,2\n", '{"step": 1, "loss": 2}\nprecious'):
        path = tmp_path / "file"
        path.write_text(text)
        with pytest.raises(lehr.ReadError, match="left as it is"):
            lehr.Logger(path)
        assert path.read_text() == text
    for cut in ('{"st', '{"step": 2, "lo', "\0\0\0"):
        path.write_text('{"step": 1, "loss": 2.0}\n' + cut)
        with lehr.Logger(path) as logger:
            logger.log(2, 1.5, 1e-3)
        assert [row["step"] for row in rows(path)] == [1, 2]


def test_steps_are_whole_numbers_and_rows_before_them_stay(tmp_path):
    path = tmp_path / "run.jsonl"
    with lehr.Logger(path) as logger:
        for step in range(1, 3001):
            logger.log(step, 2.0, 1e-3)
        for step in (1.9, "2", None, True, -1, 0, math.nan, 10**30 + 0.5):
            with pytest.raises(lehr.RequestError, match="step is"):
                logger.log(step, 2.0)
        with pytest.raises(lehr.RequestError, match="loss is"):
            logger.log(3001, "2.0")
        assert len(rows(path)) == 3000
        logger.log(np.int64(2999), np.float32(1.0), 1e-3)
        logger.log(3000.0, fractions.Fraction(1, 2))
        assert [row["step"] for row in rows(path)][-3:] == [2998, 2999, 3000] and rows(path)[-1]["loss"] == 0.5
        logger.log(5, 1.0)
        assert [row["step"] for row in rows(path)] == [1, 2, 3, 4, 5]
        logger.log(1, 1.0)
        assert [row["step"] for row in rows(path)] == [1]
    with pytest.raises(lehr.RequestError, match="is closed"):
        logger.log(2, 1.0)


def test_a_log_has_one_writer(tmp_path):
    path = tmp_path / "run.jsonl"
    code = f"import lehr; lehr.Logger({str(path)!r}).log(1, 2.0)"
    with lehr.Logger(path):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "is written by another process" in done.stderr
    subprocess.run([sys.executable, "-c", code], check=True)
    # A cell that is run again: the later one writes.
    first = lehr.Logger(path)
    with lehr.Logger(path) as second:
        second.log(1, 1.0)
        with pytest.raises(lehr.RequestError, match="a Logger that was made later writes it"):
            first.log(2, 2.0)
    assert [row["step"] for row in rows(path)] == [1]


def test_a_log_behind_a_link_stays_one_file(tmp_path):
    (tmp_path / "disk").mkdir()
    os.symlink(tmp_path / "disk/run.jsonl", tmp_path / "run.jsonl")
    with lehr.Logger(tmp_path / "run.jsonl") as logger:
        for step in (1, 2, 3, 2):
            logger.log(step, 2.0)
    assert (tmp_path / "run.jsonl").is_symlink() and len(rows(tmp_path / "disk/run.jsonl")) == 2


def test_a_blank_or_foreign_row_is_said_where_rows_are_replaced(tmp_path):
    path = tmp_path / "f"
    path.write_text('{"step": 5, "loss": 2}\n\n')
    with lehr.Logger(path) as logger:
        logger.log(3, 1.0, 1.0)
    assert [row["step"] for row in rows(path)] == [3]
    path.write_text('foreign\n{"step": 5, "loss": 2}\n')
    with lehr.Logger(path) as logger, pytest.raises(lehr.ReadError, match="a row of it is no row"):
        logger.log(3, 1.0, 1.0)
    assert path.read_text().startswith("foreign\n")


def test_numbers_are_no_names_of_files(fit, tmp_path):
    # Python would take them for files that are open, and close these.
    for name in (0, 1, True, None, b"a\0b", "\ud800"):
        with pytest.raises(lehr.RequestError, match="path is"):
            lehr.Fit.load(name)
        with pytest.raises(lehr.RequestError, match="path is"):
            fit.save(name)
        with pytest.raises(lehr.RequestError):
            lehr.Logger(name)
        with pytest.raises(lehr.RequestError):
            lehr.Schedule.recognise(name)
        with pytest.raises(lehr.RequestError):
            lehr.read(name)
    os.fstat(1)


def test_endless_and_huge_arguments_end(runs):
    class Endless:
        def __iter__(self):
            return itertools.count()

    for given in ({"map": Endless()}, {"starts": "1.3B"}, {"starts": 10**9}, {"bootstrap": 10**9}, {"threads": "1.3B"}, {"starts": int}):
        with pytest.raises(lehr.RequestError):
            lehr.read(Endless()) if "map" in given else lehr.fit(runs, "cmmt", **{**QUICK, **given})
    with pytest.raises(lehr.RequestError, match="more than 1000000 values"):
        lehr.read({"step": [1], "loss": [2.0], "lr": [1e-3]}, run=Endless())
    with pytest.raises(lehr.RequestError, match="keep= names 'typo', and no run has that name"):
        lehr.fit(runs, "cmmt", keep="typo", **QUICK)


def test_an_empty_selection_is_not_everything(runs):
    for ask in (lambda: lehr.compare(runs, train=[], test=[]), lambda: lehr.fit(runs, free=[], **QUICK)):
        with pytest.raises(lehr.RequestError, match="an empty list"):
            ask()
    none = runs.filter(lambda run: False)
    assert len(none.to_pandas()) == 0 and list(none.to_dict()) == ["run", "step", "lr", "loss"]
    for ask in (lehr.fit, lehr.compare, lehr.validate, lambda none: lehr.report(none, "r.html")):
        with pytest.raises(lehr.RequestError, match="no run"):
            ask(none)


def test_runs_are_compared_pickled_and_found(runs):
    assert runs[0] == runs[0] and runs[0] in runs and runs.index(runs[1]) == 1 and runs[0] != runs[1]
    assert pickle.loads(pickle.dumps(runs[2])) == runs[2] == copy.deepcopy(runs[2])
    assert "<table>" in runs[0]._repr_html_()
    with pytest.raises(IndexError, match="there are"):
        runs[99]
    with pytest.raises(TypeError, match="by its place or its name"):
        runs[None]
    with pytest.raises(lehr.RequestError, match="a name or pattern"):
        runs.filter(None)
    first = runs.ids[0]
    assert runs.filter("!" + first).ids == runs.ids[1:] and runs.filter(f"?{first[1:]}").ids == [first]


def test_lists_of_paths_and_frames_are_read(runs, tmp_path):
    for run in runs[:2]:
        run.to_pandas().to_csv(tmp_path / f"{run.id}.csv", index=False)
    found = lehr.read(sorted(glob.glob(str(tmp_path / "*.csv"))))
    assert len(found) == 2 and found == lehr.read(str(tmp_path))
    assert len(lehr.read([runs[0].to_pandas(), runs[1].to_pandas()])) == 2
    with pytest.raises(lehr.RequestError, match="no frame was given"):
        lehr.read(str(tmp_path), name="mine")


def test_frames_that_are_none_are_refused():
    import pandas

    for frame, what in (
        (pandas.Series([1.0, 2.0]), "one column"),
        ({"step": 1, "loss": 2.0, "lr": 3.0}, "column 'step' is 1"),
        ({"step": "123", "loss": [1.0], "lr": [1.0]}, "column 'step' is '123'"),
        (pandas.DataFrame([[1, 2.0, 3.0]], columns=["step", "loss", "loss"]), "two columns are named 'loss'"),
    ):
        with pytest.raises(lehr.RequestError, match=what):
            lehr.read(frame)


def test_decimal_columns_are_numbers(runs):
    import decimal

    import pyarrow

    run = runs[0]
    exact = pyarrow.array([decimal.Decimal(round(loss * 10**6)).scaleb(-6) for loss in run.loss], pyarrow.decimal128(12, 6))
    table = pyarrow.table({"step": run.step, "lr": run.lr, "loss": exact})
    assert np.allclose(lehr.read(table)[0].loss, run.loss, atol=1e-6)


def test_a_run_that_diverged_is_not_healthy_in_pandas(runs):
    frame = runs["sim-peak5e-4-T10000-constant"].to_pandas()
    frame.loc[len(frame) // 2 :, "loss"] = np.nan
    with pytest.raises(lehr.ReadError, match="NaN"):
        lehr.read(frame)
    assert any("left out" in caveat.message for caveat in lehr.read(frame, drop_nan=True).caveats)
    # A loss in every tenth row alone has ended, and that is said.
    sparse = runs["sim-peak5e-4-T10000-constant"].to_pandas()
    keep = (sparse.index % 5 == 0) & (sparse.index < len(sparse) // 2)
    sparse.loc[~keep, "loss"] = np.nan
    assert "no-loss-at-the-end" in [note.code for note in lehr.read(sparse).notes]


def test_schedules_say_which_argument_is_wrong():
    loop = []
    loop.append(loop)
    for name, value in (("peak_lr", "abc"), ("peak_lr", None), ("peak_lr", True), ("steps", loop), ("ratio", [[1]]), ("steps", 1.5), ("shape", 3)):
        with pytest.raises(lehr.RequestError, match=f"{name} is"):
            lehr.Schedule.wsd(**{"peak_lr": 1e-3, "steps": 100, "ratio": 0.2, name: value})
    assert lehr.Schedule.wsd(peak_lr=np.float32(0.5), steps="1k", ratio=0.25).steps == 1000


def test_errors_say_what_was_expected():
    with pytest.raises(lehr.RequestError) as caught:
        lehr.read(3)
    assert "expected a path" in str(caught.value)
    for frame, hint in (({"a": [1], "loss": [2.0], "lr": [1e-3]}, "map={'step': NAME}"), ({"loss": [3.0, 2.0]}, "`lehr import --help` lists")):
        with pytest.raises(lehr.LehrError) as caught:
            lehr.read(frame)
        assert hint in str(caught.value) and "= '" not in str(caught.value), str(caught.value)


def forked(queue, runs):
    queue.put(lehr.fit(runs, "cmmt", starts=2, points=12).law)


def test_a_forked_process_computes(runs):
    lehr.fit(runs, "cmmt", **QUICK)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=forked, args=(queue, runs))
        child.start()
    assert queue.get(timeout=60) == "cmmt"
    child.join(10)


def test_searches_of_scikit_learn_work(runs):
    selection = pytest.importorskip("sklearn.model_selection")
    search = selection.GridSearchCV(lehr.LossLaw(**QUICK), {"law": ["memoryless", "cmmt"]}, cv=2)
    search.fit(runs[:6])
    assert search.best_params_["law"] in ("memoryless", "cmmt") and math.isfinite(search.best_score_)


def test_a_wrong_jacobian_is_found(runs):
    coefficients = {"l0": (0.1, 8, 2), "a": (1e-3, 50, 0.6), "alpha": (0.05, 3, 0.5)}

    def loss(theta, run):
        return theta[0] + theta[1] * run.forward_effect ** -theta[2]

    def jacobian(sign):
        def columns(theta, run):
            power = run.forward_effect ** -theta[2]
            return np.column_stack([np.ones(len(run)), power, sign * theta[1] * power * np.log(run.forward_effect)])

        return columns

    right = lehr.fit(runs, lehr.Law("own-right", loss, coefficients, jacobian=jacobian(-1)), **QUICK)
    plain = lehr.fit(runs, lehr.Law("own-plain", loss, coefficients), **QUICK)
    assert right.coefficients["l0"] == pytest.approx(plain.coefficients["l0"], rel=1e-4)
    with pytest.raises(lehr.RequestError, match="jacobian of the law 'own-wrong' is wrong for 'alpha'"):
        lehr.fit(runs, lehr.Law("own-wrong", loss, coefficients, jacobian=jacobian(1)), **QUICK)
    with pytest.raises(lehr.RequestError, match="a coefficient is named 'a=b'"):
        lehr.Law("own-named", loss, {"a=b": (0, 1, 0.5)})


def test_an_annealing_does_not_start_by_mistake(fit, tmp_path):
    from lehr.callbacks import AnnealWhen, Monitor

    class Scheduler:
        def start_annealing(self, updates):
            raise AssertionError("started")

    usual = {"gain": 1e-3, "anneal_steps": 10, "ahead": 10}
    for name, value in (("gain", math.nan), ("gain", "x"), ("anneal_steps", -1), ("ahead", 0), ("after", None)):
        with pytest.raises(lehr.RequestError, match=f"{name} is"):
            AnnealWhen(Scheduler(), **{**usual, name: value})
    with pytest.raises(lehr.RequestError, match="scheduler is"):
        AnnealWhen(3, **usual)
    plan = lehr.Schedule.wsd(peak_lr=5e-4, steps=2000, ratio=0.2)
    for wrong in ({"fit": 3}, {"parms": 7}, {"say": 3}, {"every": math.nan}, {"every": "x"}, {"anneal_when": 3}, {"schedule": "wsd:"}):
        with pytest.raises(lehr.LehrError):
            Monitor(tmp_path / "m.jsonl", **{"fit": fit, "schedule": plan, **wrong})
    assert not (tmp_path / "m.jsonl").exists()


def test_rate_batch_and_ratio_are_chosen_together_as_by_the_command(tmp_path, fit):
    fit.save(tmp_path / "fit.json")
    answer = fit.recommend(optimise=["peak_lr", "ratio"], peak_lr_range=(2e-4, 8e-4), steps=3000)
    words = ["recommend", str(tmp_path / "fit.json"), "--optimise", "peak-lr,ratio", "--peak-lr-range", "2e-4..8e-4", "--steps", "3000"]
    done = subprocess.run([sys.executable, "-m", "lehr", *words, "--json", "--accept-caveats"], capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert (answer.peak_lr, answer.ratio, answer.loss) == (told["best"]["peak_lr"], told["best"]["ratio"], told["loss"]["value"])
    assert answer.steps == 3000 and answer.to_pandas()["loss"].min() == pytest.approx(answer.loss, abs=1e-3)
    with pytest.raises(lehr.RequestError, match="optimise= is to choose it"):
        fit.recommend(optimise="peak_lr", peak_lr=1e-3, steps=3000)
    with pytest.raises(lehr.RequestError, match="without optimise="):
        fit.recommend(peak_lr=1e-3, steps=3000, batch_range=(1, 2))


def test_the_command_in_a_fit_file_runs(tmp_path, runs):
    runs[0].to_pandas().to_csv(tmp_path / "a.csv", index=False)
    words = [sys.executable, "-m", "lehr", "fit", "a.csv", "--law", "memoryless", "--starts", "2", "-o", "fit.json"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    assert json.loads((tmp_path / "fit.json").read_text())["made"]["command"] == "lehr fit a.csv --law memoryless --starts 2 -o fit.json"


def test_runs_of_known_and_unknown_size_forecast_their_own(runs):
    frames = [run.to_dict() for run in runs[:4]]
    known = [lehr.read(frame, params="18M", name=f"known-{i}") for i, frame in enumerate(frames[:2])]
    unknown = [lehr.read(frame, name=f"unknown-{i}") for i, frame in enumerate(frames[2:])]
    fit = lehr.fit(known[0] + known[1] + unknown[0] + unknown[1], "cmmt", **QUICK)
    plain = fit.forecast("wsd:peak=5e-4,total=10k,ratio=0.2")
    given = fit.forecast("wsd:peak=5e-4,total=10k,ratio=0.2", params="18M")
    assert plain.final["value"] == given.final["value"]
    assert "unseen-size" in [caveat.code for caveat in given.caveats]
