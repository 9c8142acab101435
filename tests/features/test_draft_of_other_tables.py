"""Drafts for tables that are no till's: grocery without orders, wholesale with returns, a log of behaviour, ratings."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from example_shops import PAGE
from mapped_shops import staged

from features.errors import SourceError
from features.sources.draft import draft

GROCERY = (
    '"TRANSACTION_DT","CUSTOMER_ID","AGE_GROUP","PIN_CODE","PRODUCT_SUBCLASS","PRODUCT_ID","AMOUNT","ASSET","SALES_PRICE"\n'
    + (
        "".join(
            f'"{11 + n // 40}/{1 + n % 28}/2000","{n % 7:08d}","{"ABC"[n % 3]} ","115   ","10{n % 4}401","47100{n % 9:08d}",'
            f'"{1 + n % 2}","{8 * (1 + n % 5)}","{10 * (1 + n % 5)}"\n'
            for n in range(80)
        )
    )
)
WHOLESALE = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n" + "".join(
    f"{'C' if n % 9 == 8 else ''}{536365 + n // 2},{85123 + n % 5}{'A' if n % 2 else ''},MUG \xa35,{-6 if n % 9 == 8 else 6},"
    f"{1 + n % 28:02}/12/2010 08:{10 + n % 40},2.55,{'' if n % 5 == 0 else f'{17850 + n % 6}.0'},United Kingdom\n"
    for n in range(60)
)
LOG = "timestamp,visitorid,event,itemid,transactionid\n" + "".join(
    f"{1430622000000 + 1000 * n},{n % 5},{('view', 'addtocart', 'transaction')[n % 3]},{n % 4},{n if n % 3 == 2 else ''}\n"
    for n in range(60)
)
RATINGS = "userId,movieId,rating,timestamp\n" + "".join(f"{n % 9},{n % 7},{n % 5}.5,{959621843 + n}\n" for n in range(60))


FILMS = "".join(f"{n}::Film Café {n}, The (1995)::Drama|Comedy\n" for n in range(7))
FILES: dict[str, dict[str, str | bytes]] = {
    "web-shop": {"events.csv": LOG},
    "gifts": {"retail.csv": (WHOLESALE + "536399,POST,POSTAGE,1,03/12/2010 08:26,18,17850.0,France\n").encode("cp1252")},
    "grocer": {"sales.csv": GROCERY},
    "films": {
        "ratings.dat": RATINGS.split("\n", 1)[1].replace(".5", "").replace(",", "::"),
        "movies.dat": FILMS.encode("cp1252"),
    },
}


def drafted(folder: Path, name: str, content: str | bytes) -> tuple[dict[str, Any], str]:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    text = draft([folder / name], base=folder)
    return tomllib.loads(text), text


def test_a_grocer_whose_amounts_are_pieces_and_whose_lines_have_no_order(tmp_path: Path) -> None:
    found, text = drafted(tmp_path, "sales.csv", GROCERY)

    assert found["purchases"] == {
        "files": "sales.csv",
        "member_id": "CUSTOMER_ID",
        "item_id": "PRODUCT_ID",
        "quantity": "AMOUNT",
        "net": "SALES_PRICE",
        "occurred_at": {"column": "TRANSACTION_DT", "format": "%m/%d/%Y"},
    }
    assert (found["items"]["subcategory"], "category" in found["items"]) == ("PRODUCT_SUBCLASS", False)
    assert (found["members"]["age_band"], found["members"]["region"]) == ("AGE_GROUP", "PIN_CODE")
    assert 'quantity = "AMOUNT"  # ? is AMOUNT this?' in text
    rows = staged(tmp_path, text, {"sales.csv": GROCERY})
    assert {row["reason"] for row in rows["purchases"]} == {None}
    assert {row["member_id"] for row in rows["members"]} == {f"{n:08d}" for n in range(7)}


def test_a_wholesaler_whose_customers_were_saved_as_numbers(tmp_path: Path) -> None:
    content = WHOLESALE.encode("latin-1")
    found, text = drafted(tmp_path, "retail.csv", content)

    assert found["purchases"]["member_id"] == {"column": "Customer ID", "format": "whole"}
    assert found["purchases"]["net"] == {"expression": "Quantity * Price"}
    assert found["members"]["region"] == "Country"
    rows = staged(tmp_path, text, {"retail.csv": content})["purchases"]
    assert {row["member_id"] for row in rows} == {None, *(str(17850 + n) for n in range(6))}
    assert {row["kind"] for row in rows if row["net_cents"] < 0} == {"return"}


def test_a_log_with_purchases_is_drafted_as_two_tables(tmp_path: Path) -> None:
    found, text = drafted(tmp_path, "events.csv", LOG)

    assert found["purchases"]["only"] == found["events"]["without"] == {"event": ["transaction"]}
    assert (found["purchases"]["order_id"], found["purchases"]["member_id"]) == ("transactionid", "visitorid")
    assert found["events"]["event_type"] == {"column": "event", "values": {"addtocart": "cart"}}
    rows = staged(tmp_path, text, {"events.csv": LOG})
    assert (len(rows["purchases"]), len(rows["events"])) == (20, 40)


def test_a_log_without_purchases_is_no_shop_and_says_what_stands_in_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="none of these files looks like purchases") as raised:
        drafted(tmp_path, "events.csv", LOG.replace("transaction,", "share,"))

    assert "events.csv has timestamp, visitorid, event, itemid" in str(raised.value.remedy)


def test_ratings_are_purchases_without_amounts(tmp_path: Path) -> None:
    found, _ = drafted(tmp_path, "ratings.csv", RATINGS)

    assert found["purchases"] == {
        "files": "ratings.csv",
        "member_id": "userId",
        "item_id": "movieId",
        "occurred_at": {"column": "timestamp", "format": "unix"},
    }


def test_columns_without_names_are_to_be_named(tmp_path: Path) -> None:
    lines = RATINGS.split("\n", 1)[1].replace(".5", "").replace(",", "::")
    with pytest.raises(SourceError) as raised:
        drafted(tmp_path, "ratings.dat", lines)

    told = "ratings.dat has 4 columns without names, column_4 like a moment: name them with columns = [...]"
    assert told in str(raised.value.remedy)


@pytest.mark.parametrize(("found", "kept"), [("17850.0", "17850"), ("0042.00", "0042"), ("1.5", "1.5"), ("A1.0", "A1.0")])
def test_whole_takes_the_point_off_identifiers_only(tmp_path: Path, found: str, kept: str) -> None:
    mapping = '[purchases]\nfiles = "s.csv"\nmember_id = { column = "who", format = "whole" }\noccurred_at = "at"\n'
    mapping += 'identifiers = { card = { column = "who", format = "whole" } }\n'
    rows = staged(tmp_path, mapping, {"s.csv": f"who,at\n{found},2024-05-01\n"}, hashed=lambda kind, values: list(values))

    assert rows["purchases"][0]["member_id"] == kept
    assert kept in {row["identifier"] for row in rows["identities"]}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("web-shop", {"purchases": 20, "events": 40}),
        ("gifts", {"purchases": 60, "members": 6}),
        ("grocer", {"purchases": 80, "items": 9, "members": 7}),
        ("films", {"purchases": 12, "items": 7}),
    ],
)
def test_the_examples_of_the_page_read_such_tables(tmp_path: Path, source: str, expected: dict[str, int]) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (mapping,) = (block for block in blocks if f'source = "{source}"' in block)
    rows = staged(tmp_path, mapping, FILES[source])

    assert {name: len(rows[name]) for name in expected} == expected
    assert {row["reason"] for name in expected for row in rows[name]} == {None}
