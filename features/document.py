"""docs/features.md, docs/facts.md and docs/settings.md, written from the declarations themselves."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import get_args

from features.contract import Contract
from features.declarations import Aggregate, Family, Feature
from features.settings import Settings, variable_of
from features.sources.schema import LINES, STORED

HEAD = "<!-- Written by `make docs` from the declarations; a test compares. Do not edit. -->\n"


FEATURES_TEXT = """\
{features} features over {aggregates} aggregates. Grain: one row a member, as of T. A window of n days reaches from local
midnight of T's day minus n days up to T. Values are float32; NaN means that the facts cannot say. Freshness `event`: moves
with each event of the day; `nightly`: as of last midnight. The formulas are in terms of the aggregates below, of other
features, of `day` (the local day of T), of the population's edges and of the shop's thresholds, which are published with
each nightly run."""

THRESHOLDS_TEXT = """\
A shop sets its own with `RAPPORT_THRESHOLDS="dormant_days=120,gold_score=10"`. Models see no feature that rests on one."""


def features_page(contract: Contract) -> str:
    """Every feature and aggregate of a contract as Markdown."""
    parts = [
        "# Features",
        HEAD,
        FEATURES_TEXT.format(features=len(contract.features), aggregates=len(contract.aggregates)),
    ]
    for family in get_args(Family):
        chosen = [feature for feature in contract.features if feature.family == family]
        parts += [f"## {family.upper() if family == 'rfm' else family.capitalize()} ({len(chosen)})", _features(chosen)]
    parts += [
        "## Aggregates",
        "Mergeable summaries of a member's facts: what Redis holds.",
        _aggregates(contract.aggregates),
    ]
    edges = [
        f"`{q.name}`: four edges that cut the members with `{q.among}` into fifths by `{q.over}`" for q in contract.quintiles
    ]
    parts += ["## Edges", "\n".join(f"- {line}" for line in edges)]
    parts += ["## Thresholds", THRESHOLDS_TEXT, _thresholds(contract)]
    return "\n\n".join(parts) + "\n"


def facts_page() -> str:
    """Every canonical fact table as Markdown."""
    parts = [
        "# Facts",
        HEAD,
        "The canonical tables. Every source is brought into these; everything else starts from them.",
    ]
    for table in (*STORED, LINES):
        rows = [
            (f"`{c.name}`", c.type, c.unit, "yes" if c.required else "", c.meaning + _allowed(c.allowed)) for c in table.columns
        ]
        parts += [f"## {table.name}", f"{table.grain}. Key: {', '.join(f'`{name}`' for name in table.key)}."]
        parts.append(_table(("column", "type", "unit", "never missing", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


def settings_page() -> str:
    """Every setting as Markdown."""
    rows = [(f"`{variable_of(f.name)}`", f"`{_shown(f.default)}`", f.metadata["meaning"]) for f in fields(Settings)]
    text = "Settings are read from the environment, once, when a command starts. `REDIS_URL` is understood as well."
    return "\n\n".join(["# Settings", HEAD, text, _table(("variable", "default", "meaning"), rows)]) + "\n"


def _features(features: Iterable[Feature]) -> str:
    rows = [
        (
            f"`{f.name}`",
            f.unit,
            f.freshness,
            f.meaning + (f"; codes {', '.join(f'{i} {c}' for i, c in enumerate(f.categories))}" if f.categories else ""),
            f"`{f.formula}`",
        )
        for f in features
    ]
    return _table(("feature", "unit", "freshness", "meaning", "formula"), rows)


def _aggregates(aggregates: Iterable[Aggregate]) -> str:
    rows = [(f"`{a.name}`", a.dtype, a.unit, a.freshness, a.meaning, f"`{a.definition()}`") for a in aggregates]
    return _table(("aggregate", "dtype", "unit", "freshness", "meaning", "definition"), rows)


def _thresholds(contract: Contract) -> str:
    rows = [(f"`{t.name}`", f"{t.default:g}", t.unit, t.meaning) for t in contract.thresholds]
    return _table(("threshold", "default", "unit", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Sequence[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def _allowed(values: tuple[str, ...]) -> str:
    return f"; one of {', '.join(values)}" if values else ""


def _shown(default: object) -> str:
    return "" if default in (None, (), "") else str(default)
