# %% [markdown]
# # Retrain churn and compare
#
# The same functions that `rapport retrain` calls, one at a time, with nothing registered: look first, then decide. It needs
# facts, and for the last cell a champion to compare with.

# %%
import os

import pandas as pd

from features.days import calendar_day
from features.derive import model_columns
from features.jobs import open_facts
from features.settings import Settings
from training.churn import train_churn
from training.datasets import Snapshots
from training.evaluation.summary import summarise
from training.pipeline import snapshot_days
from training.registry import load, resolve
from training.requirements import check_model

settings = Settings.from_env(os.environ)
facts = open_facts(settings)
check_model(facts, "churn").requirements

# %% [markdown]
# Features as of many cut-offs, read from the facts once. Labels of each lie over before the next window begins.

# %%
snapshots = Snapshots(facts)
days = list(snapshots.prepare(snapshot_days(facts, ("churn",))))
[str(calendar_day(day)) for day in days]

# %%
trained = train_churn(snapshots, engine="xgboost")
figures = pd.DataFrame({"this model": trained.metrics, **trained.baselines}).T
figures[["auc", "average_precision", "lift_top_tenth", "calibration_error"]].round(3)

# %% [markdown]
# One window is one draw. Over all test periods, refitted for each on what was known before: the gain over each simple rule with
# its paired 95 % interval over members. Where that covers 0, no gain is shown. The page that a run keeps says the rest.

# %%
gains = summarise(trained.evidence).gains
pd.DataFrame(
    {name: [one.value, one.low, one.high, one.verdict] for name, one in gains.items()}, index=["AUC gain", "low", "high", "so"]
).T

# %% [markdown]
# Beside the champion on the members of today: how far do the two agree, and who moves most?

# %%
champion = load(resolve(settings.mlruns_dir, "churn"))
rows = snapshots.at(facts.manifest.until_day)
matrix = rows.matrix[:, model_columns(rows.contract)]
both = pd.DataFrame(
    {"champion": champion.score(matrix), "this model": trained.predictor.score(matrix)},
    index=rows.member_ids,
)[rows.column("days_since_last_purchase") <= trained.predictor.manifest.definition["active_days"]]
both.corr(method="spearman").round(3)

# %%
both.assign(moved=both["this model"] - both["champion"]).nlargest(5, "moved", keep="all").round(3)

# %% [markdown]
# To register it, judge it beside the champion and let it serve if it is better: `rapport retrain --models churn`.
