"""What is in a facts folder, as its manifest says, and how members are spread over its buckets. Loads no engine."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import FactsMissing, FactsReplaced
from features.put_in_place import recovered
from features.sources.schema import EVENTS, EXPOSURES, ORDERS, PURCHASES, REDEMPTIONS

MANIFEST = "manifest.json"
FORMAT = 3
BUCKETED = (PURCHASES, ORDERS, EVENTS, EXPOSURES, REDEMPTIONS)
"""Tables about members that grow with time; the others are small enough to be whole."""
ANONYMOUS = -1
HASH_PROBE = "rapport"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a facts folder.

    Attributes
    ----------
    rows, sha256
        Rows by table; hash of every Parquet file of a table, by its path in the folder. `hash` stands for all of them.
    buckets, hash_probe
        How many buckets members are spread over, and what the hash function made of a known text: another version of the
        database that hashes otherwise must not add to these buckets.
    since
        First moment of each capability, microseconds since 1970; those that the facts never show are absent.
    files, mapping_hash, line_key
        Source files that were imported (content hash to name), under which mapping, and what tells order lines apart.
    country, holidays
        ISO code of the country whose holidays count, empty if unknown; and the shop's own days, in ISO 8601.
    """

    source: str
    time_zone: str
    currency: str
    first_day: int
    until_day: int
    rows: dict[str, int]
    sha256: dict[str, str]
    hash: str
    buckets: int = 1
    hash_probe: str = ""
    since: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    mapping_hash: str = ""
    line_key: str = "number"
    country: str = ""
    holidays: tuple[str, ...] = ()
    sequence: int = 1
    format: int = FORMAT

    def files_of(self, table: str, bucket: int | None = None) -> list[str]:
        """Paths in the folder of a bucketed table's files: of one bucket, or of all."""
        start = f"{table}/" if bucket is None else f"{table}/{bucket_name(bucket)}-"
        return sorted(path for path in self.sha256 if path.startswith(start))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a facts folder; FactsMissing if there is none that this version reads."""
    path = recovered(folder) / MANIFEST
    if not path.exists():
        raise FactsMissing(f"there are no facts in {folder}", remedy='import some: "rapport import complete-journey"')
    content = json.loads(path.read_text())
    if content.get("format") != FORMAT:
        raise FactsMissing(f"the facts in {folder} were written by another version", remedy="import them again")
    return Manifest(**{**content, "holidays": tuple(content.get("holidays", ()))})


def require_same(folder: Path, manifest: Manifest) -> None:
    """Raise FactsReplaced if the folder now holds other facts than those that the manifest is of."""
    if read_manifest(folder).hash != manifest.hash:
        raise FactsReplaced("the facts were replaced while they were being read", remedy="run the command again")


def bucket_name(bucket: int) -> str:
    """A bucket in a file's name."""
    return "anonymous" if bucket == ANONYMOUS else f"{bucket:02d}"


def bucket_sql(buckets: int) -> str:
    """The bucket of a row by its member id."""
    known = "0" if buckets == 1 else f"CAST(hash(member_id) % {buckets} AS INTEGER)"
    return f"CASE WHEN member_id IS NULL THEN {ANONYMOUS} ELSE {known} END"


def hash_probe(con: Any) -> str:
    """What this database's hash makes of a known text."""
    return str(con.execute("SELECT hash(?)", [HASH_PROBE]).fetchall()[0][0])
