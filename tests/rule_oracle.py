"""Rules read naively: one list, one item, one rule at a time, from the attributes of items as plain values."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.rules.declared import Band, Named, Rules
from features.rules.shelf import Shelf

LEVELS = ("department", "category", "subcategory")
Item = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What a list was asked for with, and what is known of the member."""

    adult: bool = False
    sold_out: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    days_since: dict[str, float] | None = None
    due: frozenset[str] = frozenset()


def violations(rules: Rules, items: dict[str, Item], listed: Sequence[str], asked: Asked, *, k: int) -> list[str]:
    """Everything that is wrong with a list, in words; empty if the rules hold."""
    wrong = [f"{item}: {problem}" for item in listed for problem in _of_item(rules, items.get(item), item, asked)]
    if len(set(listed)) != len(listed):
        wrong.append("an item stands twice")
    if len(listed) > k:
        wrong.append("longer than asked for")
    if listed and len(listed) < rules.min_length:
        wrong.append("shorter than is shown")
    wrong += _too_many(rules.category, [items[i][rules.level] for i in listed if i in items])
    wrong += _too_many(rules.brand, [items[i]["brand"] for i in listed if i in items])
    return wrong


def allowed(rules: Rules, items: dict[str, Item], item: str, asked: Asked) -> bool:
    """Whether no rule that looks at one item is against it."""
    return not _of_item(rules, items.get(item), item, asked)


def _of_item(rules: Rules, item: Item | None, item_id: str, asked: Asked) -> list[str]:
    if item is None:
        return ["not in the catalogue"]
    mine = {item[level] for level in LEVELS} - {None}
    price, cost = item["price_cents"], item["cost_cents"]
    margin = None if price is None or cost is None or price == 0 else price - cost
    checks = {
        "withdrawn": item_id in rules.withdrawn,
        "sold out": rules.in_stock and item["available"] is False,
        "not in this store": rules.in_store and item_id in asked.sold_out,
        "for adults": not asked.adult and bool(item_id in rules.adult_items or mine & set(rules.adult_categories)),
        "price": _outside(rules.price, price),
        "margin": _outside(rules.margin_cents, margin),
        "margin share": _outside(rules.margin_share, None if margin is None else margin / price),
        "category": _unwanted(rules.category, mine),
        "brand": _unwanted(rules.brand, {item["brand"]} - {None}),
        "excluded": item_id in asked.excluded,
        "bought": _bought(rules, item_id, asked),
    }
    return [name for name, broken in checks.items() if broken]


def _outside(band: Band, figure: float | None) -> bool:
    if band.least is None and band.most is None:
        return False
    if figure is None:
        return band.unknown == "remove"
    return (band.least is not None and figure < band.least) or (band.most is not None and figure > band.most)


def _unwanted(named: Named, mine: set[str]) -> bool:
    return bool(mine & set(named.exclude)) or bool(named.include and not mine & set(named.include))


def _bought(rules: Rules, item: str, asked: Asked) -> bool:
    since = (asked.days_since or {}).get(item)
    if rules.bought_within_days is None or since is None or since > rules.bought_within_days:
        return False
    return not (rules.unless_due and item in asked.due)


def _too_many(named: Named, names: list[str | None]) -> list[str]:
    limits = dict(named.caps)
    found = []
    for name, count in Counter(name for name in names if name is not None).items():
        limit = limits.get(name, named.cap)
        if limit is not None and count > limit:
            found.append(f"{count} of {name}")
    return found


def random_items(generator: np.random.Generator, count: int) -> dict[str, Item]:
    """Items with few names, so that rules meet, and with gaps in what is known of them."""

    def perhaps(value: Any) -> Any:
        return None if generator.random() < 0.1 else value

    found = {}
    for number in range(count):
        category = int(generator.integers(8))
        found[f"i{number:03}"] = {
            "department": perhaps(f"D{category // 4}"),
            "category": perhaps(f"C{category}"),
            "subcategory": perhaps(f"S{category}{generator.integers(2)}"),
            "brand": perhaps(f"B{generator.integers(6)}"),
            "price_cents": perhaps(int(generator.integers(0, 2000))),
            "cost_cents": perhaps(int(generator.integers(0, 1500))),
            "available": perhaps(bool(generator.random() < 0.85)),
        }
    return found


def shelf_of(items: dict[str, Item]) -> Shelf:
    """The same items as a shelf."""
    columns = {name: [item[name] for item in items.values()] for name in next(iter(items.values()))}
    return Shelf.of_columns({"item_id": list(items), **columns})


def random_rules(generator: np.random.Generator, items: Sequence[str]) -> Rules:
    """Rules of which about a third are in force."""

    def sometimes(value: Any, otherwise: Any = None) -> Any:
        return value if generator.random() < 0.35 else otherwise

    def some(values: Sequence[str], most: int) -> tuple[str, ...]:
        return tuple(generator.choice(values, generator.integers(1, most + 1), replace=False).tolist())

    level = LEVELS[int(generator.integers(3))]
    names = {"department": ["D0", "D1"], "category": [f"C{i}" for i in range(8)], "subcategory": [f"S{i}1" for i in range(8)]}
    every = [name for group in names.values() for name in group]
    brands = [f"B{i}" for i in range(6)]
    unknown = ("remove", "keep")[int(generator.integers(2))]
    return Rules(
        "random",
        pinned=sometimes(some(items, 3), ()),
        min_length=sometimes(int(generator.integers(1, 6)), 0),
        in_stock=bool(generator.random() < 0.8),
        in_store=bool(generator.random() < 0.8),
        price=Band(sometimes(200.0), sometimes(1500.0), unknown),  # type: ignore[arg-type]
        margin_share=Band(sometimes(0.1), None, unknown),  # type: ignore[arg-type]
        margin_cents=Band(sometimes(50.0), None, unknown),  # type: ignore[arg-type]
        level=level,  # type: ignore[arg-type]
        category=Named(
            sometimes(some(every, 8), ()), sometimes(some(every, 2), ()), sometimes(2), sometimes(((names[level][0], 1),), ())
        ),
        brand=Named((), sometimes(some(brands, 2), ()), sometimes(3), sometimes((("B1", 1),), ())),
        bought_within_days=sometimes(int(generator.integers(1, 15))),
        unless_due=bool(generator.random() < 0.5),
        withdrawn=sometimes(some(items, 4), ()),
        adult_categories=sometimes(("C1", "S31"), ()),
        adult_items=sometimes(some(items, 3), ()),
    )
