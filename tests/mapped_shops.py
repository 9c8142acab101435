"""A shop's files and mapping in a folder, read as far as the canonical tables: without cleaning and facts, so in a moment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from features.sources.mapping import read_mapping
from features.sources.staging import Hashed, Staging

HEAD = 'source = "shop"\ntime_zone = "Europe/Paris"\ncurrency = "EUR"\n'
PURCHASES = '\n[purchases]\nfiles = "sales.csv"\nmember_id = "card"\nnet = "total"\noccurred_at = "at"\n'
Rows = list[dict[str, Any]]


def written(folder: Path, mapping: str, files: Mapping[str, str | bytes]) -> Path:
    """The mapping's file, with its shop's files beside it."""
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    path = folder / "shop.toml"
    path.write_text(mapping if "time_zone" in mapping else HEAD + mapping, encoding="utf-8")
    return path


def staged(folder: Path, mapping: str, files: Mapping[str, str | bytes], hashed: Hashed | None = None) -> dict[str, Rows]:
    """Every canonical table in the order of its files, with `reason` and what else is kept for landing."""
    shop = read_mapping(written(folder, mapping, files))
    with duckdb.connect() as duck:
        staging = Staging(duck, shop, folder, hashed)
        hashes = staging.hashes()
        good = staging.check({name: list(paths) for name, paths in hashes.items()})
        for name, paths in good.items():
            staging.stage(name, paths, hashes[name])
        order = {"identities": "ALL"}
        tables = {
            name: duck.sql(f"SELECT * FROM read_{name} ORDER BY {order.get(name, 'file, row')}").to_arrow_table().to_pylist()
            for name in staging.finish()
        }
        tables["skipped"] = [{"file": skipped.file, "reason": skipped.reason} for skipped in staging.skipped]
        tables["gaps"] = [{"code": gap.code, "rows": gap.rows} for name in staging.shapes for gap in staging.gaps(name)]
    return tables


def one_sale(folder: Path, fields: str, header: str, line: str, options: str = "") -> dict[str, Any]:
    """One purchase out of a file of one line, by a mapping of these fields."""
    mapping = f'[purchases]\nfiles = "sales.csv"\ndelimiter = ";"\n{options}\n{fields}\n'
    if "occurred_at" not in fields:
        mapping, header, line = mapping + 'occurred_at = "at"\n', f"{header};at", f"{line};2024-05-01 10:00"
    return staged(folder, mapping, {"sales.csv": f"{header}\n{line}\n"})["purchases"][0]
