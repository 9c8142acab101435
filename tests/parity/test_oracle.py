"""The query's features against an oracle in plain Python, on random shops and on real purchases."""

from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from math import isclose, isnan

import numpy as np
import pytest
from hypothesis import given
from parity import oracle
from parity.random_shops import SHOPS, Shop, moments, on_the_hour, shops_with_news
from shops import Line, shop

from features.build import FeatureRows, build
from features.capabilities import silent
from features.codec import columns_of
from features.contract import CONTRACT
from features.declarations import DECAYED, LOG_KEYS
from features.doctor import features_without
from features.facts import Facts

INEXACT = {a.name for a in CONTRACT.aggregates if a.kind in (DECAYED, LOG_KEYS)}
"""Sums of numbers that no float holds exactly; all other summaries agree to the last digit."""
RELATIVE, ABSOLUTE = 1e-5, 1e-5
"""Features are float32, which has seven digits."""
WHOLE = {"orders", "days", "cents", "items", "stores", "categories", "brands", "channels", "views", "sessions", "campaigns"}
COUNTED = {f.name for f in CONTRACT.features if f.unit in WHOLE} - {
    name for name in CONTRACT.feature_names if "_per_" in name or "deviation" in name or "mean" in name or "_h" in name
}
"""Whole numbers: these must agree to the last digit, as float32 can hold them."""


HOLIDAYS_2017 = [
    *(date(2017, 1, day) for day in (1, 2, 16)),  # New Year's Day and the Monday after, Martin Luther King
    *(date(2017, 2, 20), date(2017, 5, 29), date(2017, 7, 4)),  # Washington, Memorial Day, Independence Day
    *(
        date(2017, 9, 4),
        date(2017, 10, 9),
        date(2017, 11, 10),
        date(2017, 11, 11),
    ),  # Labor Day, Columbus, Veterans (observed, real)
    *(date(2017, 11, 23), date(2017, 12, 25)),  # Thanksgiving, Christmas
]
"""Federal holidays of the United States, by hand."""


def read(facts: Facts) -> oracle.Records:
    rows = {name: facts.tables[name].to_pyarrow().to_pylist() for name in ("purchases", "events", "exposures", "redemptions")}
    catalogue = {entry["item_id"]: entry for entry in facts.tables["items"].to_pyarrow().to_pylist()}
    holidays = HOLIDAYS_2017 if facts.manifest.country == "US" else None
    return oracle.Records(catalogue=catalogue, holidays=holidays, **rows)


def differences(rows: FeatureRows, expected: Mapping[str, Mapping[str, oracle.Value]]) -> list[str]:
    found = []
    for row, member in enumerate(rows.member_ids.tolist()):
        for column, name in enumerate(CONTRACT.feature_names):
            value = float(rows.matrix[row, column])
            if name in expected[member] and not same(name, value, expected[member][name]):
                found.append(f"{member}: {name} is {value}, the oracle says {expected[member][name]}")
    return found


def same(name: str, value: float, expected: oracle.Value) -> bool:
    if expected is None or isnan(value):
        return expected is None and isnan(value)
    if name in COUNTED and abs(expected) < 2**24:
        return value == expected
    return isclose(value, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def assert_agrees(rows: FeatureRows, facts: Facts, moment: datetime) -> None:
    records = read(facts)
    expected = oracle.features_at(moment, records, facts.zone)
    absent = facts.absent(rows.day)
    unknown = dict.fromkeys(features_without(CONTRACT, absent))  # what a shop does not tell is missing, not zero

    assert rows.member_ids.tolist() == sorted(expected)
    assert differences(rows, {member: {**features, **unknown} for member, features in expected.items()})[:10] == []
    silenced = {aggregate.name for aggregate in silent(CONTRACT.aggregates, absent)}
    assert all(np.isnan(columns_of(rows.records)[name]).all() for name in silenced)
    assert_aggregates_agree(rows, oracle.members_before(moment, records, facts.zone), silenced)


def assert_aggregates_agree(rows: FeatureRows, members: Mapping[str, oracle.Member], silenced: Collection[str]) -> None:
    stored = columns_of(rows.records)
    for row, member in enumerate(rows.member_ids.tolist()):
        for name, value in oracle.aggregates_of(members[member], rows.day).items():
            if name in silenced:
                continue
            got = stored[name][row]
            if value is not None and name in INEXACT:
                assert isclose(got, value, rel_tol=1e-12, abs_tol=1e-9), (member, name, got, value)
            else:
                assert isnan(got) if value is None else got == value, (member, name, got, value)


@SHOPS
@given(what=shops_with_news, hours=moments)
def test_random_shops(what: Shop, hours: int) -> None:
    facts, moment = what.facts(), on_the_hour(hours)

    assert_agrees(build(facts, as_of=moment), facts, moment)


def test_real_purchases_on_an_afternoon(facts: Facts) -> None:
    afternoon = facts.midnight(facts.manifest.until_day - 150) + timedelta(hours=16)

    assert_agrees(build(facts, as_of=afternoon), facts, afternoon)


def test_the_oracle_knows_every_feature_and_every_kind_of_aggregate() -> None:
    facts = shop([Line("ann", day) for day in (0.0, 1.0, 3.0)])
    records = read(facts)
    moment = on_the_hour(24 * 4)
    members = oracle.members_before(moment, records, facts.zone)
    summed = oracle.aggregates_of(members["ann"], facts.local_day(moment))

    assert set(oracle.features_at(moment, records, facts.zone)["ann"]) == set(CONTRACT.feature_names)
    seen = {a.kind.name for a in CONTRACT.aggregates if a.name in summed or a.name in CONTRACT.feature_names}
    assert seen == {aggregate.kind.name for aggregate in CONTRACT.aggregates}


def test_real_purchases_reach_every_stage_tier_and_score(rows: FeatureRows) -> None:
    for name, codes in (
        ("lifecycle_stage", range(1, 5)),  # at the end of a year of groceries nobody is new; random shops have them
        ("rfm_tier", range(3)),
        ("recency_score", range(1, 6)),
        ("frequency_score", range(1, 6)),
        ("monetary_score", range(1, 6)),
    ):
        assert set(rows.column(name).tolist()) == set(codes), name


@pytest.mark.parametrize("idle", [0, 1, 365, 20 * 365, 60 * 365])
def test_a_decayed_total_does_not_change_while_nothing_happens(idle: int) -> None:
    facts = shop([Line("ann", 0.0, 700), Line("ann", 9.0, 900), Line("ann", 40.0, -300, kind="return")])
    day = facts.manifest.until_day

    then, later = (build(facts, as_of=facts.midnight(at)) for at in (day, day + idle))

    for name in (a.name for a in CONTRACT.aggregates if a.kind is DECAYED):
        assert later.records[name].tobytes() == then.records[name].tobytes(), name
    assert later.records["decayed_spend_cents_h30d"][0] == pytest.approx(700 * 2 ** (-40 / 30) + 900 * 2 ** (-31 / 30) - 300)
    faded = then.column("spend_cents_h30d")[0] * 2.0 ** (-idle / 30)
    assert later.column("spend_cents_h30d")[0] == pytest.approx(faded, rel=1e-6, abs=1e-30)
