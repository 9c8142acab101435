"""Requests to erase a member, kept on disk: what is owed to whom, what was done when, and a receipt for it.

    data/erasures/key               secret of this folder, by which an erased id is known again without being kept
    data/erasures/<receipt>.json    one request; holds the id until the files are done, then only its keyed hash
    data/erasures/audit.jsonl       one line a deed: when, which receipt, by whom; no id of a person

The receipt is made from the keyed hash of the id: asked twice, a member has one receipt. A request stays for good, so that
a member whom an old file brings in again is erased again.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from features.errors import CorruptRecord
from features.private_files import private_folder, write_private

KEY_BYTES = 32
RECEIPT_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Erasure:
    """One request.

    Attributes
    ----------
    member_hash
        HMAC-SHA256 of the id by the folder's key.
    member_id
        The id itself, until the files are done; empty afterwards.
    online_at, files_at
        Moments at which the online store and the files were last rid of the member; empty while that is owed.
    """

    receipt: str
    member_hash: str
    requested_at: str
    member_id: str = ""
    online_at: str = ""
    files_at: str = ""


@dataclass(frozen=True, slots=True)
class Receipts:
    """Receipts by the keyed hash of the member's id."""

    key: bytes = field(repr=False, default=b"")
    by_hash: Mapping[str, str] = field(repr=False, default_factory=dict)

    def of(self, member_id: str) -> str | None:
        """The receipt of a member's erasure; None if nobody asked for it."""
        return self.by_hash.get(_hash(self.key, member_id)) if self.by_hash else None


class Erasures:
    """The requests of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "erasures"

    def request(self, member_id: str, *, at: datetime, by: str) -> Erasure:
        """The request for a member, written to disk before this returns; the one that stands if there is one already."""
        key = self._key()
        member_hash = _hash(key, member_id)
        erasure = Erasure(member_hash[:RECEIPT_DIGITS], member_hash, at.isoformat(), member_id)
        standing = self._read(self._path(erasure.receipt))
        if standing is not None and (standing.member_id or not standing.files_at):
            return standing
        if standing is not None:  # erased before and there again, or so somebody thinks: look once more
            erasure = replace(erasure, requested_at=standing.requested_at)
        self._write(erasure)
        self.record("requested", erasure, at=at, by=by)
        return erasure

    def done(self, erasure: Erasure, *, at: datetime, by: str, online: bool = False, files: bool = False) -> Erasure:
        """Note what has been erased. Once the files are done the id itself is forgotten."""
        now = at.isoformat()
        changed = replace(
            erasure,
            online_at=now if online else erasure.online_at,
            files_at=now if files else erasure.files_at,
            member_id="" if files else erasure.member_id,
        )
        self._write(changed)
        for draft in self._folder.glob(f".{erasure.receipt}.*") if files else ():  # of a run that was killed: it holds the id
            draft.unlink(missing_ok=True)
        for what in [name for name, is_done in (("erased online", online), ("erased from files", files)) if is_done]:
            self.record(what, changed, at=at, by=by)
        return changed

    def all(self) -> list[Erasure]:
        """Every request, by receipt."""
        found = (self._read(path) for path in sorted(self._folder.glob("*.json")))
        return [erasure for erasure in found if erasure is not None]

    def owed(self) -> list[Erasure]:
        """Requests whose member may still be in files."""
        return [erasure for erasure in self.all() if erasure.member_id]

    def among(self, member_ids: Iterable[str]) -> list[str]:
        """Those of the ids whose erasure was ever asked for. A million take about two seconds."""
        known = {erasure.member_hash for erasure in self.all()}
        if not known:
            return []
        key = self._key()
        return [member for member in member_ids if _hash(key, member) in known]

    def receipts(self) -> Receipts:
        """Whose erasure was ever asked for, as it now stands on disk, for many questions."""
        known = {erasure.member_hash: erasure.receipt for erasure in self.all()}
        return Receipts(self._key() if known else b"", known)

    def changed_at(self) -> int:
        """A number that is another one once a request has come or moved on."""
        try:
            return self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def record(self, deed: str, erasure: Erasure, *, at: datetime, by: str) -> None:
        """Add a line to the record of deeds."""
        line = json.dumps({"at": at.isoformat(), "deed": deed, "receipt": erasure.receipt, "by": by})
        with os.fdopen(os.open(self._folder / "audit.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as audit:
            audit.write(line + "\n")

    def _path(self, receipt: str) -> Path:
        return self._folder / f"{receipt}.json"

    def _key(self) -> bytes:
        """The folder's secret, made by whoever comes first."""
        path = private_folder(self._folder) / "key"
        if not path.exists():
            draft = self._folder / f"key.{secrets.token_hex(8)}"
            write_private(draft, secrets.token_bytes(KEY_BYTES))
            with suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        return path.read_bytes()

    def _write(self, erasure: Erasure) -> None:
        write_private(self._path(erasure.receipt), json.dumps(asdict(erasure)).encode())

    @staticmethod
    def _read(path: Path) -> Erasure | None:
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
            return Erasure(**content)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise CorruptRecord(f"the erasure {path.name} cannot be read", remedy="restore it from a copy") from error


def _hash(key: bytes, member_id: str) -> str:
    return hmac.new(key, member_id.encode(), hashlib.sha256).hexdigest()
