"""Who became champion, when, by whom and why: the alias moved by compare-and-swap, with its record, in MLflow's own database.

Alias and record are written in one transaction: there is never one without the other, and of two promotions at once one
wins and the other is told. The record only grows: the database itself refuses to change or delete a row of it. Nothing heavy
is imported here, so that a rollback is done within a second.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from features.errors import ChampionMoved, ModelMissing
from training.registry import CHALLENGER, CHAMPION, DATABASE, told

Action = Literal["promoted", "kept", "forced", "rolled back", "moved elsewhere"]
GATE_TAG = "gate"
WAIT_S = 10.0
_TABLE = """
CREATE TABLE IF NOT EXISTS rapport_promotions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL, model TEXT NOT NULL, action TEXT NOT NULL,
    from_version INTEGER, to_version INTEGER, version INTEGER, reason TEXT NOT NULL, evidence_sha256 TEXT NOT NULL,
    verdict TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS rapport_promotions_stay BEFORE UPDATE ON rapport_promotions
BEGIN SELECT RAISE(ABORT, 'the record of promotions is not changed'); END;
CREATE TRIGGER IF NOT EXISTS rapport_promotions_last BEFORE DELETE ON rapport_promotions
BEGIN SELECT RAISE(ABORT, 'the record of promotions is not shortened'); END;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the record.

    Attributes
    ----------
    at, who
        When, ISO 8601 with zone, and which account of the system.
    version
        The version it is about; for "kept" the one that was refused.
    before, after
        The champion's version before and after, None where there was none.
    reason
        The gate's sentence, or what a person gave.
    evidence_sha256
        Hash of the evidence that was judged; empty where none was.
    verdict
        The gate's whole verdict; empty where it was not asked.
    """

    at: str
    who: str
    model: str
    action: str
    version: str | None
    before: str | None
    after: str | None
    reason: str
    evidence_sha256: str = ""
    verdict: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signed:
    """Who acts, when, and on what grounds: what every entry of the record needs."""

    who: str
    at: datetime
    reason: str
    evidence_sha256: str = ""
    verdict: Mapping[str, Any] = field(default_factory=dict)


def move_champion(
    mlruns: Path, name: str, *, expected: str | None, to: str, signed: Signed, action: Action = "promoted"
) -> Entry:
    """Point the champion alias at another version, if it still points where the caller thinks, and record it.

    Parameters
    ----------
    expected
        The champion's version that the decision was made against; None for no champion.

    Raises
    ------
    ChampionMoved
        The alias points elsewhere by now.
    ModelMissing
        The version is not registered, or was deleted.
    RegistryUnavailable
        Another program holds the database.
    """
    with _writing(mlruns) as database:
        now = _alias(database, name, CHAMPION)
        if now != expected:
            raise ChampionMoved(
                f"{name}: the champion is {_shown(now)} by now, not {_shown(expected)}, against which this was decided",
                remedy=f'look at it ("rapport models show {name}"), and decide again',
            )
        _require_version(database, name, to)
        _notice(database, name, now, signed)
        _point(database, name, CHAMPION, to)
        if _alias(database, name, CHALLENGER) == to:
            database.execute("DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?", [name, CHALLENGER])
        _tag(database, name, to, f"{action}: {signed.reason}")
        return _write(database, Entry(_stamp(signed.at), signed.who, name, action, to, now, to, signed.reason), signed)


def keep_champion(mlruns: Path, name: str, *, refused: str, signed: Signed) -> Entry:
    """Record that the gate refused a version, and make that version the challenger.

    Raises
    ------
    ModelMissing
        The version is not registered, or was deleted.
    RegistryUnavailable
        Another program holds the database.
    """
    with _writing(mlruns) as database:
        _require_version(database, name, refused)
        now = _alias(database, name, CHAMPION)
        _notice(database, name, now, signed)
        if now != refused:
            _point(database, name, CHALLENGER, refused)
            _tag(database, name, refused, f"kept: {signed.reason}")
        return _write(database, Entry(_stamp(signed.at), signed.who, name, "kept", refused, now, now, signed.reason), signed)


def roll_back(mlruns: Path, name: str, *, signed: Signed) -> Entry:
    """Point the champion alias at the champion before this one, by the record; said again, one further back.

    An alias that was moved by other means than ours is noticed: that is recorded first, and the way back leads to the
    champion of the record.

    Raises
    ------
    ModelMissing
        There is no champion, none before it, or that one was deleted.
    RegistryUnavailable
        Another program holds the database.
    """
    with _writing(mlruns) as database:
        now = _alias(database, name, CHAMPION)
        if now is None:
            raise ModelMissing(f"{name} has no champion to roll back", remedy=f'promote one: "rapport models promote {name}@…"')
        _notice(database, name, now, signed)
        before = _previous(database, name)
        if before is None:
            raise ModelMissing(f"{name}@{now} is the first champion on record", remedy="promote another version by its name")
        _require_version(database, name, before)
        _point(database, name, CHAMPION, before)
        _tag(database, name, now, f"rolled back to {before}: {signed.reason}")
        entry = Entry(_stamp(signed.at), signed.who, name, "rolled back", before, now, before, signed.reason)
        return _write(database, entry, signed)


def entries(mlruns: Path, name: str | None = None) -> list[Entry]:
    """The record of one model or of all, oldest first; empty where nothing was decided yet."""
    path = mlruns / DATABASE
    if not path.exists():
        return []
    with told(path), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=WAIT_S)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'rapport_promotions'").fetchone():
            return []
        rows = database.execute(
            "SELECT at, who, model, action, version, from_version, to_version, reason, evidence_sha256, verdict "
            "FROM rapport_promotions WHERE ? IS NULL OR model = ? ORDER BY id",
            [name, name],
        ).fetchall()
    return [
        Entry(at, who, model, action, _text(version), _text(before), _text(after), reason, sha256, json.loads(verdict))
        for at, who, model, action, version, before, after, reason, sha256, verdict in rows
    ]


def last_verdict(mlruns: Path, name: str, version: str) -> Entry | None:
    """The newest entry about a version that holds a verdict of the gate."""
    found = [entry for entry in entries(mlruns, name) if entry.version == version and entry.verdict]
    return found[-1] if found else None


@contextmanager
def _writing(mlruns: Path) -> Iterator[sqlite3.Connection]:
    """One transaction that nobody else writes beside."""
    path = mlruns / DATABASE
    if not path.exists():
        raise ModelMissing(f"there is no registry in {mlruns}", remedy='train a model: "rapport train"')
    with told(path), closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as database:
        database.execute("PRAGMA foreign_keys = ON")
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'rapport_promotions'").fetchone():
            database.executescript(_TABLE)
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:  # whatever ends it, nothing half written stays; it is raised on
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


def _alias(database: sqlite3.Connection, name: str, alias: str) -> str | None:
    found = database.execute(
        "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", [name, alias]
    ).fetchone()
    return _text(found[0]) if found else None


def _point(database: sqlite3.Connection, name: str, alias: str, version: str) -> None:
    database.execute("DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?", [name, alias])
    database.execute(
        "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, ?, ?)", [name, alias, int(version)]
    )


def _tag(database: sqlite3.Connection, name: str, version: str, text: str) -> None:
    database.execute(
        'DELETE FROM model_version_tags WHERE name = ? AND version = ? AND "key" = ?', [name, int(version), GATE_TAG]
    )
    database.execute(
        'INSERT INTO model_version_tags (name, version, "key", value) VALUES (?, ?, ?, ?)', [name, int(version), GATE_TAG, text]
    )


def _require_version(database: sqlite3.Connection, name: str, version: str) -> None:
    found = database.execute(
        "SELECT 1 FROM model_versions WHERE name = ? AND version = ? AND current_stage != 'Deleted_Internal'",
        [name, int(version)],
    ).fetchone()
    if not found:
        raise ModelMissing(
            f"{name}@{version} is not in the registry, or was deleted there", remedy='see which there are: "rapport models"'
        )


def _notice(database: sqlite3.Connection, name: str, now: str | None, signed: Signed) -> None:
    """Record that the champion is not the one of the record, if so: somebody moved the alias by MLflow's own means."""
    last = database.execute(
        "SELECT to_version FROM rapport_promotions WHERE model = ? AND action != 'kept' ORDER BY id DESC LIMIT 1", [name]
    ).fetchone()
    if last and _text(last[0]) != now:
        reason = "found moved by other means than ours, for example on MLflow's page"
        entry = Entry(_stamp(signed.at), "unknown", name, "moved elsewhere", now, _text(last[0]), now, reason)
        _write(database, entry, Signed("unknown", signed.at, reason))


def _previous(database: sqlite3.Connection, name: str) -> str | None:
    """The champion before this one: every promotion of the record puts one on top, every rollback takes one away."""
    rows = database.execute(
        "SELECT action, from_version, to_version FROM rapport_promotions WHERE model = ? AND action != 'kept' ORDER BY id",
        [name],
    ).fetchall()
    champions = [rows[0][1]] if rows else []
    for action, _, after in rows:
        if action == "rolled back":
            del champions[-1:]
        else:
            champions.append(after)
    return _text(champions[-2]) if len(champions) > 1 else None


def _write(database: sqlite3.Connection, entry: Entry, signed: Signed) -> Entry:
    database.execute(
        "INSERT INTO rapport_promotions (at, who, model, action, version, from_version, to_version, reason, evidence_sha256, "
        "verdict) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(entry.at, entry.who, entry.model, entry.action),
            *(None if version is None else int(version) for version in (entry.version, entry.before, entry.after)),
            *(entry.reason, signed.evidence_sha256, json.dumps(dict(signed.verdict), sort_keys=True)),
        ],
    )
    return replace(entry, evidence_sha256=signed.evidence_sha256, verdict=signed.verdict)


def _stamp(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("the moment of a record needs a time zone")
    return at.isoformat(timespec="milliseconds")


def _text(version: int | None) -> str | None:
    return None if version is None else str(version)


def _shown(version: str | None) -> str:
    return "none" if version is None else f"version {version}"
