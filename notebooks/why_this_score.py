# %% [markdown]
# # Why this score?
#
# Every churn and tier score comes with reasons: what each of a few stable codes adds to it, with a sentence for people, and
# what one visit would change. It needs facts and a champion of churn.

# %%
import os

import numpy as np
import pandas as pd

from features.build import build
from features.derive import model_columns
from features.jobs import open_facts
from features.settings import Settings
from training.predictors.counterfactual import one_visit
from training.predictors.reason_codes import CODE_NAMES
from training.predictors.reasons import explain, reasons
from training.registry import load, resolve

settings = Settings.from_env(os.environ)
facts = open_facts(settings)
churn = load(resolve(settings.mlruns_dir, "churn"))
rows = build(facts, as_of=facts.midnight(facts.manifest.until_day))
matrix = rows.matrix[:, model_columns(rows.contract)]
scores = churn.score(matrix)

# %% [markdown]
# The member most likely to leave among those who bought lately, and why.

# %%
active = rows.column("days_since_last_purchase") <= churn.manifest.definition["active_days"]
place = int(np.argmax(np.where(active, scores, -1)))
member = matrix[[place]]
explanation = explain(churn, member, exact=True)
(english,), (chinese,) = (reasons(explanation, member, churn.manifest.features, language) for language in ("en", "zh"))
print(f"member {rows.member_ids[place]}: {scores[place]:.1%} likely to leave")
pd.DataFrame(
    [
        (r.code, r.direction, round(r.contribution, 2), r.actionable, r.sentence, z.sentence)
        for r, z in zip(english, chinese, strict=True)
    ],
    columns=["code", "direction", "adds to logit", "actionable", "in words", "中文"],
)

# %% [markdown]
# The codes add up: base and contributions are the logit of the raw score, before calibration.

# %%
raw = float(churn.model.predict(member)[0])
float(explanation.logit[0]), float(np.log(raw / (1 - raw)))

# %% [markdown]
# And if they came once more today, with their usual basket?

# %%
visit = one_visit(churn, rows.contract, rows.records[[place]], day=rows.day, edges=rows.edges)
print(f"{visit.before[0]:.1%} now, {visit.after[0]:.1%} after one visit")

# %% [markdown]
# What speaks for leaving over all members who are likely to: the mean of what each code adds.

# %%
likely = matrix[active & (scores >= np.quantile(scores[active], 0.9))]
everyone = explain(churn, likely)
pd.Series(everyone.contributions.mean(axis=0), index=CODE_NAMES).sort_values(ascending=False).round(3)
