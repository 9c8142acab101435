"""docs/features.md, docs/facts.md and docs/settings.md, written from the declarations themselves."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import get_args

from features.contract import Contract
from features.declarations import Aggregate, Family, Feature
from features.settings import Settings, variable_of
from features.sources.schema import LINES, STORED
from features.tag_families.declaring import FAMILIES, LOOK_BACK_DAYS, Topic
from features.tag_families.latent_need import SENSITIVE
from features.tags import CATALOGUE_COLUMNS, MOST_MEMBER_VALUES, PATTERNS, TAGS, TOPICS, group_of

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


TAGS_TEXT = """\
{tags} tags in six families, {groups} of them categorical with values of their own (`tier=gold`), besides those made from a
shop's own catalogue and members. A tag is true or false for each member as of T; where what its rule rests on is missing, it
is false, unless the rule asks for just that (`missing`, `fill`). `fifth(x)` is the fifth of all members with a known x, from 1
to 5. `days_since_last_purchase_of(x)` and its like look back {days} days and are missing without a purchase or view. Refresh
`event`: everything the rule rests on moves with events of the day; `nightly`: some of it waits for the night. Bitmaps are as of
the last publish in either case. [audience.md](audience.md) says how audiences are chosen with them."""

OWN_TEXT = """\
Made from what a shop's own tables hold, and counted apart. `<value>` is in lower case with `_` for blanks. Of the catalogue:
{catalogue}, those sold most in {days} days; of each column of `members` the {most} most frequent values."""

SENSITIVE_TEXT = """\
Health, religion, politics, sexuality, origin and other sensitive attributes are not inferred. No need below stands for one,
and no tag is made of a category, department or brand with one of these words in its name: {words}."""


def tags_page() -> str:
    """Every tag as Markdown: one dictionary of definitions for all departments."""
    groups = {group for name in TAGS if (group := group_of(name))}
    parts = ["# Tags", HEAD, TAGS_TEXT.format(tags=len(TAGS), groups=len(groups), days=LOOK_BACK_DAYS)]
    for family in FAMILIES:
        chosen = [tag for tag in TAGS.values() if tag.family == family]
        rows = [(f"`{t.name}`", t.meaning, t.chinese, t.refresh, t.use, f"`{t.rule}`") for t in chosen]
        parts += [
            f"## {_FAMILY_TITLES[family]} ({len(chosen)})",
            _table(("tag", "meaning", "含义", "refresh", "use", "rule"), rows),
        ]
    own = [(f"`{p.name}`", p.family, p.meaning, p.chinese, p.use) for p in PATTERNS]
    catalogue = ", ".join(f"{most} values of `{column}`" for column, most in CATALOGUE_COLUMNS.items())
    parts += ["## From the shop's own data", OWN_TEXT.format(catalogue=catalogue, days=LOOK_BACK_DAYS, most=MOST_MEMBER_VALUES)]
    parts += [_table(("tag", "family", "meaning", "含义", "use"), own)]
    parts += ["## Sensitive attributes", SENSITIVE_TEXT.format(words=", ".join(SENSITIVE))]
    parts += ["## Words", "How goods are recognised, by whole words in department, category and subcategory.", _topics(TOPICS)]
    return "\n\n".join(parts) + "\n"


_FAMILY_TITLES = {
    "basic": "Basic 基础属性",
    "preference": "Consumption preference 消费偏好",
    "scene": "Scene 场景特征",
    "channel": "Channel habit 渠道习惯",
    "lifecycle_value_risk": "Lifecycle, value, risk 生命周期/价值/风险",
    "latent_need": "Latent need 潜在需求",
}


def _topics(topics: Iterable[Topic]) -> str:
    rows = [(f"`{t.name}`", f"{t.meaning} {t.chinese}", ", ".join(t.words), ", ".join(t.without)) for t in topics]
    return _table(("goods", "meaning", "words", "but not"), rows)


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
