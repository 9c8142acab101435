"""A synthetic retailer whose truth is known, of any size, from a seed: for tests, benchmarks and trying things out.

Everything is labelled as simulated: the name of the source, each Parquet file's metadata, and a README.txt beside them.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from features.errors import ConfigurationError
from features.sources.simulation.mapping_text import mapping_text, readme_text
from features.sources.simulation.people import BLOCK, MOST_BLOCKS, active_weight, blocks_of, draw_assignments, draw_people
from features.sources.simulation.tables import TRUTH, Tables, block_tables, draw_block, shared_tables
from features.sources.simulation.world import CURRENCY, START, TIME_ZONE, Settings, World, draw_world

SOURCE = "simulated-grocer"
LABEL = {"rapport.simulated": "true"}
MARKER, MAPPING, README = "simulated.json", "shop.toml", "README.txt"
TRUTH_FOLDER = "truth"
PART = "part-{:05d}.parquet"
ROWS_PER_PART = 1_000_000
PILOT_BLOCKS = 5
MOST_MEMBERS, MOST_DAYS = BLOCK * MOST_BLOCKS, 3650
DATES = {
    "members": ("registered_day", "registered_on"),
    "exposures": ("until_day", "until_on"),
    "identities": ("local_day", "observed_on"),
}
"""Days counted from 1970-01-01, and the column that the files carry beside them as dates, which a mapping can read."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation left behind: its folder, the mapping to import it by, and rows by table, the true ones included."""

    folder: Path
    mapping: Path
    members: int
    days: int
    seed: int
    rows: dict[str, int]


def simulate(
    out: Path,
    *,
    members: int,
    days: int = 365,
    seed: int = 1,
    lines_per_order: float = 9.0,
    events_per_line: float = 0.3,
    rows_per_part: int = ROWS_PER_PART,
    force: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Simulated:
    """Simulate a retailer into a folder: `<table>/part-*.parquet`, `truth/<table>/part-*.parquet`, `shop.toml`, `README.txt`.

    The same arguments give the same bytes, and the same rows for any `rows_per_part`. Memory does not grow with `members`.

    Parameters
    ----------
    out
        New or empty; `force` takes away what an earlier simulation left there, and nothing else.
    members, days
        Registered members, and days from 2024-01-01 on.
    lines_per_order, events_per_line
        Means; 0 events per line leaves events out.
    rows_per_part
        About how many purchase lines a Parquet part holds.
    progress
        Called with the number of members done since the last call.

    Raises
    ------
    ConfigurationError
        A number is out of range, or the folder holds something and may not be emptied.
    """
    settings = _checked(members, Settings(days, seed, lines_per_order, events_per_line))
    _prepare(out, force=force)
    world = draw_world(settings)
    blocks_per_part = max(1, round(rows_per_part / (lines_per_member(world) * BLOCK)))
    draft = Simulated(out, out / MAPPING, members, days, seed, {})
    _mark(draft, settings, complete=False)
    rows = {name: _write(out, name, 0, table) for name, table in shared_tables(world).items()}
    with ThreadPoolExecutor(max_workers=1) as writer:
        writing: Future[dict[str, int]] | None = None
        for part, tables in enumerate(_parts(world, members, blocks_per_part)):
            if writing is not None:
                _add(rows, writing.result())
            writing = writer.submit(_write_all, out, part, tables)
            if progress is not None:
                progress(tables["members"].num_rows)
        _add(rows, writing.result() if writing else {})
    simulated = Simulated(out, out / MAPPING, members, days, seed, rows)
    (out / MAPPING).write_text(mapping_text(SOURCE, TIME_ZONE, CURRENCY), encoding="utf-8")
    (out / README).write_text(readme_text(asdict(settings) | {"members": members, "start": START.isoformat()}, rows))
    _mark(simulated, settings, complete=True)
    return simulated


def simulated_tables(
    members: int, days: int, seed: int, *, lines_per_order: float = 9.0, events_per_line: float = 0.3
) -> Tables:
    """A small simulation in memory: canonical tables by name, and the true ones under names that begin with `truth_`.

    The rows are those that `simulate` writes, and `features.facts.Facts.in_memory` takes them as they are; identifiers in
    `identities` are plain text here, where an import keeps keyed hashes.
    """
    settings = _checked(members, Settings(days, seed, lines_per_order, events_per_line))
    world = draw_world(settings)
    (tables,) = _parts(world, members, blocks_of(members))
    return {**shared_tables(world), **tables}


def members_for(rows: int, *, days: int, seed: int, lines_per_order: float = 9.0) -> int:
    """How many members buy about that many lines."""
    world = draw_world(_checked(1, Settings(days, seed, lines_per_order)))
    return min(MOST_MEMBERS, max(1, round(rows / lines_per_member(world))))


def lines_per_member(world: World) -> float:
    """Expected order lines for each member, those of walk-ins included, judged by the first blocks of people."""
    total = 0.0
    for block in range(PILOT_BLOCKS):
        people = draw_people(world, block, PILOT_BLOCKS * BLOCK)
        assigned = draw_assignments(world, people, block)
        total += float((people.rate * active_weight(world, people) * people.basket).sum())
        total += float((assigned.extra_orders * people.basket[assigned.person])[assigned.treated].sum())
        total += float(people.basket[people.is_member & (people.registered >= 0)].sum())
    return total / (PILOT_BLOCKS * BLOCK)


def _checked(members: int, settings: Settings) -> Settings:
    ranges = (
        ("members", members, 1, MOST_MEMBERS),
        ("days", settings.days, 1, MOST_DAYS),
        ("seed", settings.seed, 0, 2**63 - 1),
        ("lines per order", settings.lines_per_order, 1, 100),
        ("events per line", settings.events_per_line, 0, 5),
    )
    for name, value, least, most in ranges:
        if not least <= value <= most:
            raise ConfigurationError(f"{name}: {value} cannot be simulated", remedy=f"choose from {least} to {most}")
    return settings


def _parts(world: World, members: int, blocks_per_part: int) -> Iterator[Tables]:
    """Tables of so many blocks at a time."""
    blocks = blocks_of(members)
    for first in range(0, blocks, blocks_per_part):
        drawn = [block_tables(draw_block(world, b, members)) for b in range(first, min(first + blocks_per_part, blocks))]
        yield {name: pa.concat_tables(tables[name] for tables in drawn) for name in drawn[0]}


def _write_all(out: Path, part: int, tables: Tables) -> dict[str, int]:
    return {name: _write(out, name, part, table) for name, table in tables.items()}


def _write(out: Path, name: str, part: int, table: pa.Table) -> int:
    """Write a part; returns its rows."""
    true = name.startswith(TRUTH)
    folder = out / TRUTH_FOLDER / name.removeprefix(TRUTH) if true else out / name
    folder.mkdir(parents=True, exist_ok=True)
    if name in DATES:
        day, as_date = DATES[name]
        table = table.append_column(as_date, table[day].cast(pa.date32()))
    labelled = table.replace_schema_metadata({**LABEL, "rapport.truth": str(true).lower(), "rapport.source": SOURCE})
    pyarrow.parquet.write_table(labelled, folder / PART.format(part), compression="zstd", row_group_size=ROWS_PER_PART)
    return int(table.num_rows)


def _add(rows: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        rows[name] = rows.get(name, 0) + count


def _mark(simulated: Simulated, settings: Settings, *, complete: bool) -> None:
    content = {"simulated": True, "source": SOURCE, "complete": complete, "members": simulated.members}
    content |= {**asdict(settings), "start": START.isoformat(), "rows": simulated.rows}
    (simulated.folder / MARKER).write_text(json.dumps(content, indent=2) + "\n")


def _prepare(out: Path, *, force: bool) -> None:
    """An empty folder, or one from which an earlier simulation's own files were taken away."""
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is no folder", remedy="name a new or empty one")
    out.mkdir(parents=True, exist_ok=True)
    if not any(out.iterdir()):
        return
    marker = out / MARKER
    if not marker.exists():
        raise ConfigurationError(f"{out} holds something that no simulation wrote", remedy="name a new or empty folder")
    if not force:
        raise ConfigurationError(f"{out} holds an earlier simulation", remedy="take it away with --force, or name another")
    for part in [*out.glob("*/part-*.parquet"), *out.glob(f"{TRUTH_FOLDER}/*/part-*.parquet")]:
        part.unlink()
    for name in (MAPPING, README, MARKER):
        (out / name).unlink(missing_ok=True)
    folders = (folder for folder in out.rglob("*") if folder.is_dir() and not folder.is_symlink())
    for folder in sorted(folders, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
