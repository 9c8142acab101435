"""Every canonical table by a mapping: ids made from what stands in a row, words of lists, identifiers, what is known now."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from mapped_shops import PURCHASES, staged

from features.errors import ConfigurationError, SourceError
from features.sources.fields import FIELDS
from features.sources.schema import STORED

SALES = "card,total,at\n007,1.50,2024-05-01\n"
DERIVED = {"local_day", "local_hour", "superseded_at", "observation_id"}


def shouted(kind: str, values: Sequence[str]) -> list[str]:
    """A stand-in for the keyed hash whose answer can be seen."""
    return [f"<{kind}:{value.upper()}>" for value in values]


def md5ed(kind: str, values: Sequence[str]) -> list[str]:
    return [hashlib.md5(f"{kind}:{value}".encode()).hexdigest() for value in values]


def test_every_canonical_column_can_be_reached() -> None:
    for schema in STORED:
        if schema.name == "orders":  # summed from purchases
            continue
        reached = {field.target for field in FIELDS[schema.name]}
        if schema.name == "purchases" or "occurred_at" in reached:
            reached |= DERIVED
        assert {column.name for column in schema.columns} <= reached | DERIVED, schema.name


def test_a_line_number_of_the_shop_is_kept_and_a_missing_one_is_a_reason(tmp_path: Path) -> None:
    mapping = PURCHASES + 'order_id = "ticket"\nline_no = "pos"\nrecorded_at = "booked"\n'
    lines = "card,total,at,ticket,pos,booked\n7,1,2024-05-01,t,30,2024-05-02 00:00\n7,2,2024-05-01,t,10,\n7,3,2024-05-01,t,,\n"
    rows = staged(tmp_path, mapping, {"sales.csv": lines})["purchases"]

    assert [row["line_no"] for row in rows] == [30, 10, None]
    assert [row["reason"] for row in rows] == [None, None, "unreadable_line_no"]
    assert str(rows[0]["recorded_at"]) == "2024-05-01 22:00:00"


def test_lines_are_numbered_within_their_order_and_file(tmp_path: Path) -> None:
    mapping = PURCHASES.replace("sales.csv", "*.csv") + 'order_id = "ticket"\n'
    lines = "card,total,at,ticket\n7,1,2024-05-01,a\n7,2,2024-05-01,b\n7,3,2024-05-01,a\n"
    rows = staged(tmp_path, mapping, {"1.csv": lines, "2.csv": lines})["purchases"]

    assert [(row["file"], row["order_id"], row["line_no"]) for row in rows] == [
        (file, order, line) for file in ("1.csv", "2.csv") for order, line in (("a", 0), ("b", 0), ("a", 1))
    ]


def test_without_order_ids_a_member_at_a_moment_is_one_and_so_are_equal_anonymous_rows(tmp_path: Path) -> None:
    lines = "card,total,at\n7,1,2024-05-01\n7,2,2024-05-01\n7,1,2024-05-02\n,1,2024-05-01\n,2,2024-05-01\n,1,2024-05-01\n"
    first = [row["order_id"] for row in staged(tmp_path, PURCHASES, {"sales.csv": lines})["purchases"]]
    head, *rest = lines.splitlines()
    again = staged(tmp_path, PURCHASES, {"sales.csv": "\n".join([head, *reversed(rest)]) + "\n"})["purchases"]

    assert len(set(first)) == 4
    assert first[0] == first[1]
    assert first[3] == first[5]
    assert [row["order_id"] for row in again] == first[::-1]


EVENTS = (
    PURCHASES
    + """
[events]
files = "*.log"
member_id = "user"
event_type = { column = "what", values = { click = "view", "Add to cart" = "cart" } }
item_id = "sku"
session_id = "session"
duration_s = "seconds"
occurred_at = { column = "ts", format = "unix" }
recorded_at = { column = "seen", format = "unix" }
"""
)
LOG = (
    "user,what,sku,session,seconds,ts,seen\n"
    "7,click,s1,a,12.6,1714557600,1714557700\n"
    "7,click,s1,a,12.6,1714557600,1714557700\n"
    ",Add to cart,s1,b,,1714557600,\n"
    "7,DANCE,,,,1714557600,\n"
    "7,,,,,1714557600,\n"
)


def test_events_with_words_of_the_shop_and_ids_from_their_content(tmp_path: Path) -> None:
    found = staged(tmp_path, EVENTS, {"sales.csv": SALES, "1.log": LOG, "2.log": LOG})["events"]
    first, second = found[:5], found[5:]

    assert [row["event_type"] for row in first] == ["view", "view", "cart", "other", "other"]
    assert [row["reason"] for row in first] == [None] * 4 + ["unreadable_event_type"]
    assert [row["duration_s"] for row in first] == [13, 13, None, None, None]
    assert [row["channel"] for row in first] == ["web"] * 5
    assert len({row["event_id"] for row in first}) == 5  # two equal ones are two
    assert [row["event_id"] for row in first] == [row["event_id"] for row in second]  # and the same two in another file
    assert (first[0]["local_hour"], str(first[0]["recorded_at"])) == (12, "2024-05-01 10:01:40")


def test_event_ids_of_the_shop_are_kept(tmp_path: Path) -> None:
    found = staged(tmp_path, EVENTS + 'event_id = "session"\n', {"sales.csv": SALES, "1.log": LOG})["events"]

    assert [row["event_id"] for row in found[:3]] == ["a", "a", "b"]
    assert found[3]["event_id"].startswith("row-")


def test_campaigns_and_coupons(tmp_path: Path) -> None:
    mapping = (
        PURCHASES
        + """
[exposures]
files = "sent.csv"
member_id = "card"
campaign_id = "campaign"
campaign_kind = { constant = "mail" }
arm = "group"
cost = { column = "cents", unit = "cents" }
until = { column = "end", format = "%d.%m.%Y" }
occurred_at = { column = "start", format = "%d.%m.%Y" }
[redemptions]
files = "used.csv"
member_id = "card"
campaign_id = "campaign"
coupon_id = "coupon"
occurred_at = "day"
"""
    )
    files = {
        "sales.csv": SALES,
        "sent.csv": "card,campaign,group,cents,start,end\n007,1,control,12,01.05.2024,31.05.2024\n,1,a,1,01.05.2024,\n",
        "used.csv": "card,campaign,coupon,day\n007,1,c,2024-05-02\n007,1,,2024-05-02\n",
    }
    found = staged(tmp_path, mapping, files)
    sent, used = found["exposures"], found["redemptions"]

    assert [row["reason"] for row in sent] == [None, "unreadable_member_id"]
    assert {name: sent[0][name] for name in ("campaign_kind", "arm", "cost_cents", "until_day", "local_day")} == {
        "campaign_kind": "mail", "arm": "control", "cost_cents": 12, "until_day": 19874, "local_day": 19844
    }  # fmt: skip
    assert [row["reason"] for row in used] == [None, "unreadable_coupon_id"]
    assert used[0]["local_day"] == 19845


def test_of_what_is_known_now_the_last_file_wins(tmp_path: Path) -> None:
    mapping = PURCHASES + '\n[items]\nfiles = "items-*.csv"\nitem_id = "sku"\nprice = "price"\navailable = "active"\n'
    files = {
        "sales.csv": SALES,
        "items-2024-01.csv": "sku,price,active\n1,9.99,1\n2,5,1\n,3,1\n",
        "items-2024-02.csv": "sku,price,active\n1,8.88,0\n",
    }
    items = staged(tmp_path, mapping, files)["items"]

    assert {row["item_id"]: (row["price_cents"], row["available"]) for row in items if row["reason"] is None} == {
        "1": (888, False), "2": (500, True)
    }  # fmt: skip
    assert [row["reason"] for row in items if row["item_id"] is None] == ["unreadable_item_id"]


WITH_IDS = """
[purchases]
files = "sales.csv"
order_id = "ticket"
identifiers = { phone = "tel", card = "card" }
occurred_at = "at"
[members]
files = "members.csv"
member_id = "id"
registered = "since"
identifiers = { phone = "mobile" }
[events]
files = "log.csv"
event_type = { constant = "view" }
occurred_at = "at"
identifiers = { cookie = "cookie" }
[identities]
files = "logins.csv"
seen = "day"
identifiers = { cookie = "cookie", member = "user" }
"""
PEOPLE = {
    "sales.csv": "ticket,tel,card,at\nt1,+49 170 1,k1,2024-05-01\nt1,+49 170 1,k1,2024-05-01\n,,k2,2024-05-01\n,,,2024-05-01\n",
    "members.csv": "id,since,mobile\nm1,2020-01-01,+49 170 1\nm2,,\n",
    "log.csv": "cookie,at\nc1,2024-05-01\n,2024-05-01\n",
    "logins.csv": "cookie,user,day\nc1,m1,2024-05-01\nc1,m1,2024-05-01\n",
}


def test_identifiers_become_observations_and_nothing_raw_is_kept(tmp_path: Path) -> None:
    found = staged(tmp_path, WITH_IDS, PEOPLE, shouted)
    by_observation: dict[str, set[tuple[str, str]]] = {}
    for row in found["identities"]:
        by_observation.setdefault(row["observation_id"], set()).add((row["identifier_kind"], row["identifier"]))

    assert by_observation.pop("purchases:t1") == {("phone", "<phone:+49 170 1>"), ("card", "<card:K1>")}
    assert by_observation.pop("members:m1") == {("phone", "<phone:+49 170 1>"), ("member", "m1")}
    assert by_observation.pop("members:m2") == {("member", "m2")}
    assert sorted(map(sorted, by_observation.values())) == [
        [("card", "<card:K2>")], [("cookie", "<cookie:C1>")], [("cookie", "<cookie:C1>"), ("member", "m1")]
    ]  # fmt: skip
    assert {row["local_day"] for row in found["identities"]} == {19844, 18262, None}
    observed = [row["observation_id"] for row in found["purchases"]]
    assert observed[0] == observed[1] == "purchases:t1"
    assert len(set(observed)) == 3


def test_no_column_holds_what_was_an_identifier(tmp_path: Path) -> None:
    found = staged(tmp_path, WITH_IDS, PEOPLE, md5ed)

    assert "170" not in str([value for rows in found.values() for row in rows for value in row.values()])


def test_identifiers_with_their_kind_in_a_column(tmp_path: Path) -> None:
    mapping = (
        PURCHASES
        + '\n[identities]\nfiles = "ids.csv"\nidentifier_kind = "kind"\nidentifier = "value"\nobservation_id = "login"\n'
    )
    files = {"sales.csv": SALES, "ids.csv": "login,kind,value\n1,phone,x\n1,member,m1\n,phone,y\n1,phone,\n"}
    rows = staged(tmp_path, mapping, files, shouted)["identities"]

    assert [(row["identifier_kind"], row["identifier"]) for row in rows if row["observation_id"] == "1"] == [
        ("member", "m1"), ("phone", "<phone:X>")
    ]  # fmt: skip
    assert [row["identifier"] for row in rows if row["observation_id"] != "1"] == ["<phone:Y>"]


def test_identifiers_without_a_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no key") as raised:
        staged(tmp_path, WITH_IDS, PEOPLE)

    assert "RAPPORT_IDENTITY_KEY" in raised.value.remedy


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (PURCHASES + '[items]\nfiles = "sales.csv"\nitem_id = "card"\nidentifiers = { ean = "card" }\n', "has no identifiers"),
        (PURCHASES + '[identities]\nfiles = "sales.csv"\nseen = "at"\n', "does not say where the identifiers come from"),
    ],
)
def test_identifiers_stand_where_there_are_persons(tmp_path: Path, mapping: str, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        staged(tmp_path, mapping, {"sales.csv": SALES}, shouted)
