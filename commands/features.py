"""The jobs about features behind the front door: build to a file, nightly refresh, snapshots; each in bounded memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from features.build import FeatureRows, build_by_bucket
from features.contract import CONTRACT
from features.days import calendar_day
from features.errors import ConfigurationError
from features.facts import Facts
from features.jobs import Calendar, as_of_moment, only_run, open_facts, state_folder
from features.refresh import Refreshed, refresh, snapshots
from features.screen import Screen
from features.settings import Settings


@dataclass(frozen=True, slots=True)
class FeatureJobs:
    """Every job about features, on one set of settings and one screen."""

    settings: Settings
    screen: Screen

    def refresh(self, as_of: str) -> dict[str, Any]:
        """Bring the kept aggregates of everyone to a midnight."""
        facts = open_facts(self.settings)
        with only_run(self.settings, "features"):
            outcome = self.refreshed(facts, as_of_moment(as_of, facts))
        return {
            "members": outcome.members,
            "touched": outcome.touched,
            "built_anew": outcome.reason or None,
            "as_of": outcome.state.manifest.as_of,
            "contract_hash": CONTRACT.hash,
        }

    def refreshed(self, facts: Facts, moment: datetime) -> Refreshed:
        """The same on facts that are open, and said on the screen.

        Raises
        ------
        ConfigurationError
            The moment is not a midnight of the shop.
        """
        day = facts.local_day(moment)
        if facts.midnight(day) != moment:
            raise ConfigurationError(
                f"a refresh goes from midnight to midnight, and {moment.isoformat()} is none",
                remedy=f"write --as-of {calendar_day(day)}",
            )
        with self.screen.progress(f"features as of {calendar_day(day)}", 1) as advance:
            outcome = refresh(facts, state_folder(self.settings), day=day)
            advance()
        if outcome.reason:
            self.screen.say(f"Built anew for {outcome.members:,} members: {outcome.reason}.")
        else:
            self.screen.say(f"{outcome.touched:,} of {outcome.members:,} members summed up anew.")
        return outcome

    def build_to_file(self, as_of: str, out: Path) -> dict[str, Any]:
        """Features of all members as of a moment, into a Parquet file whose metadata name the contract."""
        _require_folder(out)
        facts = open_facts(self.settings)
        moment = as_of_moment(as_of, facts)
        parts = build_by_bucket(facts, as_of=moment, scratch=self.settings.data_dir)
        with self.screen.progress(f"features as of {moment:%Y-%m-%d %H:%M}", facts.manifest.buckets) as advance:
            members = write_features(parts, facts, moment, out, advance)
        self.screen.say(f"{members:,} members x {len(CONTRACT.features)} features as of {moment:%Y-%m-%d %H:%M}: {out}")
        return {"members": members, "features": len(CONTRACT.features), "out": str(out), **_stamp(facts, moment)}

    def snapshots(self, first: str, last: str, every: int, out: Path) -> dict[str, Any]:
        """Features as of many midnights, one Parquet file each."""
        facts = open_facts(self.settings)
        days = range(facts.local_day(as_of_moment(first, facts)), facts.local_day(as_of_moment(last, facts)) + 1, every)
        if not days:
            raise ConfigurationError(f"--to {last} is before --from {first}", remedy="exchange them")
        out.mkdir(parents=True, exist_ok=True)
        written = []
        with self.screen.progress(f"features as of {len(days)} days", len(days)) as advance:
            for rows in snapshots(facts, days):
                path = out / f"{calendar_day(rows.day)}.parquet"
                write_features(iter([rows]), facts, facts.midnight(rows.day), path, lambda done=1: None)
                written.append(str(path))
                advance()
        self.screen.say(f"{len(written)} snapshots from {calendar_day(days[0])} to {calendar_day(days[-1])}: {out}")
        return {"snapshots": written, "contract_hash": CONTRACT.hash, "facts_hash": facts.manifest.hash}


def write_features(
    parts: Iterator[FeatureRows], facts: Calendar, moment: datetime, out: Path, advance: Callable[..., None]
) -> int:
    """Write feature rows part by part into one Parquet file, put in its place whole; returns the number of members."""
    schema = pa.schema([("member_id", pa.string()), *((name, pa.float32()) for name in CONTRACT.feature_names)])
    members = 0
    with (
        _whole_file(out) as draft,
        pa.parquet.ParquetWriter(draft, schema.with_metadata(_stamp(facts, moment)), compression="zstd") as writer,
    ):
        for rows in parts:
            columns = [pa.array(rows.matrix[:, position]) for position in range(rows.matrix.shape[1])]
            writer.write_table(pa.table([pa.array(rows.member_ids.tolist(), pa.string()), *columns], schema=writer.schema))
            members += len(rows.member_ids)
            advance()
    return members


def _stamp(facts: Calendar, moment: datetime) -> dict[str, str]:
    return {"contract_hash": CONTRACT.hash, "facts_hash": facts.manifest.hash, "as_of": moment.astimezone(UTC).isoformat()}


def _require_folder(out: Path) -> None:
    if not out.parent.is_dir():
        raise ConfigurationError(f"there is no folder {out.parent}", remedy="make it, or name another --out")


@contextmanager
def _whole_file(out: Path) -> Iterator[Path]:
    """A file that stands under its name only once it is whole."""
    draft = out.with_name(f".{out.name}.writing")
    try:
        yield draft
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
