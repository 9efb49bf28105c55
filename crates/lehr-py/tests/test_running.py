"""Running jobs, several targets, lengths in tokens, accepted caveats, watching, reports: as the command answers them."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import lehr
from conftest import without_wording


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lehr.CaveatWarning)
        yield


def command(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "lehr", *words, "--json", "--accept-caveats"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def job(runs, tmp_path_factory):
    """The first 60 % of a run at its peak rate, as a log."""
    run = next(run for run in runs if run.info["ratio"] in (None, 0.0) or "constant" in run.id)
    path = tmp_path_factory.mktemp("job") / "job.csv"
    keep = run.step <= 0.6 * run.step[-1]
    rows = zip(run.step[keep].tolist(), run.lr[keep].tolist(), run.loss[keep].tolist())
    path.write_text("step,lr,val_loss\n" + "".join(f"{t},{lr!r},{loss!r}\n" for t, lr, loss in rows))
    return path


@pytest.fixture(scope="module")
def file(fit, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "fit.json"
    fit.save(path)
    return str(path)


def test_a_running_job_is_answered_as_by_the_command(fit, file, job):
    last = int(lehr.read(job, accept=True)[0].step[-1])
    steps = 2 * last
    advice = fit.recommend(running=job, steps=steps, anneal_steps=[last // 10, last // 4], anneal_from=last + 10)
    words = ["--running", str(job), "--steps", str(steps)]
    more = ["--anneal-steps", f"{last // 10},{last // 4}", "--anneal-from", str(last + 10)]
    assert without_wording(advice.to_json()) == without_wording(command("recommend", file, *words, *more))
    assert type(advice) is lehr.RunningRecommendation and last <= advice.start_step <= steps
    assert advice.schedule.steps == steps and advice.start_step + advice.anneal_steps == steps
    assert advice.interval[0] <= advice.start_step <= advice.interval[1]
    assert advice.to_pandas()["loss"].min() == pytest.approx(advice.loss, abs=1e-5) and "<svg" in advice._repr_html_()
    ahead = fit.forecast(running=job, anneal_steps=last // 5)
    assert without_wording(ahead.to_json()) == without_wording(command("forecast", file, "--running", str(job), "--anneal-steps", str(last // 5)))
    assert type(ahead) is lehr.RunningForecast and ahead.standing["update"] == last
    assert without_wording(fit.forecast(running=job, steps=steps, ratio=0.3).to_json()) == without_wording(command("forecast", file, *words, "--ratio", "0.3"))


def test_a_job_is_given_as_a_path_as_runs_and_as_a_frame(fit, job):
    runs = lehr.read(job, accept=True)
    last = int(runs[0].step[-1])
    wanted = fit.recommend(running=str(job), steps=2 * last)
    for given in (runs, runs[0], [runs[0]], [job]):
        found = fit.recommend(running=given, steps=2 * last)
        assert (found.start_step, found.loss) == (wanted.start_step, wanted.loss)
    frame = {"step": runs[0].step, "lr": runs[0].lr, "val_loss": runs[0].loss}
    assert fit.recommend(running=frame, steps=2 * last).loss == wanted.loss
    with pytest.raises(lehr.RequestError, match="peak_lr= and running= are both given"):
        fit.recommend(running=job, peak_lr=1e-3, steps=2 * last)
    with pytest.raises(lehr.RequestError, match="running= names its log"):
        fit.recommend(peak_lr=1e-3, steps=2000, anneal_steps=100)
    with pytest.raises(lehr.LehrError, match="no-such"):
        fit.forecast(running="no-such.csv")


def test_lengths_in_tokens_and_compute_are_those_of_the_command(fit, file):
    one = fit.recommend(peak_lr=1e-3, tokens="20M", tokens_per_step=10_000)
    words = ["--peak-lr", "1e-3", "--tokens", "20M", "--tokens-per-step", "10000"]
    assert without_wording(one.to_json()) == without_wording(command("recommend", file, *words)) and one["steps"] == 2000
    other = fit.forecast(peak_lr=1e-3, compute=1.2e15, params="10M", tokens_per_step=10_000, anneal_from=1600)
    words = ["--compute", "1.2e15", "--params", "10M", "--tokens-per-step", "10000", "--anneal-from", "1600"]
    assert without_wording(other.to_json()) == without_wording(command("forecast", file, "--peak-lr", "1e-3", *words))
    assert other.schedule.steps == 2000 and len(other.schedule) - 1600 == 400
    with pytest.raises(lehr.RequestError, match="steps= and tokens= are both given"):
        fit.recommend(peak_lr=1e-3, steps=2000, tokens="20M")
    with pytest.raises(lehr.RequestError, match="the horizon is missing: steps="):
        fit.recommend(peak_lr=1e-3)
    with pytest.raises(lehr.RequestError, match="does not end at steps="):
        fit.forecast(peak_lr=1e-3, steps=2000, anneal_from=1000, anneal_steps=10)
    with pytest.raises(lehr.RequestError, match="cosine= and ratio="):
        fit.forecast(peak_lr=1e-3, steps=2000, cosine=True, ratio=0.2)


def test_several_targets_give_a_row_each(fit, file):
    rows = fit.recommend(peak_lr=[5e-4, 1e-3], shape=["linear", "1-sqrt"], steps=2000)
    words = ["--peak-lr", "5e-4,1e-3", "--shape", "linear,1-sqrt", "--steps", "2000"]
    assert without_wording(rows.to_json()) == without_wording(command("recommend", file, *words))
    assert type(rows) is lehr.Recommendations and len(rows.rows) == 4
    frame = rows.to_pandas()
    assert frame["peak_lr"].tolist() == [5e-4, 5e-4, 1e-3, 1e-3]
    assert frame["ratio"][2] == fit.recommend(peak_lr=1e-3, steps=2000).ratio
    assert "1-sqrt" in rows._repr_html_()
    with pytest.raises(lehr.RequestError, match="of one target"):
        fit.recommend(peak_lr=[5e-4, 1e-3], steps=2000, export="torch")


def test_accepted_caveats_are_silent_and_do_not_block(fit):
    far = {"peak_lr": 0.5, "steps": 2_000_000, "at": [2_000_000]}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        plain = fit.forecast(**far)
        assert len(said) == len(plain.caveats) > 0 and plain.blocked
        blocking = [caveat.code for caveat in plain.caveats if caveat.blocking]
        said.clear()
        some = fit.forecast(**far, accept=blocking)
        assert {w.message.code for w in said} == {c.code for c in plain.caveats} - set(blocking)
        assert not some.blocked and some.caveats == plain.caveats
        said.clear()
        assert not fit.forecast(**far, accept=True).blocked and not said
    with pytest.raises(lehr.RequestError, match="'no-such', which is no kind of caveat"):
        fit.forecast(**far, accept="no-such")


def test_caveats_carry_values_and_remedies_and_come_in_the_order_of_their_importance(fit):
    found = fit.forecast(peak_lr=0.5, steps=2_000_000, at=[2_000_000]).caveats
    kinds = {kind["code"]: kind for kind in lehr.caveat_kinds()}
    assert [c.code for c in found] == sorted((c.code for c in found), key=lambda code: not [c for c in found if c.code == code][0].blocking)
    far = next(c for c in found if c.code == "extrapolates-horizon")
    assert far.values["factor"] > 100 and f"{far.values['factor']:.0f}"[:2] in far.message
    for caveat in found:
        assert caveat.remedy == kinds[caveat.code]["remedy"]
        assert "--" not in caveat.message + (caveat.remedy or "") and "[[" not in caveat.message + (caveat.remedy or "")


def test_a_watch_says_what_is_new_and_keeps_forecasts(fit, job, tmp_path):
    log = tmp_path / "run" / "job.csv"
    log.parent.mkdir()
    lines = job.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[: len(lines) * 3 // 4]))
    last = int(lines[-1].split(",")[0])
    heard = []
    watch = lehr.watch(log.parent, fit=fit, steps=2 * last, save=tmp_path / "saved.jsonl", on={"anneal-now": heard.append}, every=0.05)
    looks = iter(watch)
    first = next(looks)
    assert [job["id"] for job in first.jobs] == ["job"] and first.jobs[0]["forecast"]["value"] > 0.0
    assert not watch.poll()
    with open(log, "a") as more:
        more.writelines(lines[len(lines) * 3 // 4 :])
    second = next(looks)
    assert second.jobs[0]["update"] == last > first.jobs[0]["update"]
    saved = [json.loads(line) for line in (tmp_path / "saved.jsonl").read_text().splitlines()]
    assert [row["update"] for row in saved] == [first.jobs[0]["update"], last]
    assert second.to_pandas()["forecast"][0] == second.jobs[0]["forecast"]["value"] == saved[-1]["loss"]
    once = json.loads(command("watch", str(log.parent), "--fit", str(_kept(fit, tmp_path)), "--steps", str(2 * last), "--once"))
    assert once["jobs"] == second.jobs
    assert "job" in second._repr_html_()


def _kept(fit, folder):
    fit.save(folder / "fit.json")
    return folder / "fit.json"


def test_a_watch_of_nothing_is_refused(tmp_path):
    with pytest.raises(lehr.RequestError, match="nothing to watch"):
        lehr.watch()
    with pytest.raises(lehr.RequestError, match="no event"):
        lehr.watch(tmp_path, on={"explodes": print})
    with pytest.raises(lehr.LehrError, match="no such file"):
        lehr.watch(tmp_path / "nothing").look()


def test_reports_are_made_of_fits_and_of_runs(fit, some, tmp_path):
    made = lehr.report(fit, tmp_path / "r.html", peak_lr=1e-3, steps=2000)
    text = (tmp_path / "r.html").read_text()
    assert made.files == [str(tmp_path / "r.html")] and "<html" in text
    assert made["recommend"]["ratio"] == fit.recommend(peak_lr=1e-3, steps=2000).ratio
    assert f"{made['recommend']['loss']['value']:.4f}" in made._repr_html_()
    whole = lehr.report(fit, tmp_path / "whole.md", runs=some, skip_laws=True)
    assert (tmp_path / "whole.md").exists() and len(whole.files) > 3
    assert {run["id"] for run in whole["runs"]} == set(some.ids)
    with pytest.raises(lehr.RequestError, match="no .doc file"):
        lehr.report(fit, tmp_path / "r.doc")
    with pytest.raises(lehr.LehrError, match="its folder is not there"):
        lehr.report(fit, tmp_path / "nothing" / "r.html")


def test_measured_runs_are_held_against_a_recommendation(fit, some):
    run = some[0]
    made = fit.forecast(run.schedule, measured=some[:1])
    assert np.isfinite(made.loss).all() and made.svg() != fit.forecast(run.schedule).svg()


def test_the_runs_to_train_next_are_those_that_the_command_names(fit, file):
    made = lehr.plan(fit, peak_lr=1e-3, steps=4000, budget="20kupdates", most_runs=4, draws=4, horizons=[1000, 2000], ratios=[0.2, 0.5])
    words = ["--peak-lr", "1e-3", "--steps", "4000", "--budget", "20kupdates", "--most-runs", "4", "--draws", "4"]
    more = ["--horizons", "1000,2000", "--ratios", "0.2,0.5"]
    assert without_wording(made.to_json()) == without_wording(command("plan", file, *words, *more))
    assert len(made.to_pandas()) == len(made.runs) >= made.stop_after and made.sweep is None
    assert lehr.plan(peak_lr=1e-3, steps=4000, most_runs=2, draws=4)["runs_at_hand"] == 0
    with pytest.raises(lehr.RequestError, match="budget='20' is not an amount"):
        lehr.plan(fit, peak_lr=1e-3, steps=4000, budget="20")
