"""Names, texts and files as they stand in a query: the one place where quotes are doubled."""

from collections.abc import Iterable
from pathlib import Path


def quoted(name: str) -> str:
    """A column's or table's name."""
    return '"' + name.replace('"', '""') + '"'


def text(value: object) -> str:
    """A text, or a path."""
    return "'" + str(value).replace("'", "''") + "'"


def parquet(files: Path | str | Iterable[Path]) -> str:
    """The table that DuckDB reads from a Parquet file, from files that match a pattern, or from several files."""
    listed = text(files) if isinstance(files, Path | str) else f"[{', '.join(map(text, files))}]"
    return f"read_parquet({listed}, hive_partitioning = false)"
