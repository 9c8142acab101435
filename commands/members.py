"""The jobs of `rapport members`: erase a member, and do what erasures that were asked for over HTTP still owe."""

from __future__ import annotations

import getpass
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from typing import Any

from features.erasures import Erasures
from features.errors import Busy
from features.jobs import facts_folder, only_run, store_url
from features.member_store import MemberStore
from features.screen import Screen
from features.settings import Settings


class MemberJobs:
    """Every job around one member, on one set of settings and one screen."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.screen = Screen(as_json=as_json)
        self.erasures = Erasures(settings.data_dir)

    def erase(self, member_id: str | None) -> dict[str, Any]:
        """Ask for a member's erasure, if one is named, and do all that is owed: online, then in files."""
        if member_id is not None:
            self.erasures.request(member_id, at=self.settings.clock(), by=getpass.getuser())
        with ExitStack() as stack:
            for job in ("import", "nightly", "publish", "features"):
                stack.enter_context(only_run(self.settings, job))
            with store_url(self.settings) as url:
                online = self.sweep(url, ())
            found = self.erase_owed()
        self.screen.say(f"{online:,} members erased online. Files: {found['members']:,} members, {found['rows']:,} rows.")
        return {"online": online, **found}

    def sweep(self, url: str, published: Iterable[str]) -> int:
        """Erase online whoever is owed it, and whom a publish has brought back; returns how many.

        Parameters
        ----------
        published
            Members that were just written.
        """
        members = {erasure.member_id for erasure in self.erasures.owed()} | set(self.erasures.among(published))
        if not members:
            return 0
        store = MemberStore(url, prefix=self.settings.key_prefix)
        try:
            for member in sorted(members):
                store.erase(member)
        finally:
            store.close()
        for erasure in self.erasures.owed():
            self.erasures.done(erasure, at=self.settings.clock(), by=getpass.getuser(), online=True)
        return len(members)

    def erase_owed(self) -> dict[str, Any]:
        """Erase from files whoever is owed it, and those erased before whom an old file has brought in again."""
        if not self.erasures.all():
            return {"members": 0, "rows": 0, "score_files": 0}
        from features.erase_files import erase_from_files, members_in  # DuckDB takes a second: mostly there is nothing to do

        owed = self.erasures.owed()
        again = self.erasures.among(members_in(facts_folder(self.settings)))
        members = {*again, *(erasure.member_id for erasure in owed)}
        if not members:
            return {"members": 0, "rows": 0, "score_files": 0}
        erased = erase_from_files(self.settings.data_dir, members)
        found = {"members": len(members), "rows": sum(erased.rows.values()), "score_files": erased.score_files}
        try:
            found["evidence_rows"] = self._from_evidence(members)
        except Busy:
            self.screen.say("A training is running: its evidence is left for the next night, and the erasures stay owed.")
            return found
        for erasure in owed:
            self.erasures.done(erasure, at=self.settings.clock(), by=getpass.getuser(), files=True)
        return found

    def _from_evidence(self, members: Collection[str]) -> int:
        """Erase from what training left behind; returns rows of evidence.

        Raises
        ------
        Busy
            A training is running, which may write evidence of facts that it read before.
        """
        from training.erase_evidence import erase_from_evidence

        with only_run(self.settings, "retrain"), only_run(self.settings, "train"):
            erased = erase_from_evidence(self.settings.mlruns_dir, self.settings.data_dir / "retrain", members)
        for path in erased.unreadable:
            self.screen.say(f"{path} cannot be read, and may name them: remove it, or train that model again.")
        return erased.rows
