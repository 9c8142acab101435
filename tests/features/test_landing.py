"""Adding to facts: corrections, overlapping exports, several buckets, and histories that turn out to be a member's."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from mapped_shops import HEAD, written

from features import facts_folder
from features.build import FeatureRows, build
from features.facts import Facts
from features.sources.mapped import MappedImport, import_mapped
from features.sources.membership import HistoriesDivide

ZONE = ZoneInfo("Europe/Paris")
KEY = "a key for tests alone, 0123456789"
TILL = """
[purchases]
files = "sales-*.csv"
order_id = "ticket"
line_no = "line"
member_id = "card"
item_id = "sku"
net = "total"
occurred_at = "at"
recorded_at = "known"
"""
COLUMNS = "ticket,line,card,sku,total,at,known\n"
SITE = """
[purchases]
files = "sales-*.csv"
order_id = "ticket"
line_no = "line"
item_id = "sku"
net = "total"
occurred_at = "at"
recorded_at = "known"
identifiers = { cookie = "cookie", member = "user" }

[events]
files = "clicks-*.csv"
event_id = "click"
event_type = "what"
occurred_at = "at"
identifiers = { cookie = "cookie", member = "user" }
"""
SITE_COLUMNS = "ticket,line,cookie,user,sku,total,at,known\n"
CLICKS = "click,what,cookie,user,at\n"


def imported(folder: Path, mapping: str, *, again: bool = False, **files: str) -> MappedImport:
    """An import of a shop's files; those not given are as they were."""
    folder.mkdir(exist_ok=True)
    names = {f"{name.replace('_', '-')}.csv": content for name, content in files.items()}
    return import_mapped(folder / "facts", written(folder, HEAD + mapping, names), identity_key=KEY, again=again)


def rows_as_of(folder: Path, moment: str) -> FeatureRows:
    return build(Facts.open(folder / "facts"), as_of=datetime.fromisoformat(moment).replace(tzinfo=ZONE))


def spend(folder: Path, moment: str) -> dict[str, tuple[int, int]]:
    """Of each member the orders and what they came to, as of a moment."""
    rows = rows_as_of(folder, moment)
    figures = (rows.column("purchases_ever").tolist(), rows.column("spend_cents_ever").tolist())
    return {str(m): (int(n), int(cents)) for m, n, cents in zip(rows.member_ids, *figures, strict=True)}


def assert_same(one: FeatureRows, other: FeatureRows) -> None:
    assert one.member_ids.tolist() == other.member_ids.tolist()
    assert one.records.tobytes() == other.records.tobytes()
    assert one.matrix.tobytes() == other.matrix.tobytes()


MAY = COLUMNS + "t1,0,ann,a,10.00,2024-05-01 10:00,\nt1,1,ann,b,5.00,2024-05-01 10:00,\nt2,0,bob,a,7.00,2024-05-02 11:00,\n"
CORRECTED = COLUMNS + "t1,1,ann,b,2.50,2024-05-01 10:00,2024-05-04 09:00\n"


def test_before_a_correction_the_old_amount_holds_and_after_it_the_new_one(tmp_path: Path) -> None:
    imported(tmp_path, TILL, sales_1=MAY)
    added = imported(tmp_path, TILL, sales_2=CORRECTED)

    assert added.report is not None
    assert (added.report.rows_in, added.report.accepted) == (1, 1)
    assert spend(tmp_path, "2024-05-04 09:00") == {"ann": (1, 1500), "bob": (1, 700)}
    assert spend(tmp_path, "2024-05-04 09:01") == {"ann": (1, 1250), "bob": (1, 700)}


def test_corrections_and_what_they_correct_may_come_in_any_order_and_twice(tmp_path: Path) -> None:
    together, backwards = tmp_path / "together", tmp_path / "backwards"
    imported(together, TILL, sales_1=MAY, sales_2=CORRECTED)
    imported(backwards, TILL, sales_2=CORRECTED)
    imported(backwards, TILL, sales_1=MAY)
    imported(backwards, TILL, sales_3=MAY + CORRECTED.removeprefix(COLUMNS))

    for moment in ("2024-05-03", "2024-05-04 09:00", "2024-05-06"):
        assert_same(rows_as_of(together, moment), rows_as_of(backwards, moment))
    assert Facts.open(backwards / "facts").manifest.rows["purchases"] == 4


def test_overlapping_exports_count_each_line_once(tmp_path: Path) -> None:
    first, second = MAY, COLUMNS + MAY.splitlines()[3] + "\nt3,0,ann,a,1.00,2024-05-03 12:00,\n"
    imported(tmp_path, TILL, sales_1=first)
    added = imported(tmp_path, TILL, sales_2=second)

    assert added.report is not None
    assert (added.report.rows_in, added.report.accepted, added.report.duplicates) == (2, 1, 1)
    assert spend(tmp_path, "2024-05-06") == {"ann": (2, 1600), "bob": (1, 700)}


def test_several_buckets_say_what_one_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sales = [f"o{n},0,m{n % 7},{'ab'[n % 2]},{n}.00,2024-05-{1 + n % 28:02d} 10:00,\n" for n in range(40)]
    fixes = "".join(
        f"o{n},0,m{n % 7},a,{n}.50,2024-05-{1 + n % 28:02d} 10:00,2024-06-0{1 + n % 3} 08:00\n" for n in range(0, 40, 9)
    )
    one, many = tmp_path / "one", tmp_path / "many"
    imported(one, TILL, sales_1=COLUMNS + "".join(sales), sales_2=COLUMNS + fixes)
    monkeypatch.setattr(facts_folder, "ROWS_A_BUCKET", 10)
    imported(many, TILL, sales_1=COLUMNS + "".join(sales[:25]))
    imported(many, TILL, sales_2=COLUMNS + "".join(sales[20:]))
    imported(many, TILL, sales_3=COLUMNS + fixes)

    assert (Facts.open(one / "facts").manifest.buckets, Facts.open(many / "facts").manifest.buckets) == (1, 4)
    for moment in ("2024-05-20", "2024-06-02", "2024-06-04"):
        assert_same(rows_as_of(one, moment), rows_as_of(many, moment))


APRIL = SITE_COLUMNS + (
    "w1,0,c1,,a,10.00,2024-04-01 10:00,\nw2,0,c1,,b,4.00,2024-04-03 10:00,\n"
    "w2,0,c1,,b,3.00,2024-04-03 10:00,2024-04-04 08:00\nw3,0,c2,,a,8.00,2024-04-02 10:00,\nw4,0,,ann,a,1.00,2024-03-30 10:00,\n"
)
APRIL_CLICKS = CLICKS + "k1,view,c1,,2024-04-01 09:00\nk2,view,c2,,2024-04-02 09:00\n"
LOGIN = SITE_COLUMNS + "w5,0,c1,ann,a,2.00,2024-04-10 10:00,\n"
LOGIN_CLICKS = CLICKS + "k3,view,c1,ann,2024-04-10 09:00\n"
BEFORE, DAY_OF_LINK, AFTER = "2024-04-09", "2024-04-11", "2024-04-12"


def test_a_history_is_known_to_be_a_members_only_after_the_link(tmp_path: Path) -> None:
    imported(tmp_path, SITE, sales_1=APRIL, clicks_1=APRIL_CLICKS, sales_2=LOGIN, clicks_2=LOGIN_CLICKS)

    assert spend(tmp_path, BEFORE)["ann"] == (1, 100)
    assert spend(tmp_path, DAY_OF_LINK)["ann"] == (2, 300)
    assert spend(tmp_path, AFTER)["ann"] == (4, 100 + 200 + 1000 + 300)
    assert sorted(cents for _, cents in spend(tmp_path, AFTER).values()) == [800, 1600]


def test_events_before_the_link_are_not_known_before_it_either(tmp_path: Path) -> None:
    imported(tmp_path, SITE, sales_1=APRIL, clicks_1=APRIL_CLICKS, sales_2=LOGIN, clicks_2=LOGIN_CLICKS)
    rows = Facts.open(tmp_path / "facts").query("SELECT event_id, recorded_at FROM events ORDER BY event_id").to_pylist()

    midnight_after = datetime.fromisoformat("2024-04-10T22:00")  # of UTC, in Paris in summer
    assert [row["recorded_at"] for row in rows] == [midnight_after, None, None]


@pytest.mark.parametrize("rows_a_bucket", [6_000_000, 2])
def test_a_history_moves_to_the_member_in_a_later_import(
    tmp_path: Path, rows_a_bucket: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_folder, "ROWS_A_BUCKET", rows_a_bucket)
    imported(tmp_path, SITE, sales_1=APRIL, clicks_1=APRIL_CLICKS)
    assert set(spend(tmp_path, AFTER)) - {"ann"} == {name for name in spend(tmp_path, AFTER) if name.startswith("anon-")}
    assert spend(tmp_path, AFTER)["ann"] == (1, 100)

    imported(tmp_path, SITE, sales_2=LOGIN, clicks_2=LOGIN_CLICKS)
    moved = [rows_as_of(tmp_path, moment) for moment in (BEFORE, DAY_OF_LINK, AFTER)]
    imported(tmp_path, SITE, again=True)

    for rows, moment in zip(moved, (BEFORE, DAY_OF_LINK, AFTER), strict=True):
        assert_same(rows, rows_as_of(tmp_path, moment))
    assert spend(tmp_path, AFTER)["ann"] == (4, 1600)


def test_a_moved_history_can_be_sent_again_and_corrected(tmp_path: Path) -> None:
    """What the link put off is the same line all the same: sent again a duplicate, and corrected by what is known later."""
    imported(tmp_path, SITE, sales_1=APRIL, clicks_1=APRIL_CLICKS)
    imported(tmp_path, SITE, sales_2=LOGIN, clicks_2=LOGIN_CLICKS)
    rows = Facts.open(tmp_path / "facts").manifest.rows["purchases"]
    for number in (3, 4):
        (tmp_path / f"sales-{number}.csv").write_text(APRIL + f"x{number},0,,bob,a,1.00,2024-04-11 1{number}:00,\n")
        imported(tmp_path, SITE)
        assert Facts.open(tmp_path / "facts").manifest.rows["purchases"] == rows + number - 2
    imported(tmp_path, SITE, sales_5=SITE_COLUMNS + "w1,0,c1,,a,6.00,2024-04-01 10:00,2024-04-20 08:00\n")

    assert spend(tmp_path, BEFORE)["ann"] == (1, 100)
    assert spend(tmp_path, AFTER)["ann"] == (4, 1600)
    assert spend(tmp_path, "2024-04-21")["ann"] == (4, 1200)
    steps = [rows_as_of(tmp_path, moment) for moment in (BEFORE, AFTER, "2024-04-21")]
    imported(tmp_path, SITE, again=True)
    for step, moment in zip(steps, (BEFORE, AFTER, "2024-04-21"), strict=True):
        assert_same(step, rows_as_of(tmp_path, moment))


def test_nothing_is_lost_where_histories_divide_and_a_file_is_gone(tmp_path: Path) -> None:
    imported(tmp_path, SITE, sales_1=APRIL, clicks_1=APRIL_CLICKS)
    imported(tmp_path, SITE, sales_2=LOGIN)
    before = Facts.open(tmp_path / "facts").manifest
    (tmp_path / "sales-1.csv").unlink()

    with pytest.raises(HistoriesDivide, match=r"sales-1\.csv cannot be found"):
        imported(tmp_path, SITE, sales_3=SITE_COLUMNS + "w6,0,c1,bob,a,2.00,2024-04-12 10:00,\n")
    assert Facts.open(tmp_path / "facts").manifest == before

    replaced = imported(tmp_path, SITE, again=True)
    assert replaced.gone == ("sales-1.csv",)
