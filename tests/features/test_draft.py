"""Drafts of mappings: what is recognised in files of many tongues, what is asked, and that a draft can be imported."""

import json
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from example_shops import cdnow_file, export
from mapped_shops import staged

from features.errors import SourceError
from features.sources.draft import draft
from features.sources.mapping import read_mapping


def drafted(folder: Path, files: dict[str, str | bytes]) -> tuple[dict[str, Any], str]:
    """The draft for some files, as TOML and as text; what it proposes can be read as a mapping."""
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    text = draft([folder / name for name in files], base=folder)
    (folder / "draft.toml").write_text(text, encoding="utf-8")
    read_mapping(folder / "draft.toml")
    return tomllib.loads(text), text


def column_of(rule: str | dict[str, Any]) -> str:
    return rule if isinstance(rule, str) else rule["column"]


def test_cdnow_is_recognised(tmp_path: Path) -> None:
    found, _ = drafted(tmp_path, {"CDNOW_master.txt": cdnow_file().read_bytes()})

    assert found["purchases"] == {
        "files": "CDNOW_master.txt",
        "delimiter": "whitespace",
        "member_id": "customer_id",
        "quantity": "number_of_cds",
        "net": "dollar_value",
        "occurred_at": {"column": "date", "format": "%Y%m%d"},
    }


def test_the_tables_of_complete_journey_are_told_apart(tmp_path: Path) -> None:
    export(tmp_path, 100)
    text = draft(sorted(tmp_path.glob("*.csv")), base=tmp_path)
    found = tomllib.loads(text)

    assert {name: found[name]["files"] for name in ("purchases", "items", "members", "exposures", "redemptions")} == {
        "purchases": "transactions.csv", "items": "products.csv", "members": "demographics.csv",
        "exposures": "campaigns.csv", "redemptions": "coupon_redemptions.csv",
    }  # fmt: skip
    assert {name: column_of(rule) for name, rule in found["purchases"].items() if name != "files"} == {
        "order_id": "basket_id", "member_id": "household_id", "item_id": "product_id", "quantity": "quantity",
        "net": "sales_value",
        "discount": "retail_disc", "coupon": "coupon_disc", "store_id": "store_id", "occurred_at": "transaction_timestamp",
    }  # fmt: skip
    assert found["exposures"]["until"] == "end_date"
    assert "# not used: coupon_match_disc, week" in text


SHOPS = {
    "german": (
        "Bonnummer;Kundennummer;Artikelnummer;Menge;Umsatz;Filiale;Kaufdatum\n"
        + "".join(f"B{n};K{n % 7};A{n % 5};{1 + n % 3};{n},5{n % 10};{n % 2};{1 + n % 28:02}.03.2024\n" for n in range(60))
    ),
    "french": (
        "Numéro ticket\tNuméro client\tCode article\tQuantité\tMontant\tMagasin\tDate achat\n"
        + "".join(
            f"B{n}\tK{n % 7}\tA{n % 5}\t{1 + n % 3}\t{n},5{n % 10}\t{n % 2}\t{1 + n % 28:02}/03/2024\n" for n in range(60)
        )
    ),
    "spanish": (
        "numero_pedido,id_cliente,codigo_producto,cantidad,importe,tienda,fecha_compra\n"
        + "".join(f"B{n},K{n % 7},A{n % 5},{1 + n % 3},{n}.5{n % 10},{n % 2},2024-03-{1 + n % 28:02}\n" for n in range(60))
    ),
    "chinese": (
        "订单号,会员号,商品编号,数量,实付金额,门店,下单时间\n"
        + "".join(
            f"B{n},K{n % 7},A{n % 5},{1 + n % 3},{n}.5{n % 10},总店,2024-03-{1 + n % 28:02} 10:00:00\n" for n in range(60)
        )
    ),
    "camel case": (
        "OrderId,CustomerId,ProductCode,Qty,LineTotal,StoreId,OrderDate\n"
        + "".join(
            f"B{n},K{n % 7},A{n % 5},{1 + n % 3},{n}.5{n % 10},{n % 2},2024-03-{1 + n % 28:02}T10:00:00Z\n" for n in range(60)
        )
    ),
}


@pytest.mark.parametrize("tongue", SHOPS)
def test_purchases_are_recognised_and_the_draft_reads_them(tmp_path: Path, tongue: str) -> None:
    encoding = {"german": "cp1252", "french": "cp1252", "chinese": "gbk"}.get(tongue, "utf-8")
    content = SHOPS[tongue].encode(encoding)
    found, text = drafted(tmp_path, {"sales.csv": content})
    names = [name.strip() for name in SHOPS[tongue].splitlines()[0].replace(";", ",").replace("\t", ",").split(",")]
    fields = ("order_id", "member_id", "item_id", "quantity", "net", "store_id", "occurred_at")

    assert [column_of(found["purchases"][field]) for field in fields] == names
    rows = staged(tmp_path, text, {"sales.csv": content})["purchases"]
    assert {row["reason"] for row in rows} == {None}
    assert [row["net_cents"] for row in sorted(rows, key=lambda row: row["net_cents"])] == [
        100 * n + 50 + n % 10 for n in range(60)
    ]
    assert len({row["local_day"] for row in rows}) == 28


def test_days_that_may_be_months_are_asked_about(tmp_path: Path) -> None:
    lines = "".join(f"c,{n}.50,0{1 + n % 9}/0{1 + n % 7}/2024\n" for n in range(30))
    _, text = drafted(tmp_path, {"sales.csv": "customer,total,date\n" + lines})

    assert 'occurred_at = { column = "date", format = "%d/%m/%Y" }  # ? or %m/%d/%Y?' in text


def test_a_price_and_a_time_of_day_are_put_to_use(tmp_path: Path) -> None:
    lines = "".join(f"c{n},2,{n}.99,{1 + n % 28:02}.03.2024,10:{n:02}\n" for n in range(30))
    found, text = drafted(tmp_path, {"sales.csv": "customer,qty,unit price,date,time\n" + lines})

    assert found["purchases"]["net"] == {"expression": 'qty * "unit price"'}
    assert found["purchases"]["occurred_at"] == {"expression": "date || ' ' || time", "format": "%d.%m.%Y %H:%M"}
    rows = staged(tmp_path, text, {})["purchases"]
    assert sorted(row["net_cents"] for row in rows) == [2 * (100 * n + 99) for n in range(30)]


def test_files_without_names_are_known_by_their_values(tmp_path: Path) -> None:
    lines = "".join(f"K{n},{n}.99,2024-03-{1 + n % 28:02}\n" for n in range(30))
    found, text = drafted(tmp_path, {"sales.csv": lines + "".join(f"K{n},1.50,2024-04-01\n" for n in range(5))})

    assert found["purchases"]["columns"] == ["column_1", "column_2", "column_3"]
    assert (found["purchases"]["net"], found["purchases"]["occurred_at"]) == ("column_2", "column_3")
    assert "# ? name them" in text
    assert 'net = "column_2"  # ? is column_2 this?' in text


def test_events_in_json_lines_members_in_parquet_and_personal_data_left_alone(tmp_path: Path) -> None:
    table = {
        "customer_id": ["1", "2"],
        "birthday": [date(1990, 5, 1), None],
        "newsletter": ["opted in", "never"],
        "E-Mail": ["a@b", "c@d"],
    }
    pyarrow.parquet.write_table(pa.table(table), tmp_path / "people.parquet")
    log = [
        {"user_id": n % 3, "event": ("page_view", "Warenkorb", "dance")[n % 3], "event_time": 1714557600 + n} for n in range(20)
    ]
    files: dict[str, str | bytes] = {
        "sales.csv": "order id,customer id,total,order date\n1,1,9.50,2024-05-01\n2,1,9.50,2024-05-02\n",
        "people.parquet": (tmp_path / "people.parquet").read_bytes(),
        "log.jsonl": "\n".join(map(json.dumps, log)),
    }
    found, text = drafted(tmp_path, files)

    assert found["events"] == {
        "files": "log.jsonl",
        "member_id": "user_id",
        "event_type": {"column": "event", "values": {"Warenkorb": "cart", "dance": "other", "page_view": "view"}},
        "occurred_at": {"column": "event_time", "format": "unix"},
    }
    assert column_of(found["members"]["birth_month"]) == "birthday"
    assert found["members"]["marketing_consent"]["values"] == {"never": "false", "opted in": "true"}
    assert "# ? which one is yes?" in text
    assert "# left out, as personal data: E-Mail" in text


def test_several_files_of_one_kind_are_one_table(tmp_path: Path) -> None:
    lines = "order id,customer id,total,order date\n1,1,9.50,2024-05-01\n"
    found, _ = drafted(tmp_path, {"may.csv": lines, "june.csv": lines})

    assert found["purchases"]["files"] == ["may.csv", "june.csv"]


@pytest.mark.parametrize(
    ("content", "told"),
    [("", "is empty"), ("a,b\n1,2\n", "none of these files looks like purchases"), (b"PAR1", "none|cannot be read")],
)
def test_what_is_no_shop_is_told(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        drafted(tmp_path, {"x.csv": content})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file .*sales\.csv"):
        draft([tmp_path / "sales.csv"], base=tmp_path)


def test_typed_moments_need_no_format(tmp_path: Path) -> None:
    table = pa.table({"ts": [datetime(2024, 5, 1, 10)] * 3, "amount": [1.0, 2.5, 3.25], "user": [1, 2, 3]})  # noqa: DTZ001
    pyarrow.parquet.write_table(table, tmp_path / "sales.parquet")
    found = tomllib.loads(draft([tmp_path / "sales.parquet"], base=tmp_path))

    assert found["purchases"] == {"files": "sales.parquet", "member_id": "user", "net": "amount", "occurred_at": "ts"}
