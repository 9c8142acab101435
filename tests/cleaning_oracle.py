"""The cleaning once more, row by row in plain Python: slow, and with nothing of the real one's code."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
CONTENT = ("order_id", "item_id", "quantity", "net_cents", "discount_cents", "coupon_cents", "kind", "occurred_at")


@dataclass
class Sorted:
    """What the oracle makes of rows: each with the `reason` it was set aside for, or None; and how many have which note."""

    rows: list[Row]
    reasons: list[str | None]
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> list[Row]:
        """Rows without a reason."""
        return [row for row, reason in zip(self.rows, self.reasons, strict=True) if reason is None]


def clean(rows: Iterable[Row], items: list[Row], *, by_content: bool = False, seconds: int = 60, minutes: int = 60) -> Sorted:
    """Every rule, in order, with its own action."""
    came = list(rows)
    catalogue = {item["item_id"]: item for item in items}
    spelled = spellings([row["item_id"] for row in came], set(catalogue))
    mended = [mend(row, spelled, catalogue) for row in came]
    found = Sorted(mended, [alone(row) for row in came])
    if by_content:
        repeated_content(found)
    else:
        repeated_number(found)
    taken_back(found, timedelta(minutes=minutes))
    sent_twice(found, timedelta(seconds=seconds))
    notes(found, came, catalogue)
    return found


def spellings(ids: list[str | None], catalogue: set[str]) -> dict[str, str]:
    """What each id found stands for."""
    times = Counter(item for item in ids if item is not None)
    meant = {}
    for item in times:
        alike = [known for known in catalogue if known.lower() == item.lower()]
        if item in catalogue or len(alike) > 1:
            meant[item] = item
        elif alike:
            meant[item] = alike[0]
        else:
            others = [other for other in times if other.lower() == item.lower()]
            meant[item] = min(others, key=lambda other: (-times[other], other))
    return meant


def mend(row: Row, spelled: dict[str, str], catalogue: dict[str, Row]) -> Row:
    """The row with its item as known, and without a quantity that is a weight."""
    item = None if row["item_id"] is None else spelled[row["item_id"]]
    weighed = bool(catalogue.get(item or "", {}).get("sold_by_measure"))
    return {**row, "item_id": item, "quantity": None if weighed else row["quantity"]}


def alone(row: Row) -> str | None:
    """The first rule on single rows that claims it."""
    if any(malformed(row[name]) for name in ("order_id", "member_id", "item_id")):
        return "malformed_id"
    if not datetime(1990, 1, 1) <= row["occurred_at"] <= datetime(2100, 1, 1):  # noqa: DTZ001 # as canonical moments are
        return "impossible_date"
    if row["kind"] == "sale" and row["net_cents"] < 0:
        return "negative_sale"
    if row["quantity"] == 0 and not any(row[name] for name in ("net_cents", "discount_cents", "coupon_cents")):
        return "empty_line"
    return None


def malformed(text: str | None) -> bool:
    """Whether an id cannot be one."""
    if text is None:
        return False
    odd = any(sign in "{}" or unicodedata.category(sign).startswith("C") for sign in text)
    return not text.strip(" ") or len(text) > 128 or odd


def said_first(row: Row) -> list[tuple[bool, Any]]:
    """Earlier rows have smaller keys: by file, place, moment and amount, then by all the rest, missing last."""
    first = ("file", "line_no", "occurred_at", "net_cents")
    names = [*first, *(name for name in COLUMNS if name not in first)]
    return [(row.get(name) is None, row.get(name) if row.get(name) is not None else 0) for name in names]


COLUMNS = (
    *("order_id", "line_no", "member_id", "item_id", "quantity", "net_cents", "discount_cents", "coupon_cents"),
    *("channel", "store_id", "kind", "occurred_at", "local_day", "local_hour", "recorded_at", "superseded_at"),
)


def grouped(found: Sorted, places: Iterable[int], key: Callable[[Row], object]) -> list[list[int]]:
    """Places of rows that have the same key, first said first."""
    groups: dict[object, list[int]] = {}
    for place in sorted(places, key=lambda place: said_first({**found.rows[place], "file": ""})):
        groups.setdefault(key(found.rows[place]), []).append(place)
    return list(groups.values())


def repeated_number(found: Sorted) -> None:
    """Lines whose number, order and moment of record were there before; and versions of a line."""
    good = [place for place, reason in enumerate(found.reasons) if reason is None]
    void = [place for place, reason in enumerate(found.reasons) if reason == "empty_line"]
    said = lambda row: (row["order_id"], row["line_no"], row["recorded_at"])  # noqa: E731 # two lines of it would say no more
    first = [places[0] for places in grouped(found, good, said)]
    for place in set(good) - set(first):
        found.reasons[place] = "repeated_line"
    taken = {said(found.rows[place]) for place in first}
    first += [places[0] for places in grouped(found, void, said) if said(found.rows[places[0]]) not in taken]
    for places in grouped(found, first, lambda row: (row["order_id"], row["line_no"])):
        known = sorted(places, key=lambda place: became_known(found.rows[place]))
        for place, following in pairwise(known):
            moments = (found.rows[place]["superseded_at"], became_known(found.rows[following])[0])
            if found.reasons[place] is None:
                found.rows[place]["superseded_at"] = min(moment for moment in moments if moment is not None)


def became_known(row: Row) -> tuple[datetime, bool]:
    """When a row was known, and whether somebody wrote that down."""
    return row["recorded_at"] or row["occurred_at"], row["recorded_at"] is not None


def repeated_content(found: Sorted) -> None:
    """Of each content as many lines stay as the file has that has most of them; lines of such orders are numbered anew."""
    good = [place for place, reason in enumerate(found.reasons) if reason is None]
    stay: set[int] = set()
    for places in grouped(found, good, lambda row: tuple(row[name] for name in CONTENT)):
        by_file: dict[str, list[int]] = {}
        for place in sorted(places, key=lambda place: said_first(found.rows[place])):
            by_file.setdefault(found.rows[place]["file"], []).append(place)
        taken = 0
        for file in sorted(by_file):
            stay.update(by_file[file][taken:])
            taken = max(taken, len(by_file[file]))
    for place in set(good) - stay:
        found.reasons[place] = "repeated_line"
    for places in grouped(found, good, lambda row: row["order_id"]):
        if len({found.rows[place]["file"] for place in places}) > 1:
            kept = sorted((place for place in places if place in stay), key=lambda place: said_first(found.rows[place]))
            for number, place in enumerate(kept):
                found.rows[place]["line_no"] = number


def taken_back(found: Sorted, most: timedelta) -> None:
    """Each return, as time goes on, takes the latest sale that is still there; first by order and item, and so on."""
    same_item = lambda back, sold: back["item_id"] == sold["item_id"]  # noqa: E731
    same_order = lambda back, sold: back["order_id"] == sold["order_id"]  # noqa: E731
    for fits in (
        lambda back, sold: same_order(back, sold) and same_item(back, sold),
        lambda back, sold: back["member_id"] is not None and same_item(back, sold),
        lambda back, sold: back["item_id"] is None and same_order(back, sold),
    ):
        line = sorted(
            (place for place, row in enumerate(found.rows) if found.reasons[place] is None and row["superseded_at"] is None),
            key=lambda place: in_time(found.rows[place]),
        )
        for turn, place in enumerate(line):
            back = found.rows[place]
            if back["kind"] != "return" or back["net_cents"] > 0:
                continue
            for before in reversed(line[:turn]):
                sold = found.rows[before]
                near = back["occurred_at"] - sold["occurred_at"] <= most
                mirrored = sold["kind"] == "sale" and sold["net_cents"] == -back["net_cents"]
                alike = sold["member_id"] == back["member_id"] and fits(back, sold)
                if near and mirrored and alike and found.reasons[before] is None:
                    found.reasons[before] = found.reasons[place] = "cancelled"
                    break


def in_time(row: Row) -> tuple[Any, ...]:
    """Order of events: by moment, sales before returns."""
    return (
        row["occurred_at"],
        row["kind"] == "return",
        row["order_id"],
        row["line_no"],
        row["item_id"] or "",
        row.get("file") or "",
    )


def sent_twice(found: Sorted, most: timedelta) -> None:
    """Orders of which another, equal one of the same member was sent shortly before."""
    orders: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(found.rows):
        if found.reasons[place] is None and row["kind"] == "sale" and row["member_id"] is not None:
            orders.setdefault((row["member_id"], row["order_id"]), []).append(place)
    baskets = {}
    for name, places in orders.items():
        lines = [found.rows[place] for place in places if counts_as_sent(found.rows[place])]
        if lines:
            content = Counter(tuple(line[n] for n in CONTENT[1:6]) for line in lines)
            baskets[name] = (min(line["occurred_at"] for line in lines), content)
    for (member, order), (sent, content) in baskets.items():
        for (other_member, other_order), (before, other_content) in baskets.items():
            earlier = (before, other_order) < (sent, order) and sent - before <= most
            if member == other_member and earlier and content == other_content:
                for place in orders[member, order]:
                    found.reasons[place] = "near_duplicate_order"


def counts_as_sent(row: Row) -> bool:
    """Whether the line stands as it is, and more than its day is known."""
    midnight = row["local_hour"] == 0 and (row["occurred_at"].minute % 15, row["occurred_at"].second) == (0, 0)
    return row["superseded_at"] is None and not (midnight and row["occurred_at"].microsecond == 0)


def notes(found: Sorted, came: list[Row], catalogue: dict[str, Row]) -> None:
    """Count what is noted of rows that stay."""
    for row, raw, reason in zip(found.rows, came, found.reasons, strict=True):
        if reason is None:
            for note in noted(row, raw, catalogue.get(row["item_id"]), found.kept):
                found.notes[note] += 1


def noted(row: Row, raw: Row, entry: Row | None, kept: list[Row]) -> Iterable[str]:
    """Every note on one row that stays."""
    if raw["item_id"] != row["item_id"]:
        yield "case_only_item_id"
    if row["item_id"] is not None and entry is None:
        yield "unknown_item"
    if row["quantity"] is None:
        yield "sold_by_measure"
    if row["kind"] == "sale" and row["net_cents"] == 0:
        yield "zero_value"
    cost = (entry or {}).get("cost_cents")
    if row["kind"] == "sale" and cost is not None and (row["quantity"] or 0) > 0 and row["net_cents"] < cost * row["quantity"]:
        yield "below_cost"
    if any(abs(row[name]) > 10_000_000 for name in ("net_cents", "discount_cents", "coupon_cents")):
        yield "huge_amount"
    if row["kind"] == "return" and row["member_id"] is not None:
        same = [(other["member_id"], other["item_id"]) == (row["member_id"], row["item_id"]) for other in kept]
        bought = [other["kind"] == "sale" and other["occurred_at"] <= row["occurred_at"] for other in kept]
        if not any(alike and before for alike, before in zip(same, bought, strict=True)):
            yield "return_without_sale"
