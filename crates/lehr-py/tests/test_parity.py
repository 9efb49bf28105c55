"""The package and the command give the same bits."""

import json
import re
import subprocess
import sys
import warnings

import pytest

import lehr
from conftest import without_wording

FLAGS = ["--starts", "2", "--points", "12"]
QUICK = {"starts": 2, "points": 12}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def command(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "lehr", *words, "--json", "--accept-caveats"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fits_are_the_same_text(path, tmp_path):
    mine = lehr.fit(lehr.read(path), **QUICK)
    assert mine.to_json() == command("fit", path, *FLAGS, "-o", str(tmp_path / "fit.json"))
    theirs = lehr.Fit.load(tmp_path / "fit.json").to_dict()
    theirs.pop("made", None)
    ours = mine.to_dict()
    ours.pop("made", None)
    assert ours == theirs


@pytest.mark.parametrize(
    "options, flags",
    [
        ({"residual": "raw", "huber": 0.01, "points": "all"}, ["--residual", "raw", "--huber", "0.01", "--points", "all"]),
        ({"published": True}, ["--published"]),
        ({"bound": {"q": (0.3, 0.9)}, "seed": 3, "level": 0.8}, ["--bound", "q=0.3..0.9", "--seed", "3", "--level", "0.8"]),
        ({"momentum": 4, "skip_warmup": 2.0, "first_update": 50}, ["--momentum", "4", "--skip-warmup", "2", "--first-update", "50"]),
    ],
)
def test_options_mean_the_same(path, options, flags):
    runs = lehr.read(path)[:4]
    names = ",".join(runs.ids)
    mine = lehr.fit(runs, **{"starts": 1, "max_iterations": 20, **options})
    theirs = json.loads(command("fit", path, "--run", names, "--starts", "1", "--max-iterations", "20", *flags))
    for name in ("coefficients", "options", "metrics", "uncertainty", "solution"):
        assert mine.to_dict()[name] == theirs[name], name


def test_forecasts_and_recommendations_are_the_same_text(fit, tmp_path):
    file = str(tmp_path / "fit.json")
    fit.save(file)
    forecast = fit.forecast("wsd:peak=1e-3,total=3000,warmup=100,ratio=0.3", level=0.8, at=[1000, 3000])
    words = ["--schedule", "wsd:peak=1e-3,total=3000,warmup=100,ratio=0.3", "--level", "0.8", "--at", "1000,3000"]
    assert forecast.to_json() == command("forecast", file, *words)
    mine = fit.forecast(peak_lr=7e-4, steps=2500, ratio=0.37, shape="1-sqrt", final_lr=1e-5)
    words = ["--peak-lr", "7e-4", "--steps", "2500", "--ratio", "0.37", "--shape", "1-sqrt", "--final-lr", "1e-5"]
    assert mine.to_json() == command("forecast", file, *words)
    cosine = fit.forecast(peak_lr=7e-4, steps="2k", cosine=True)
    assert cosine.to_json() == command("forecast", file, "--peak-lr", "7e-4", "--steps", "2k", "--cosine")
    advice = fit.recommend(peak_lr=1e-3, steps=2000, ratio_range=(0.3, 0.5), export="torch", optimise_shape=True)
    # Options are worded as keyword arguments here and as flags there: all else is the same text.
    remedies = {caveat["remedy"] for caveat in advice["caveats"] if caveat["remedy"]}
    assert any("ratio_range= or max_anneal_steps=" in remedy for remedy in remedies), remedies
    words = ["--peak-lr", "1e-3", "--steps", "2000", "--ratio-range", "0.3..0.5", "--export", "torch", "--optimise-shape"]
    theirs = command("recommend", file, *words)
    for remedy in remedies:
        flags = re.sub(r"\b([a-z_]+)=", lambda m: "--" + m[1].replace("_", "-"), remedy)
        theirs = theirs.replace(flags, remedy)
    assert advice.to_json() == theirs


def test_judgements_of_laws_are_the_same_text(path):
    runs = lehr.read(path)[:5]
    words = [path, "--run", ",".join(runs.ids), *FLAGS]
    laws = ["noise-relaxation", "chinchilla-steps"]
    train = runs.ids[:3]
    mine = lehr.compare(runs, laws, train=train, **QUICK)
    assert mine["laws"] == json.loads(command("compare", *words, "--laws", ",".join(laws), "--train", ",".join(train)))["laws"]
    mine = lehr.validate(runs, train=train, coverage=True, **QUICK)
    theirs = json.loads(command("validate", *words, "--train", ",".join(train), "--coverage"))
    assert {**mine} == theirs


def test_transfers_are_the_same_text(path):
    assert lehr.transfer(lehr.read(path)).to_json() == command("transfer", path)


def test_schedules_and_exports_are_the_same(tmp_path):
    for text in ("wsd:peak=3e-4,total=2400,warmup=216,ratio=0.2,shape=1-sqrt", "cosine:peak=3e-4,total=2400,warmup=216,final=10%"):
        schedule = lehr.Schedule(text)
        document = json.loads(command("schedule", "--spec", text, "--rates"))
        assert document.pop("rates") == schedule.rates().tolist()
        assert document == schedule.to_document()
        for target in ("torch", "hf", "megatron"):
            try:
                made = schedule.export(target).to_json()
            except lehr.LehrError:
                continue
            assert made == command("schedule", "--spec", text, "--export", target)


def test_runs_are_what_inspect_says(path):
    assert lehr.read(path).table() == json.loads(command("inspect", path))["runs"]


def test_large_logs_are_held_as_the_command_holds_them(tmp_path):
    lines = ["step,lr,train_loss"]
    rates = lehr.Schedule.wsd(peak_lr=1e-3, steps=5000, warmup=100, ratio=0.2).rates().tolist()
    for t, rate in enumerate(rates, 1):
        lines.append(f"{t},{rate!r},{3.0 + 2.0 / t**0.5 + 0.01 * ((t * 7919) % 13 - 6) - 40.0 * (1e-3 - rate) * (t > 4000)!r}")
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    mine = lehr.fit(lehr.read(tmp_path / "log.csv"), **QUICK)
    assert without_wording(mine.to_json()) == without_wording(command("fit", str(tmp_path / "log.csv"), *FLAGS))
