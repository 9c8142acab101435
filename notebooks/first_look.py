# %% [markdown]
# # Look at the data: facts, features, stages, and who is at risk
#
# Each notebook is a pair: a script in percent format and an `.ipynb` with the same cells. Run it in Jupyter, VS Code or
# PyCharm cell by cell, or as a whole: `python notebooks/first_look.py`. This one needs facts and models:
# `rapport import complete-journey`, then `rapport retrain`.

# %%
import os

import pandas as pd

from features.build import build
from features.days import calendar_day
from features.derive import label_of, model_columns
from features.jobs import open_facts
from features.settings import Settings
from training.registry import load, resolve
from training.requirements import check_models

settings = Settings.from_env(os.environ)
facts = open_facts(settings)
pd.Series(facts.manifest.rows, name="rows")

# %% [markdown]
# What these facts suffice for, as `rapport check` says it.

# %%
pd.DataFrame(
    [(check.model, check.ready, check.refusal() or "-") for check in check_models(facts)], columns=["model", "ready", "why not"]
)

# %% [markdown]
# Features of every member as of a moment. The moment is always said; here it is the end of the facts. What each feature
# means, its unit and its window stand in docs/features.md, and in its declaration.

# %%
rows = build(facts, as_of=facts.midnight(facts.manifest.until_day))
table = pd.DataFrame(rows.matrix, columns=list(rows.contract.feature_names), index=rows.member_ids)
chosen = ["days_since_last_purchase", "purchases_90d", "spend_cents_90d", "mean_gap_days"]
print(f"{len(table):,} members x {table.shape[1]} features as of {calendar_day(rows.day)}")
table[chosen].describe().round(1)

# %%
pd.DataFrame({"missing": table.isna().mean(), "meaning": [f.meaning for f in rows.contract.features]}).nlargest(10, "missing")

# %%
table["stage"] = [label_of(rows.contract, "lifecycle_stage", code) for code in table["lifecycle_stage"]]
stages = table.groupby("stage")[["days_since_last_purchase", "purchases_90d", "spend_cents_90d"]].median()
stages.assign(members=table["stage"].value_counts())

# %% [markdown]
# The champion of churn, as serving uses it: hashes and golden rows are checked when it is loaded.

# %%
churn = load(resolve(settings.mlruns_dir, "churn"))
active = table["days_since_last_purchase"] <= churn.manifest.definition["active_days"]
table["churn_probability"] = churn.score(rows.matrix[:, model_columns(rows.contract)])
at_risk = table[active].nlargest(10, "churn_probability")
at_risk[["churn_probability", "stage", "days_since_last_purchase", "mean_gap_days", "spend_cents_90d"]].round(2)
