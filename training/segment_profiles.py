"""What the members of each group are like, in business words and figures: for marketers, the run, and the bundle."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from training.segment_groups import Group
from training.slice_labels import slice_labels

Profile = dict[str, Any]
FIGURES: Mapping[str, tuple[str, int]] = {
    "days_since_last_purchase": ("days_since_last_purchase", 0),
    "purchases_180d": ("purchases_180d", 0),
    "spend_cents_180d": ("spend_cents_180d", 0),
    "discount_share": ("discount_share_180d", 3),
    "coupon_purchase_share": ("coupon_purchase_share_180d", 3),
    "online_share": ("online_share_180d", 3),
}
"""Figure of a profile: the feature whose median it is, and its digits; shares are means, as most medians of them are 0."""
CHINESE_CHANNELS: Mapping[str, str] = {
    "store": "门店",
    "web": "网站",
    "app": "App",
    "mini_program": "小程序",
    "marketplace": "电商平台",
}
LEAVING = ("at_risk", "dormant")
COLUMNS = (
    "group",
    "客群",
    "members",
    "of spend",
    "days since purchase",
    "orders",
    "off by discount",
    "orders with coupon",
    "channel",
    "diamond",
    "leaving",
)
"""Of `profiles_text`. Spend and orders are those of 180 days; days and orders are medians; leaving is at risk or dormant."""


def profiles(rows: FeatureRows, groups: Sequence[Group], positions: NDArray[np.int64]) -> list[Profile]:
    """One profile a group, in the order of the groups, as plain JSON; figures that the facts cannot tell are None."""
    labels = slice_labels(rows, np.ones(len(positions), dtype=np.bool_))
    spend = np.maximum(np.nan_to_num(rows.column("spend_cents_180d").astype(np.float64)), 0)
    found = []
    for position, group in enumerate(groups):
        inside = positions == position
        found.append(_profile(group, rows, labels, inside, spend))
    return found


def profiles_text(told: Sequence[Profile]) -> str:
    """The profiles as a Markdown table, and a sentence on each in both languages."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(cells(one))} |" for one in told]
    lines.append("")
    for one in told:
        lines.append(f"- **{one['name']}**: {one['sentence']} Marketing: {one['action']}.")
        lines.append(f"  {one['sentence_zh']}{one['action_zh']}。")
    return "\n".join(lines) + "\n"


def cells(one: Profile) -> list[str]:
    """A profile under `COLUMNS`."""
    return [
        one["name"],
        one["chinese"],
        _percent(one["share"]),
        _percent(one["spend_share"]),
        _number(one["days_since_last_purchase"]),
        _number(one["purchases_180d"]),
        _percent(one["discount_share"]),
        _percent(one["coupon_purchase_share"]),
        one["channel"],
        _percent(one["diamond_share"]),
        _percent(one["leaving_share"]),
    ]


def _profile(
    group: Group,
    rows: FeatureRows,
    labels: Mapping[str, NDArray[np.str_]],
    inside: NDArray[np.bool_],
    spend: NDArray[np.float64],
) -> Profile:
    members, total = int(inside.sum()), float(spend.sum())
    found: Profile = {
        "name": group.name,
        "chinese": group.chinese,
        "members": members,
        "share": round(members / max(len(inside), 1), 4),
        "spend_share": round(float(spend[inside].sum()) / total, 4) if total else None,
    }
    found |= {name: _figure(rows, column, inside, digits) for name, (column, digits) in FIGURES.items()}
    found["channel"] = _usual(labels["channel"][inside])
    found["diamond_share"] = _share(labels["tier"][inside], ("diamond",))
    found["leaving_share"] = _share(labels["stage"][inside], LEAVING)
    found["sentence"], found["sentence_zh"] = _sentences(group, found)
    return found | {"action": group.action, "action_zh": group.action_zh}


def _sentences(group: Group, figures: Profile) -> tuple[str, str]:
    share, spend, days = figures["share"], figures["spend_share"], figures["days_since_last_purchase"]
    english = f"{share:.0%} of members {group.meaning}"
    chinese = f"{group.chinese}占会员{share:.0%}，{group.meaning_zh}"
    if spend is not None:
        english, chinese = f"{english}: {spend:.0%} of spend", f"{chinese}，贡献{spend:.0%}消费"
    if days is not None:
        separator = ", " if spend is not None else ": "
        english = f"{english}{separator}last purchase {days:.0f} days ago (median)"
        chinese = f"{chinese}，距上次购买中位数{days:.0f}天"
    if figures["channel"] in CHINESE_CHANNELS:
        english = f"{english}, usually by {figures['channel'].replace('_', ' ')}"
        chinese = f"{chinese}，常用{CHINESE_CHANNELS[figures['channel']]}"
    return f"{english}.", f"{chinese}。"


def _figure(rows: FeatureRows, column: str, inside: NDArray[np.bool_], digits: int) -> float | None:
    """Median of a feature in the group, or the mean of a share; None where nobody has a number."""
    values = rows.column(column)[inside]
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return round(float(known.mean() if column.split("_180d")[0].endswith("share") else np.median(known)), digits)


def _usual(labels: NDArray[np.str_]) -> str:
    names, counts = np.unique(labels, return_counts=True)
    return str(names[counts.argmax()]) if len(names) else "unknown"


def _share(labels: NDArray[np.str_], wanted: Sequence[str]) -> float | None:
    return round(float(np.isin(labels, wanted).mean()), 4) if len(labels) else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
