"""Bringing a shop's files, or Complete Journey, into facts; drafting the mapping that says what is where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.days import naive_utc
from features.errors import ConfigurationError, FactsMissing
from features.jobs import facts_folder, only_run
from features.manifest import read_manifest
from features.screen import Screen
from features.settings import Settings

if TYPE_CHECKING:  # these take seconds to import: only the jobs that use them wait
    from features.cleaning import CleaningReport, RuleCount
    from features.sources.landing import Imported
    from features.sources.mapped import MappedImport

CLOCKS_MAY_DIFFER = timedelta(days=1)


class ImportJobs:
    """The ways in: one import at a time on a data folder, and what was cleaned away is shown."""

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self.settings = settings
        self.screen = screen

    def complete_journey(self, households: int | None) -> Imported:
        """Bring Complete Journey into the facts folder."""
        from features.sources.complete_journey import import_complete_journey

        return self._run(lambda folder: import_complete_journey(folder, households=households))

    def mapped(self, mapping: Path, *, again: bool = False) -> MappedImport:
        """Bring a shop's own files into the facts folder; only new ones, unless `again`."""
        from features.sources.mapped import import_mapped

        folder = facts_folder(self.settings)
        with only_run(self.settings, "import"), self.screen.progress("reading, checking, cleaning", 1) as advance:
            before = _purchases_in(folder)
            latest = naive_utc(self.settings.clock() + CLOCKS_MAY_DIFFER)
            imported = import_mapped(folder, mapping, identity_key=self.settings.identity_key, latest=latest, again=again)
            advance()
        if imported.report is None:
            self.screen.say(f"Nothing new: every file is in {folder} already.")
        else:
            self._show_report(imported.report, imported.notes, folder)
            self._show_loss(before, imported.manifest.rows["purchases"], imported.gone)
        for skipped in imported.skipped:
            self.screen.say(f"Left out: {skipped.reason}")
        return imported

    def draft(self, files: Sequence[Path], out: Path | None) -> str:
        """A mapping proposed for some files, on the screen or into a file that is not there yet."""
        from features.sources.draft import draft

        if out is not None and out.exists():
            raise ConfigurationError(f"{out} is there already", remedy="name another --out, or move it away")
        text = draft(files, base=Path.cwd() if out is None else out.resolve().parent)
        if out is not None:
            out.write_text(text, encoding="utf-8")
            self.screen.say(f"Read {out}, change what is marked with # ?, then: rapport import --mapping {out}")
        return text

    def _run(self, run: Callable[[Path], Imported]) -> Imported:
        folder = facts_folder(self.settings)
        with only_run(self.settings, "import"), self.screen.progress("reading, checking, cleaning", 1) as advance:
            before = _purchases_in(folder)
            imported = run(folder)
            advance()
        self._show_report(imported.report, (), folder)
        self._show_loss(before, imported.manifest.rows["purchases"], ())
        return imported

    def _show_report(self, report: CleaningReport, notes: Sequence[RuleCount], folder: Path) -> None:
        self.screen.table(
            "Cleaning",
            ("rule", "action", "rows", "meaning"),
            [(count.code, count.action, count.rows, count.meaning) for count in (*report.rules, *notes)],
        )
        self.screen.say(
            f"{report.rows_in:,} rows in = {report.accepted:,} accepted + {report.quarantined:,} quarantined "
            f"+ {report.duplicates:,} duplicates. Kept in {folder}."
        )

    def _show_loss(self, before: int, now: int, gone: Sequence[str]) -> None:
        """Say it plainly when facts were replaced by much less."""
        if now * 2 < before:
            self.screen.say(f"Attention: {now:,} purchases stand in place of {before:,}. Is a file missing?")
        if gone:
            self.screen.say(f"Attention: these were in the facts before and are not among the files now: {', '.join(gone)}")


def import_figures(imported: Imported) -> dict[str, Any]:
    """One import for a program."""
    return {**asdict(imported.report), "rows": imported.manifest.rows, "facts_hash": imported.manifest.hash}


def mapped_figures(imported: MappedImport) -> dict[str, Any]:
    """One import by a mapping for a program."""
    return {
        **(asdict(imported.report) if imported.report else {}),
        "files": list(imported.files),
        "skipped": [asdict(skipped) for skipped in imported.skipped],
        "notes": [asdict(note) for note in imported.notes],
        "gone": list(imported.gone),
        "rows": imported.manifest.rows,
        "facts_hash": imported.manifest.hash,
    }


def _purchases_in(folder: Path) -> int:
    """How many purchases are in the facts that an import may replace."""
    try:
        return read_manifest(folder).rows["purchases"]
    except FactsMissing:
        return 0
