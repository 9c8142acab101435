"""The simulated shops that benchmarks run on, made once for each size and kept below data/bench. No benchmark itself."""

from pathlib import Path

from features.facts import Facts, connect
from features.facts_folder import Origin
from features.sources.landing import Incoming, land
from features.sources.schema import EVENTS, EXPOSURES, ITEMS, MEMBERS, PURCHASES, REDEMPTIONS
from features.sources.simulator import members_for, simulate

PLACE = Path("data/bench")
DAYS = 365
TABLES = (PURCHASES, EVENTS, ITEMS, MEMBERS, EXPOSURES, REDEMPTIONS)


def facts_folder(rows: int, *, days: int = DAYS, seed: int = 1) -> Path:
    """Facts of a shop with about so many order lines; simulated and imported if they are not there yet."""
    folder = PLACE / f"{rows}-{days}" / "facts"
    if not folder.exists():
        raw = PLACE / f"{rows}-{days}" / "raw"
        if not raw.exists():
            simulate(raw, members=members_for(rows, days=days, seed=seed), days=days, seed=seed)
        source = connect(memory_mb=2048, scratch=raw.parent / "scratch")
        tables = {table.name: source.read_parquet(f"{raw / table.name}/*.parquet", table_name=table.name) for table in TABLES}
        land(folder, Incoming(tables, Origin("simulated", "Europe/Berlin", "EUR", files={})))
    return folder


def open_shop(rows: int, *, days: int = DAYS) -> Facts:
    """The facts of such a shop."""
    return Facts.open(facts_folder(rows, days=days))
