# %% [markdown]
# # Bring your own table
#
# A shop's own export becomes facts by a mapping file. Here the export is made up, so that the notebook runs anywhere: put
# your file in its place. The same at the command line: `rapport import --draft sales.csv --out shop.toml`, look at it, then
# `rapport import --mapping shop.toml`.

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from features.build import build
from features.days import calendar_day
from features.derive import label_of
from features.facts import Facts
from features.sources.draft import draft
from features.sources.mapped import import_mapped
from training.requirements import check_models

folder = Path(tempfile.mkdtemp(prefix="own-table-"))
generator = np.random.default_rng(4)
lines = 4000
sales = pd.DataFrame(
    {
        "card": [f"K{number:03d}" for number in generator.integers(1, 120, lines)],
        "ean": [f"{number:05d}" for number in generator.integers(100, 160, lines)],
        "total": generator.gamma(2, 6, lines).round(2),
        "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(generator.integers(0, 300 * 1440, lines)), unit="min"),
    }
)
sales.to_csv(folder / "sales.csv", index=False)
sales.head()

# %% [markdown]
# A mapping is proposed from names and values; `# ?` marks what to look at. Nothing is guessed silently.

# %%
mapping = folder / "shop.toml"
proposed = draft([folder / "sales.csv"], base=folder)
mapping.write_text(proposed)
print(proposed)

# %% [markdown]
# Checked and cleaned: rows in are accepted, set aside with a reason, or repetitions. No row gets lost in between.

# %%
imported = import_mapped(folder / "facts", mapping)
report = imported.report
print(
    f"{report.rows_in:,} rows = {report.accepted:,} accepted + {report.quarantined:,} set aside + {report.duplicates:,} twice"
)
pd.DataFrame([(rule.code, rule.rows, rule.meaning) for rule in report.rules if rule.rows], columns=["rule", "rows", "meaning"])

# %% [markdown]
# What these facts suffice for, and what serves where they do not.

# %%
facts = Facts.open(folder / "facts")
checks = check_models(facts)
pd.DataFrame([(check.model, check.ready, check.refusal() or "-") for check in checks], columns=["model", "ready", "why not"])

# %%
rows = build(facts, as_of=facts.midnight(facts.manifest.until_day))
table = pd.DataFrame(rows.matrix, columns=list(rows.contract.feature_names), index=rows.member_ids)
table["stage"] = [label_of(rows.contract, "lifecycle_stage", code) for code in table["lifecycle_stage"]]
print(f"{len(table)} members as of {calendar_day(rows.day)}")
table[["stage", "days_since_last_purchase", "purchases_90d", "spend_cents_90d"]].head()
