"""What a Python user sees."""

import copy
import math
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import numpy as np
import pytest

import lehr
from conftest import FIXTURES, QUICK


def frame() -> dict[str, np.ndarray]:
    t = np.arange(1, 2001)
    lr = lehr.Schedule.wsd(peak_lr=1e-3, steps=2000, warmup=100, ratio=0.2).rates()
    return {"step": t, "lr": lr, "loss": 3.0 + 2.0 / np.sqrt(t) - 30.0 * (1e-3 - lr) * (t > 1600)}


def test_runs_are_a_list_that_is_asked_by_name_and_filtered(runs):
    first = runs[0]
    assert runs[first.id].id == first.id and len(runs[1:3]) == 2
    assert runs.filter(first.id).ids == [first.id]
    assert runs.filter(lambda run: run.id == first.id).ids == [first.id]
    assert len(first.step) == len(first.loss) == len(first.lr) == len(first)
    assert first.schedule.lr(int(first.step[-1])) == first.lr[-1]
    with pytest.raises(lehr.RequestError, match="no run is named none-such"):
        runs.filter("none-such")


def test_frames_of_every_kind_give_the_same_run():
    columns = frame()
    wanted = lehr.read(columns)
    assert (wanted[0].step == columns["step"]).all() and (wanted[0].loss == columns["loss"]).all()
    assert str(wanted[0].schedule).startswith("wsd:peak=0.001,total=2000,warmup=100,ratio=0.2")
    pandas, polars, pyarrow = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    for made in (pandas.DataFrame(columns), polars.DataFrame(columns), pyarrow.table(columns)):
        assert lehr.read(made) == wanted
    parts = pyarrow.concat_tables([pyarrow.table(columns).slice(0, 777), pyarrow.table(columns).slice(777)])
    assert lehr.read(parts) == wanted


def test_cells_that_are_missing_are_no_losses_and_texts_name_runs():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = {name: list(values) for name, values in frame().items()}
    columns["loss"][5:900:7] = [None] * len(columns["loss"][5:900:7])
    columns["run"] = ["a-name-that-is-longer-than-twelve"] * 1000 + ["b"] * 1000
    columns["step"] = list(range(1, 1001)) * 2
    wanted = lehr.read(columns)
    assert wanted.ids == ["a-name-that-is-longer-than-twelve", "b"] or len(wanted) == 2
    assert lehr.read(polars.DataFrame(columns)) == wanted
    assert lehr.read(pandas.DataFrame(columns)) == wanted


def test_a_loss_that_is_nan_in_an_array_is_refused_with_its_line():
    columns = frame()
    columns["loss"][10] = math.nan
    with pytest.raises(lehr.ReadError) as caught:
        lehr.read(columns, name="mine")
    error = caught.value
    assert error.file == "mine.csv" and error.line == 12 and error.expected == "a finite number above 0"
    assert "drop_nan=" in error.remedy and "--" not in str(error)


def test_errors_say_file_line_found_expected_and_remedy(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,lr,loss\n1,0.1,3.0\n2,0.1,abc\n")
    with pytest.raises(lehr.ReadError) as caught:
        lehr.read(log)
    error = caught.value
    assert (error.file, error.line, error.found) == (str(log), 3, "'abc'") or (error.line, "abc" in error.found) == (3, True)
    assert error.expected and error.remedy
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is lehr.ReadError and again.line == 3 and str(again) == str(error)
    with pytest.raises(lehr.ReadError, match="no such file") as caught:
        lehr.read(tmp_path / "nothing.csv")
    assert isinstance(caught.value, ValueError) and caught.value.file.endswith("nothing.csv")


def test_ways_out_hold_the_same_numbers(runs, fit):
    pandas, polars, pyarrow = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    forecast = fit.forecast(peak_lr=1e-3, steps=2000, ratio=0.3)
    for thing in (runs, runs[0], fit.coefficients, forecast, fit.recommend(peak_lr=1e-3, steps=2000), forecast.schedule):
        columns = thing.to_dict()
        rows = len(next(iter(columns.values())))
        assert isinstance(thing.to_pandas(), pandas.DataFrame) and len(thing.to_pandas()) == rows > 0
        assert isinstance(thing.to_polars(), polars.DataFrame) and list(thing.to_polars().columns) == list(columns)
        assert isinstance(thing.to_arrow(), pyarrow.Table)
    assert polars.from_arrow(pyarrow.table(forecast.to_arrow()))["loss"].to_list() == forecast["loss"]
    assert lehr.read(runs[0]).ids == ["frame"] and (lehr.read(runs[0])[0].loss == runs[0].loss).all()


def test_pickles_and_copies_are_equal(runs, fit):
    forecast, advice = fit.forecast(peak_lr=1e-3, steps=2000), fit.recommend(peak_lr=1e-3, steps=2000)
    schedule = lehr.Schedule.cosine(peak_lr=3e-4, steps=500)
    for thing in (runs, fit, forecast, advice, schedule, fit.coefficients):
        for again in (pickle.loads(pickle.dumps(thing)), copy.copy(thing), copy.deepcopy(thing)):
            assert again == thing and type(again) is type(thing)
    kept = pickle.loads(pickle.dumps(advice))
    assert kept.svg() == advice.svg() and kept.export("torch").text == advice.export("torch").text
    assert pickle.loads(pickle.dumps(fit)).forecast(peak_lr=1e-3, steps=2000) == forecast
    assert fit != pickle.loads(pickle.dumps(lehr.fit(runs[:5], **QUICK)))


def test_fitting_begins_where_it_is_told(runs):
    some = runs[:4]
    assert lehr.fit(some, first_update=2000, **QUICK).to_dict()["options"]["first_update"] == 2000
    assert lehr.fit(some, first_update="found", **QUICK).to_dict()["options"]["begin"] == "always"
    assert lehr.fit(some, **QUICK).to_dict()["options"]["first_update"] == 0, "the runs show their warm-up"
    with pytest.raises(lehr.LehrError, match="first_update= is 'fund'"):
        lehr.fit(some, first_update="fund", **QUICK)


def test_fits_are_saved_and_loaded(fit, tmp_path):
    fit.save(tmp_path / "fit.json")
    assert lehr.Fit.load(tmp_path / "fit.json") == fit
    (tmp_path / "bad.json").write_text('{"format": 3,\n "law": 3}')
    with pytest.raises(lehr.ReadError, match="not a fit"):
        lehr.Fit.load(tmp_path / "bad.json")
    with pytest.raises(lehr.ReadError):
        lehr.Fit.load(tmp_path / "nothing.json")


def test_notebooks_get_a_table_and_a_picture(runs, fit):
    forecast = fit.forecast(peak_lr=1e-3, steps=2000)
    for thing in (fit, forecast, fit.recommend(peak_lr=1e-3, steps=2000)):
        text = thing._repr_html_()
        assert "<table>" in text and "<svg" in text
    assert runs[0].id in runs._repr_html_() and "<table>" in forecast.schedule._repr_html_()


def test_pictures_are_drawn_and_written(runs, fit, tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    advice = fit.recommend(peak_lr=1e-3, steps=2000)
    for thing in (runs, fit, fit.forecast(peak_lr=1e-3, steps=2000), advice, advice.schedule):
        assert thing.plot().lines
    advice.save_plot(tmp_path / "ratio.png")
    assert (tmp_path / "ratio.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(lehr.RequestError):
        advice.save_plot(tmp_path / "ratio.doc")


def test_caveats_are_values_and_warnings(fit):
    with pytest.warns(lehr.CaveatWarning) as said:
        forecast = fit.forecast(peak_lr=0.5, steps=2_000_000, at=[2_000_000])
    assert {w.message.code for w in said} == {c.code for c in forecast.caveats}
    assert [w.filename for w in said] == [__file__] * len(said)
    with warnings.catch_warnings():
        warnings.simplefilter("error", lehr.CaveatWarning)
        with pytest.raises(lehr.CaveatWarning):
            fit.forecast(peak_lr=0.5, steps=2_000_000, at=[2_000_000])


def test_the_estimator_is_cloned_and_predicts(some):
    base = pytest.importorskip("sklearn.base")
    law = lehr.LossLaw("noise-relaxation", **QUICK)
    again = base.clone(law)
    assert again is not law and again.get_params() == law.get_params()
    with pytest.raises(lehr.RequestError, match="not fitted"):
        again.predict("wsd:peak=1e-3,total=2000,ratio=0.2")
    assert again.fit(some) is again
    assert again.fit_ == lehr.fit(some, **QUICK) and not hasattr(law, "fit_")
    losses = again.predict(lehr.Schedule.wsd(peak_lr=1e-3, steps=2000, ratio=0.2))
    assert np.isfinite(losses).all() and -0.1 < again.score(some) <= 0.0


def test_a_panic_becomes_an_exception_that_asks_for_a_report():
    with pytest.raises(lehr.InternalError, match="provoked by a test") as caught:
        lehr._lehr.provoke_panic()
    assert "report" in caught.value.remedy


GARBAGE = [None, True, -1, 0, 1.5, math.nan, math.inf, -math.inf, 2**70, "", "x", "\0", b"bytes", [], {}, [[1]],
           {"a": {"b": 1}}, object(), lambda: 1, np.array([1.0]), np.float64("nan"), "🦀" * 300]  # fmt: skip


def calls(fit):
    some = frame()
    nowhere = os.path.join(tempfile.mkdtemp(), "nowhere")
    yield "read", lambda x: lehr.read(x)
    for name in ("map", "run", "split", "warmup", "params", "tokens_per_step", "stated_schedule", "lr_scale", "loss_kind", "manifest"):
        yield f"read {name}", lambda x, name=name: lehr.read(some, **{name: x})
    runs = lehr.read(some)
    for name in ("fix", "free", "bound", "prior", "residual", "huber", "skip_warmup", "first_update", "momentum", "keep",
                 "seed", "level", "points"):  # fmt: skip
        yield f"fit {name}", lambda x, name=name: lehr.fit(runs, **{"starts": 1, "max_iterations": 2, name: x})
    yield "fit law", lambda x: lehr.fit(runs, x)
    yield "fit runs", lambda x: lehr.fit(x)
    for name in ("schedule", "peak_lr", "steps", "warmup", "ratio", "shape", "final_lr", "params", "at", "level", "arch"):
        yield f"forecast {name}", lambda x, name=name: fit.forecast(**{"peak_lr": 1e-3, "steps": 1000, name: x})
    for name in ("peak_lr", "steps", "ratio_range", "max_anneal_steps", "tolerance", "export", "from_step"):
        yield f"recommend {name}", lambda x, name=name: fit.recommend(**{"peak_lr": 1e-3, "steps": 1000, name: x})
    yield "Schedule", lehr.Schedule
    yield "sampled", lehr.Schedule.sampled
    for name in ("peak_lr", "steps", "warmup", "ratio", "shape", "final_lr"):
        yield f"wsd {name}", lambda x, name=name: lehr.Schedule.wsd(**{"peak_lr": 1e-3, "steps": 1000, "ratio": 0.2, name: x})
    yield "law", lehr.law
    yield "export", lambda x: lehr.Schedule("wsd:peak=1e-3,total=100,ratio=0.2").export(x)
    yield "load", lehr.Fit.load
    for name in ("running", "tokens", "compute", "anneal_steps", "anneal_from", "accept", "measured"):
        yield f"forecast {name}", lambda x, name=name: fit.forecast(**{"peak_lr": 1e-3, "tokens_per_step": 1000, "steps": 1000, name: x})
        yield f"forecast {name} alone", lambda x, name=name: fit.forecast(**{"peak_lr": 1e-3, "tokens_per_step": 1000, name: x})
        yield f"recommend {name}", lambda x, name=name: fit.recommend(**{"peak_lr": 1e-3, "params": 10**6, name: x})
    yield "recommend rates", lambda x: fit.recommend(peak_lr=[1e-3, x], steps=1000)
    yield "recommend shapes", lambda x: fit.recommend(peak_lr=1e-3, steps=1000, shape=["linear", x])
    yield "recommend sizes", lambda x: fit.recommend(peak_lr=1e-3, steps=1000, params=["1M", x])
    law = {"name": "own", "predict": lambda theta, run: theta[0] + 0 * run.lr, "coefficients": {"a": (0.1, 9.0, 3.0)}}
    for name in (*law, "jacobian", "limits", "equation"):
        yield f"Law {name}", lambda x, name=name: lehr.fit(runs, lehr.Law(**{**law, name: x}), starts=1, max_iterations=2)
    yield "Coefficient", lambda x: lehr.Law(**{**law, "coefficients": {"a": x}})
    yield "Law gives", lambda x: lehr.fit(runs, lehr.Law(**{**law, "predict": lambda theta, run: x}), starts=1, max_iterations=2)
    for name in ("fit", "steps", "anneal_steps", "every", "on", "shape", "law", "accept"):
        yield f"watch {name}", lambda x, name=name: lehr.watch(str(FIXTURES / "runs"), **{name: x})
    yield "watch", lambda x: lehr.watch(x).look()
    yield "report", lambda x: lehr.report(x, os.path.join(nowhere, "at", "all.html"))
    for name in ("runs", "law", "peak_lr", "steps", "shape"):
        yield f"report {name}", lambda x, name=name: lehr.report(fit, os.path.join(nowhere, "at", "all.html"), **{name: x})
    target = {"peak_lr": 1e-3, "steps": 2000, "most_runs": 1, "draws": 2}
    for name in ("about", "peak_lr", "steps", "budget", "throughput", "checkpoints", "candidate_params", "candidate_lrs", "horizons",
                 "ratios", "aim", "seed", "model", "batch", "sweep"):  # fmt: skip
        yield f"plan {name}", lambda x, name=name: lehr.plan(**{"about": fit, **target, name: x})
    yield "LossLaw", lambda x: lehr.LossLaw(x).fit(runs)
    yield "Logger", lambda x: lehr.Logger(x).close() if isinstance(x, (list, dict, float)) else None
    logger = lehr.Logger(nowhere + ".jsonl")
    for i in range(3):
        yield f"logged {i}", lambda x, i=i: logger.log(*([1, 2.0, 3.0][:i] + [x] + [1, 2.0, 3.0][i + 1 :]))
    yield "compare", lambda x: lehr.compare(x)
    yield "compare laws", lambda x: lehr.compare(runs, x)
    yield "transfer", lambda x: lehr.transfer(x)


@pytest.mark.filterwarnings("ignore")
def test_garbage_makes_an_answer_or_an_ordinary_exception(fit):
    for what, call in calls(fit):
        for garbage in GARBAGE:
            try:
                call(garbage)
            except lehr.InternalError as error:
                pytest.fail(f"{what} of {garbage!r} panics: {error}")
            except (lehr.LehrError, TypeError, ValueError, OSError, OverflowError, KeyError):
                pass


def test_other_threads_run_while_a_fit_is_made(runs):
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.wait(0.002):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    begun = time.monotonic()
    lehr.fit(runs, starts=4)
    ended = time.monotonic()
    stop.set()
    thread.join()
    inside = [t for t in ticks if begun < t < ended]
    assert len(inside) > 5 and max(b - a for a, b in zip(inside, inside[1:])) < 0.5


SLOW = """
import sys, time, warnings
warnings.simplefilter("ignore")
import lehr
runs = lehr.read({path!r})
print("begin", flush=True)
try:
    lehr.fit(runs, points="all", starts=2000, max_iterations=100000, threads=1)
    print("done", flush=True)
except KeyboardInterrupt:
    print("interrupted", time.time(), flush=True)
    time.sleep(0.6)
    used = time.process_time()
    time.sleep(1.0)
    print("idle", time.process_time() - used, flush=True)
"""


def test_ctrl_c_ends_a_fit_at_once_and_stops_its_work(path):
    child = subprocess.Popen([sys.executable, "-c", SLOW.format(path=path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begin\n"
    time.sleep(1.0)
    sent = time.time()
    child.send_signal(signal.SIGINT)
    words = child.stdout.readline().split()
    assert words[0] == "interrupted"
    # 50 ms until the next look, and what a busy machine adds.
    assert float(words[1]) - sent < 1.0
    idle = child.stdout.readline().split()
    assert idle[0] == "idle" and float(idle[1]) < 0.5, idle
    assert child.wait(60) == 0


def test_progress_is_heard_and_silent_when_asked(path, capfd):
    heard = []
    lehr.read(path, progress=lambda *stage: heard.append(stage))
    lehr.read(path, progress=False)
    assert capfd.readouterr() == ("", "")
    assert all(len(stage) == 4 for stage in heard)


def test_the_logger_survives_being_killed(tmp_path):
    path = tmp_path / "run.jsonl"
    code = f"import lehr\nlogger = lehr.Logger({str(path)!r})\ni = 0\nwhile True:\n    i += 1\n    logger.log(i, 3.0 + 1.0 / i, 1e-3)\n    if i == 500: print('there', flush=True)\n"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    child.kill()
    child.wait()
    run = lehr.read(path)[0]
    assert len(run) >= 500 and (run.step == np.arange(1, len(run) + 1)).all()
    # A row that a power failure cut off goes; rows that are logged again take the place of the old ones.
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 99')
    with lehr.Logger(path) as logger:
        assert path.read_bytes() == whole
        logger.log(301, 9.0, 1e-3)
    run = lehr.read(path)[0]
    assert len(run) == 301 and run.loss[-1] == 9.0


def test_a_call_of_the_logger_takes_less_than_50_microseconds(tmp_path):
    times = []
    with lehr.Logger(tmp_path / "run.jsonl") as logger:
        for i in range(1, 5001):
            begun = time.perf_counter()
            logger.log(i, 3.0, 1e-3)
            times.append(time.perf_counter() - begun)
    assert np.median(times) < 50e-6


def test_a_monitor_forecasts_and_anneals_only_when_asked(fit, tmp_path):
    from lehr.callbacks import AnnealWhen, Monitor

    class Scheduler:
        def __init__(self):
            self.schedule = lehr.Schedule.constant(peak_lr=1e-3, steps=2000, warmup=50)

        def start_annealing(self, updates):
            self.schedule = self.schedule.anneal_from(1000, updates)

    said = []
    plain = Scheduler()
    monitor = Monitor(tmp_path / "a.jsonl", fit=fit, schedule=plain, every=500, say=said.append)
    for t in range(1, 1001):
        monitor.log(t, 3.0, plain.schedule.lr(t))
    assert [step for step, _ in monitor.forecasts] == [500, 1000] and len(said) == 2 and plain.schedule.steps == 2000
    acting = Scheduler()
    when = AnnealWhen(acting, gain=10.0, anneal_steps=200, ahead=500, after=1000)
    monitor = Monitor(tmp_path / "b.jsonl", fit=fit, schedule=acting, every=500, anneal_when=when, say=said.append)
    for t in range(1, 1001):
        monitor.log(t, 3.0, acting.schedule.lr(t))
    assert when.started_at == 1000 and acting.schedule.steps == 1200


def test_lehr_is_imported_without_numpy_and_other_libraries():
    code = "import sys, lehr; print([m for m in ('numpy', 'pandas', 'matplotlib', 'torch', 'jax') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_the_command_is_in_the_wheel():
    command = pathlib.Path(sys.executable).with_name("lehr")
    done = subprocess.run([command, "--version"], capture_output=True, text=True)
    assert done.stdout == f"lehr {lehr.__version__}\n"
    assert subprocess.run([command, "fit", "nothing.csv"], capture_output=True).returncode == 1
    assert subprocess.run([command, "--none"], capture_output=True).returncode == 2
    assert os.fspath(FIXTURES)
