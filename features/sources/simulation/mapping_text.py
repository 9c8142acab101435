"""The files beside the simulated tables: the mapping that imports them, and the page that says what they are."""

from collections.abc import Mapping

_PLAIN: dict[str, tuple[str, ...]] = {
    "purchases": ("order_id", "line_no", "member_id", "item_id", "quantity", "channel", "store_id", "kind"),
    "items": ("item_id", "department", "category", "subcategory", "brand", "own_brand", "sold_by_measure", "available"),
    "members": (
        "member_id",
        "birth_month",
        "gender",
        "region",
        "home_store",
        "age_band",
        "household_size",
        "children",
        "marketing_consent",
    ),
    "events": ("event_id", "member_id", "event_type", "item_id", "session_id", "duration_s", "channel", "store_id"),
    "exposures": ("member_id", "campaign_id", "campaign_kind", "arm"),
    "redemptions": ("member_id", "campaign_id", "coupon_id"),
    "identities": ("observation_id", "identifier_kind", "identifier"),
}
_CENTS = {"purchases": ("net", "discount", "coupon"), "items": ("price", "cost"), "exposures": ("cost",)}
_UTC = ("purchases", "events", "exposures", "redemptions")
_DAYS = {
    "members": {"registered": "registered_on"},
    "exposures": {"until": "until_on"},
    "identities": {"seen": "observed_on"},
}


def mapping_text(source: str, time_zone: str, currency: str) -> str:
    """A mapping of every canonical column in the files of a simulation."""
    lines = [
        "# Simulated data: no real shop, no real person.",
        f'source = "{source}"',
        f'time_zone = "{time_zone}"',
        f'currency = "{currency}"',
    ]
    for table, names in _PLAIN.items():
        lines += ["", f"[{table}]", f'files = "{table}/part-*.parquet"', *(f'{name} = "{name}"' for name in names)]
        lines += [f'{name} = {{ column = "{name}_cents", unit = "cents" }}' for name in _CENTS.get(table, ())]
        lines += [f'{name} = "{column}"' for name, column in _DAYS.get(table, {}).items()]
        lines += ['occurred_at = { column = "occurred_at", zone = "UTC" }'] if table in _UTC else []
    return "\n".join(lines) + "\n"


def readme_text(settings: Mapping[str, object], rows: Mapping[str, int]) -> str:
    """What the folder holds, for whoever finds it."""
    told = "\n".join(f"  {name:<18} {value}" for name, value in settings.items())
    counted = "\n".join(f"  {name:<18} {count:>14,}" for name, count in sorted(rows.items()))
    return f"""SIMULATED DATA: no real shop, no real person, no real purchase.

Made by "rapport simulate" from

{told}

Rows

{counted}

Import it: rapport import --mapping shop.toml
The tables of truth/ (here truth_...) say how each member was made: they are no facts, and no import reads them.
simulated.json marks this folder as made by the simulator; --force takes such files away and nothing else.
"""
