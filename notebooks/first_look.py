# %% [markdown]
# # A first look: features, stages and who is at risk
#
# A percent script: open it in Jupyter (with jupytext), VS Code or PyCharm and run it cell by cell, or as a whole:
# `python notebooks/first_look.py`. It needs facts and models: `rapport import complete-journey`, then `rapport train`.

# %%
import os

import pandas as pd

from features.build import build
from features.derive import label_of, model_columns
from features.jobs import open_facts
from features.settings import Settings
from training.registry import load, resolve

settings = Settings.from_env(os.environ)
facts = open_facts(settings)
facts.manifest.rows

# %% [markdown]
# Features of every member as of a moment. The moment is always said; here it is the end of the facts.

# %%
rows = build(facts, as_of=facts.midnight(facts.manifest.until_day))
table = pd.DataFrame(rows.matrix, columns=list(rows.contract.feature_names), index=rows.member_ids)
table[["days_since_last_purchase", "purchases_90d", "spend_cents_90d", "mean_gap_days"]].describe().round(1)

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
