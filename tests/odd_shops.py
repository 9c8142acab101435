"""Shops that are not like the example: returns and drift, no items, no amounts, four months, purchases without chance.

Each is a CSV file and a mapping, as a stranger would bring them. Members buy by a rate of their own and leave one day.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FIRST = date(2024, 1, 1)
HEAD = 'source = "odd"\ntime_zone = "Europe/Paris"\ncurrency = "EUR"\n\n[purchases]\nfiles = "sales.csv"\n'
COLUMNS = {"member": "member_id", "at": "occurred_at", "net": "net", "item": "item_id", "order": "order_id"}
Days = NDArray[np.int64]


@dataclass(frozen=True)
class OddShop:
    """What is odd about a shop.

    Attributes
    ----------
    columns
        Which of `COLUMNS` its file has.
    returned
        Share of purchases brought back some days later, as a negative amount.
    slowing
        Factor on everybody's gaps at the end, beside the beginning: 2 means half as many purchases.
    lapsing
        Chance to leave for good after a purchase.
    even
        Everybody buys every so many days, without chance; 0 for gaps by chance.
    """

    members: int = 240
    days: int = 300
    columns: tuple[str, ...] = ("member", "at", "net", "item")
    returned: float = 0.0
    slowing: float = 1.0
    lapsing: float = 0.06
    even: int = 0
    seed: int = 5


ODD: Mapping[str, OddShop] = {
    "heavy returns, drifting": OddShop(returned=0.35, slowing=2.5),
    "no items": OddShop(columns=("member", "at", "net")),
    "no amounts": OddShop(columns=("member", "at", "item")),
    "four months": OddShop(days=122),
    "degenerate BG/NBD": OddShop(even=9, lapsing=0.02),
}


@dataclass
class _Lines:
    """Lines of the file, as they come."""

    shop: OddShop
    chance: np.random.Generator
    rows: list[dict[str, str]] = field(default_factory=list)

    def buy(self, member: int, day: int) -> None:
        """One purchase, and perhaps its way back."""
        hour, item = int(self.chance.integers(9, 20)), int(self.chance.zipf(1.6) % 40)
        cents = int(self.chance.gamma(2.0, 900 + 40 * (member % 30))) + 100
        self._line(member, day, hour, item, cents)
        back = day + int(self.chance.integers(1, 12))
        if self.chance.random() < self.shop.returned and back < self.shop.days:
            self._line(member, back, hour, item, -cents)

    def _line(self, member: int, day: int, hour: int, item: int, cents: int) -> None:
        known = {
            "member": f"{member:05d}",
            "at": f"{FIRST + timedelta(days=day)} {hour:02d}:{member % 60:02d}",
            "net": f"{cents / 100:.2f}",
            "item": f"i{item:02d}",
        }
        self.rows.append({name: known[name] for name in self.shop.columns})


def purchase_days(shop: OddShop, chance: np.random.Generator) -> list[list[int]]:
    """The days each member buys on, ascending."""
    gap: Callable[[float], int] = (lambda mean: shop.even) if shop.even else (lambda mean: 1 + int(chance.exponential(mean)))
    found = []
    for _ in range(shop.members):
        mean, day, days = float(chance.gamma(2.0, 7.0)) + 2, int(chance.integers(0, max(shop.days // 2, 30))), []
        while day < shop.days:
            days.append(day)
            if chance.random() < shop.lapsing:
                break
            day += gap(mean * (1 + (shop.slowing - 1) * day / shop.days))
        found.append(days)
    return found


def write_shop(folder: Path, shop: OddShop) -> Path:
    """The shop's file and its mapping; returns the mapping."""
    chance = np.random.default_rng(shop.seed)
    lines = _Lines(shop, chance)
    for member, days in enumerate(purchase_days(shop, chance)):
        for day in days:
            lines.buy(member, day)
    folder.mkdir(parents=True, exist_ok=True)
    table = [",".join(shop.columns), *(",".join(row.values()) for row in lines.rows)]
    (folder / "sales.csv").write_text("\n".join(table) + "\n")
    mapping = folder / "shop.toml"
    mapping.write_text(HEAD + "".join(f'{COLUMNS[name]} = "{name}"\n' for name in shop.columns))
    return mapping
