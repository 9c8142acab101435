"""A night's refresh, and many snapshots at once, against a build of everything."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parity.random_shops import SHOPS, Shop, purchases, shops_with_news
from shops import CATALOGUE, ZONE, Event, Exposure, Line, Redemption, purchases_table, shop

from features.build import FeatureRows, build, build_by_bucket
from features.contract import CONTRACT
from features.declarations import Aggregate
from features.fact_tables import arrow_schema
from features.facts import Facts
from features.facts_folder import Origin
from features.manifest import read_manifest
from features.refresh import refresh, snapshots
from features.sources.landing import Incoming, land
from features.sources.schema import ITEMS

FIRST = Facts.in_memory({"purchases": purchases_table([Line("ann", 0.0)])}, time_zone=ZONE).manifest.first_day


def assert_same(left: FeatureRows, right: FeatureRows) -> None:
    assert left.member_ids.tolist() == right.member_ids.tolist()
    for name in left.records.dtype.names or ():
        if left.records.dtype[name] == np.float64:  # carried on from night to night; in cents, a billionth of one
            np.testing.assert_allclose(left.records[name], right.records[name], rtol=1e-12, atol=1e-9, err_msg=name)
        else:
            assert left.records[name].tobytes() == right.records[name].tobytes(), name
    assert repr(dict(left.edges)) == repr(dict(right.edges))
    for column, feature in enumerate(CONTRACT.features):
        if any(isinstance(source, Aggregate) and source.dtype == "float64" for source in feature.sources()):
            np.testing.assert_allclose(
                left.matrix[:, column], right.matrix[:, column], rtol=1e-6, atol=1e-6, err_msg=feature.name
            )
        else:
            assert left.matrix[:, column].tobytes() == right.matrix[:, column].tobytes(), feature.name


def imported(
    folder: Path, lines: Sequence[Line], *, add: bool = False, catalogue: Sequence[dict[str, object]] = CATALOGUE
) -> Facts:
    """Facts of these lines in a folder, or added to those that are in it."""
    connection = ibis.duckdb.connect()
    items = pa.Table.from_pylist(list(catalogue), schema=arrow_schema(ITEMS))
    tables = {
        "purchases": connection.create_table("purchases", purchases_table(lines)),
        "items": connection.create_table("items", items),
    }
    land(folder, Incoming(tables, Origin("test", ZONE, "USD", files={})), base=read_manifest(folder) if add else None)
    return Facts.open(folder)


@settings(SHOPS, max_examples=4)
@given(
    happened=shops_with_news,
    start=st.integers(1, 430),
    nights=st.lists(st.sampled_from((0, 1, 1, 2, 7, 40)), min_size=1, max_size=2),
    buckets=st.sampled_from((1, 3)),
)
def test_a_refresh_equals_a_build(
    happened: Shop, start: int, nights: list[int], buckets: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    facts = shop(
        happened.lines,
        events=happened.events,
        exposures=happened.exposures,
        redemptions=happened.redemptions,
        buckets=buckets,
    )
    folder = tmp_path_factory.mktemp("state") / "features"
    refresh(facts, folder, day=FIRST + start)

    for night in accumulate(nights):
        outcome = refresh(facts, folder, day=FIRST + start + night)

        assert outcome.reason == ""
        assert_same(outcome.state.rows(facts, CONTRACT), build(facts, as_of=facts.midnight(FIRST + start + night)))


def assert_refreshed(facts: Facts, folder: Path, days: Sequence[int]) -> None:
    """Each night's state equals a build, and was gone on from."""
    refresh(facts, folder, day=FIRST + days[0])
    for day in days[1:]:
        outcome = refresh(facts, folder, day=FIRST + day)
        assert outcome.reason == ""
        assert_same(outcome.state.rows(facts, CONTRACT), build(facts, as_of=facts.midnight(FIRST + day)))


def test_windows_left_and_entered_on_one_night(tmp_path: Path) -> None:
    """Ann buys the same item on the night on which her first purchase leaves 7, 30, 90 and 180 days, or some days around it."""
    lines = [Line("ann", float(day), 100 + day, store=f"s{day % 3}") for day in (0, 7, 30, 90, 180)]
    lines += [Line("bob", 0.0, 9_000, order="large"), Line("bob", 170.0, 50)]
    assert_refreshed(shop(lines), tmp_path / "nights", (7, 8, 31, 91, 150, 181))


def test_returns_new_members_and_members_of_whom_facts_only_leave(tmp_path: Path) -> None:
    lines = [
        Line("ann", 0.0, 5_000),
        Line("bob", 1.0, 700, order="kept"),
        Line("bob", 31.2, -700, kind="return", order="kept"),
        Line("bob", 31.4, 700, order="again"),
        Line("cid", 31.5, -100, kind="return"),
        Line("aaa", 31.6, 300, item="soap"),
    ]
    assert_refreshed(shop(lines, buckets=2), tmp_path / "nights", (31, 32, 62, 92))


def test_events_and_campaigns_come_and_leave(tmp_path: Path) -> None:
    events = [Event("ann", at, kind, session=f"v{at}") for at in (0.0, 0.5, 6.0, 29.0) for kind in ("view", "cart", "search")]
    facts = shop(
        [Line("ann", 3.0)],
        events=[*events, Event("eve", 29.5, "visit")],
        exposures=[Exposure("ann", 1.0), Exposure("ann", 30.0, "summer"), Exposure("fay", 2.0, arm="control")],
        redemptions=[Redemption("ann", 2.0), Redemption("gus", 30.5)],
    )
    assert_refreshed(facts, tmp_path / "nights", (1, 7, 8, 30, 32, 61))


def test_a_line_recorded_late_and_one_corrected(tmp_path: Path) -> None:
    lines = [
        Line("ann", 1.0, 100),
        Line("ann", 2.0, 400, recorded=9.5, item="pear"),
        Line("bob", 2.0, 300, superseded=10.2),
        Line("bob", 2.0, 200, recorded=10.2, order="right"),
        Line("cid", 3.0, 50, superseded=11.0),
    ]
    assert_refreshed(shop(lines), tmp_path / "nights", (5, 10, 11, 12, 33))


def test_what_the_facts_begin_to_tell_makes_a_full_build(tmp_path: Path) -> None:
    lines = [Line("ann", 1.0, coupon=0), Line("ann", 20.0, coupon=30)]
    facts = Facts.in_memory({"purchases": purchases_table(lines)}, time_zone=ZONE)
    refresh(facts, tmp_path / "nights", day=FIRST + 19)

    assert refresh(facts, tmp_path / "nights", day=FIRST + 20).reason == ""
    outcome = refresh(facts, tmp_path / "nights", day=FIRST + 21)

    assert "did not tell" in outcome.reason
    assert_same(outcome.state.rows(facts, CONTRACT), build(facts, as_of=facts.midnight(FIRST + 21)))


@settings(SHOPS, max_examples=4)
@given(lines=purchases, days=st.lists(st.integers(1, 440), min_size=1, max_size=5), buckets=st.sampled_from((1, 3)))
def test_snapshots_equal_builds(lines: list[Line], days: list[int], buckets: int) -> None:
    facts = shop(lines, buckets=buckets)

    for rows in snapshots(facts, [FIRST + day for day in days]):
        assert_same(rows, build(facts, as_of=facts.midnight(rows.day)))


OLD = [Line("ann", 0.0, 500), Line("ann", 20.0, 700, item="soap"), Line("bob", 3.0, 100), Line("cid", 5.0, 900, coupon=5)]
NEW = [Line("bob", 30.2, 250, order="n1"), Line("dee", 30.4, 90, order="n2", item="pear")]


def test_what_an_import_adds_is_refreshed_and_late_rows_repair_what_they_touch(tmp_path: Path) -> None:
    facts = imported(tmp_path / "facts", OLD)
    refresh(facts, tmp_path / "state", day=FIRST + 30)
    late = Line("cid", 9.5, 4_000, order="late", item="pear")

    grown = imported(tmp_path / "facts", [*NEW, late], add=True)
    outcome = refresh(grown, tmp_path / "state", day=FIRST + 31)

    assert outcome.reason == ""
    assert grown.manifest.rows["purchases"] == len(OLD) + 3
    assert_same(outcome.state.rows(grown, CONTRACT), build(grown, as_of=grown.midnight(FIRST + 31)))
    assert_same(
        outcome.state.rows(grown, CONTRACT),
        build(imported(tmp_path / "whole", [*OLD, *NEW, late]), as_of=grown.midnight(FIRST + 31)),
    )


def test_a_line_added_to_an_order_that_is_there_is_counted_once(tmp_path: Path) -> None:
    first = [Line("ann", 1.0, 500, order="basket"), Line("bob", 2.0, 10)]
    imported(tmp_path / "facts", first)

    grown = imported(tmp_path / "facts", [first[0], Line("ann", 1.0, 300, order="basket", item="soap")], add=True)

    assert grown.manifest.rows["purchases"] == 3
    assert grown.tables["orders"].net_cents.sum().to_pyarrow().as_py() == 810
    assert grown.manifest.rows["orders"] == 2


def test_a_changed_catalogue_reaches_those_who_bought_of_it(tmp_path: Path) -> None:
    facts = imported(tmp_path / "facts", OLD)
    refresh(facts, tmp_path / "state", day=FIRST + 30)
    changed = [{**item, "category": "care"} if item["item_id"] == "soap" else item for item in CATALOGUE]

    grown = imported(tmp_path / "facts", NEW, add=True, catalogue=changed)
    outcome = refresh(grown, tmp_path / "state", day=FIRST + 31)

    assert outcome.reason == ""
    assert_same(outcome.state.rows(grown, CONTRACT), build(grown, as_of=grown.midnight(FIRST + 31)))


def test_only_those_whom_the_day_touched_are_summed_up_anew(tmp_path: Path) -> None:
    facts = imported(tmp_path / "facts", [*OLD, *NEW])
    refresh(facts, tmp_path / "state", day=FIRST + 28)

    assert refresh(facts, tmp_path / "state", day=FIRST + 29).touched == 0
    assert refresh(facts, tmp_path / "state", day=FIRST + 31).touched == 3  # bob and dee buy; ann's first day leaves 30 days


def test_what_cannot_be_gone_on_from_is_built_anew_and_said_so(tmp_path: Path) -> None:
    facts = shop(OLD)
    assert "no state" in refresh(facts, tmp_path / "state", day=FIRST + 30).reason
    assert "later day" in refresh(facts, tmp_path / "state", day=FIRST + 20).reason
    assert "days old" in refresh(facts, tmp_path / "state", day=FIRST + 400).reason
    assert "anew" in refresh(shop(OLD, buckets=2), tmp_path / "state", day=FIRST + 401).reason
    (tmp_path / "state" / "state.json").unlink()
    assert "no state" in refresh(facts, tmp_path / "state", day=FIRST + 402).reason


def test_real_facts_night_after_night(facts: Facts, tmp_path: Path) -> None:
    last = facts.manifest.until_day
    refresh(facts, tmp_path / "state", day=last - 9)
    for day in (last - 8, last - 7, last):
        outcome = refresh(facts, tmp_path / "state", day=day)
    whole = build(facts, as_of=facts.midnight(last))

    assert outcome.touched < outcome.members
    assert_same(outcome.state.rows(facts, CONTRACT), whole)
    by_bucket = list(build_by_bucket(facts, as_of=facts.midnight(last), scratch=tmp_path))
    assert np.concatenate([rows.matrix for rows in by_bucket]).tobytes() == whole.matrix.tobytes()
