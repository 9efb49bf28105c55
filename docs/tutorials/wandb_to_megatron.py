# %% [markdown]
# # From W&B runs to Megatron flags
#
# Seven small runs were logged with W&B, offline. A run of 40,000 updates at a peak rate of 10⁻³ is planned, with Megatron. When should it
# anneal?
#
# (The runs are simulated, written by the real W&B library, and lie in the folder `fixtures` of the repository: `LEHR_FIXTURES` says where
# that is. Put your own folder `wandb/` in its place.)

# %%
import os
import warnings

import lehr

os.chdir(os.environ.get("LEHR_FIXTURES", "fixtures"))
runs = lehr.read("guides/wandb")
runs

# %% [markdown]
# Look at peak rates, warm-ups and ratios: they were recognised from the logged rates, and all that follows depends on them. What was taken for
# what is a note:

# %%
for note in runs.notes:
    print(note)

# %% [markdown]
# ## Fit
#
# Caveats are Python warnings. Here they are collected, to be read at the end of each step.

# %%
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always", lehr.CaveatWarning)
    fit = lehr.fit(runs)
fit

# %%
fit.coefficients.to_pandas()

# %% [markdown]
# How far is it off on runs that it did not see? Each run is left out in turn:

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore", lehr.CaveatWarning)
    judged = lehr.validate(runs, leave_out="run")
f"mean error {100 * judged['test']['mape']:.2f} % of the loss"

# %% [markdown]
# ## Recommend

# %%
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always", lehr.CaveatWarning)
    rec = fit.recommend(peak_lr=1e-3, steps=40_000)
rec

# %% [markdown]
# The ratio, its interval, and the ratios that are as good within 2 mnat:

# %%
rec.ratio, rec.interval, rec.plateau

# %% [markdown]
# What common rules would cost, in nats per token:

# %%
{name: round(rule["excess"], 5) if "excess" in rule else rule for name, rule in list(rec.rules.items())[:4]}

# %% [markdown]
# What should be known before it is used:

# %%
for caveat in rec.caveats:
    print("blocking:" if caveat.blocking else "        -", caveat.message)

# %% [markdown]
# ## Megatron's flags

# %%
export = rec.export("megatron")
print(export)

# %% [markdown]
# Megatron counts updates that are done, so its arguments differ from what one would write; the rates it will use are those of the schedule:

# %%
promised, wanted = export.promised_rates, rec.schedule.rates().tolist()
max(abs(a - b) for a, b in zip(promised, wanted)), len(promised)

# %% [markdown]
# ## The loss to expect

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore", lehr.CaveatWarning)
    forecast = fit.forecast(rec.schedule)
forecast

# %%
forecast.to_pandas().tail(3)

# %% [markdown]
# The same on the command line is [this guide](../guides/wandb-to-megatron.md).
