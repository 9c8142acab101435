"""Every setting, read once from the environment and passed down from there; nothing else reads the environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from features.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and how they are reached. `from_env` is the usual way to make one."""

    data_dir: Path = field(default=Path("data"), metadata={"meaning": "folder for facts and the embedded store"})
    mlruns_dir: Path = field(default=Path("mlruns"), metadata={"meaning": "MLflow's database and artifacts"})
    rules_dir: Path = field(
        default=Path("rules"), metadata={"meaning": "folder of rules files, one for each placement or campaign: docs/rules.md"}
    )
    triggers_dir: Path = field(
        default=Path("triggers"), metadata={"meaning": "folder of files of triggers, all of them in force: docs/triggers.md"}
    )
    triggers_kept_h: int = field(
        default=72, metadata={"meaning": "hours that what triggers said stays in its stream, read or not"}
    )
    redis_url: str = field(
        default="",
        repr=False,
        metadata={"meaning": "redis://, rediss:// or unix:// address; empty starts the embedded store"},
    )
    redis_timeout_ms: int = field(default=50, metadata={"meaning": "longest wait for Redis on the serving path"})
    key_prefix: str = field(default="rapport", metadata={"meaning": "first part of every Redis key"})
    host: str = field(default="127.0.0.1", metadata={"meaning": "address the server binds to"})
    port: int = field(default=3000, metadata={"meaning": "port the server binds to"})
    workers: int = field(default=2, metadata={"meaning": "serving processes"})
    api_keys: tuple[str, ...] = field(
        default=(),
        repr=False,
        metadata={"meaning": "keys accepted by the server after commas: a key, or role:sha256 of a key (docs/api.md)"},
    )
    rate_limit: int = field(default=0, metadata={"meaning": "requests a second for each key over all workers; 0 is any number"})
    in_flight: int = field(
        default=256, metadata={"meaning": "requests that a worker has under way at most; one more is told to come back"}
    )
    canary: float = field(
        default=0.0,
        metadata={"meaning": "share of score requests that the challenger answers, from 0 to 1; the passport says so"},
    )
    shadow: bool = field(
        default=False, metadata={"meaning": "1 lets the churn challenger score along, unseen; /metrics tells how far it is off"}
    )
    traced: bool = field(
        default=False, metadata={"meaning": "1 lets BentoML's OpenTelemetry trace requests, at about 0.3 ms each"}
    )
    identity_key: str = field(
        default="",
        repr=False,
        metadata={"meaning": "secret that identifiers of people are hashed with, at least 16 bytes; keep it: docs/identity.md"},
    )
    now: datetime | None = field(
        default=None,
        metadata={"meaning": "moment that requests are answered at, for replaying the past; empty is the real clock"},
    )
    spark_master: str = field(
        default="", metadata={"meaning": "where --engine spark runs; empty is what spark-submit says, else local[2]"}
    )
    max_staleness_h: int = field(default=26, metadata={"meaning": "age of published features above which rows are STALE"})
    memory_mb: int = field(
        default=1024, metadata={"meaning": "memory that queries over facts may hold; beyond it they use the disk"}
    )
    scores_kept_days: int = field(
        default=400, metadata={"meaning": "nights whose scores are kept on disk, to be held against what happened"}
    )
    jobs_kept_h: int = field(
        default=24, metadata={"meaning": "hours that files of bulk jobs are kept; erasures rely on no more than 24"}
    )
    event_partitions: int = field(
        default=8, metadata={"meaning": "streams that events are spread over by member; how to change it: docs/events.md"}
    )
    events_backlog: int = field(
        default=1_000_000,
        metadata={"meaning": "events in the streams above which POST /v1/events answers 429 until they are less"},
    )
    points: tuple[tuple[str, float], ...] = field(
        default=(), metadata={"meaning": "points for each 100 cents by channel, counted by rapport stream: web=1,store=1.5"}
    )
    spend_tiers: tuple[int, ...] = field(
        default=(),
        metadata={
            "meaning": "cents of a calendar year's spend that reach each tier, ascending: 50000,200000 (docs/realtime.md)"
        },
    )
    drift: tuple[tuple[str, float], ...] = field(
        default=(),
        metadata={"meaning": "limits of rapport drift that differ from docs/operate.md: psi=0.3,calibration=0.05"},
    )
    thresholds: tuple[tuple[str, float], ...] = field(
        default=(),
        metadata={
            "meaning": "thresholds of stages, tiers and bands that differ from docs/features.md: dormant_days=120,gold_score=10"
        },
    )
    churn: tuple[str, ...] = field(
        default=("28/84",),
        metadata={
            "meaning": "churn as horizon/active days: no purchase in 28 days by who bought in 84; more of them after commas"
        },
    )
    tuning_trials: int = field(
        default=25, metadata={"meaning": "settings tried for each model and engine before training; 0 trains with the default"}
    )

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> "Settings":
        """Settings from variables named RAPPORT_<FIELD>; REDIS_URL is understood as well.

        Raises
        ------
        ConfigurationError
            A value cannot be read as the type of its setting. The message names the variable, not a secret's value.
        """
        values = {
            name: environment[variable]
            for name, variable in ((f.name, variable_of(f.name)) for f in fields(cls))
            if environment.get(variable)
        }
        if "redis_url" not in values and environment.get("REDIS_URL"):
            values["redis_url"] = environment["REDIS_URL"]
        return cls(**{name: _parse(name, text) for name, text in values.items()})  # type: ignore[arg-type] # checked by _parse

    @property
    def drain_file(self) -> Path:
        """While this file is there the server says that it is not ready, and load balancers look elsewhere before its end."""
        return self.data_dir / "drain"

    @property
    def untraced_urls(self) -> str:
        """Pattern of addresses that are not traced, as OpenTelemetry has it."""
        return "^$" if self.traced else ".*"

    def to_env(self) -> dict[str, str]:
        """The variables that make `from_env` return these settings, for a child process."""
        texts = {f.name: _text(getattr(self, f.name)) for f in fields(self)}
        return {variable_of(name): text for name, text in texts.items()}

    def clock(self) -> datetime:
        """The moment a request is answered at: the replay moment if one is set, else now. Aware, UTC."""
        return self.now or datetime.now(UTC)


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"RAPPORT_{name.upper()}"


def parse_moment(text: str) -> datetime:
    """An ISO 8601 moment with a zone, as aware UTC.

    Raises
    ------
    ValueError
        Not ISO 8601, or without a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone, for example 2018-01-01T05:00:00+00:00")
    return moment.astimezone(UTC)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(f"{entry[0]}={entry[1]!r}" if isinstance(entry, tuple) else str(entry) for entry in value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _parse(name: str, text: str) -> object:
    try:
        if name in {"data_dir", "mlruns_dir", "rules_dir", "triggers_dir"}:
            return Path(text)
        if name in _WHOLE_NUMBERS:
            return int(text)
        if name in _READ_BY:
            return _READ_BY[name](text)
        return parse_moment(text) if name == "now" else text
    except ValueError as error:
        raise ConfigurationError(f"{variable_of(name)} cannot be used: {error}", remedy="see docs/settings.md") from error


def _switch(text: str) -> bool:
    if text not in {"0", "1", "True", "False"}:
        raise ValueError("it is 0 or 1")
    return text in {"1", "True"}


def _partitions(text: str) -> int:
    if not 1 <= int(text) <= 1024:
        raise ValueError("there are from 1 to 1024 of them")
    return int(text)


def _share(text: str) -> float:
    if not 0 <= float(text) <= 1:
        raise ValueError("a share is from 0 to 1")
    return float(text)


def _ascending(text: str) -> tuple[int, ...]:
    found = tuple(int(entry) for entry in text.split(",") if entry.strip())
    if any(amount <= 0 for amount in found) or list(found) != sorted(set(found)):
        raise ValueError("amounts are above 0, each larger than the one before")
    return found


def _definitions(text: str) -> tuple[str, ...]:
    """Definitions of churn from "28/84,60/180", each a horizon and the days within which a member must have bought."""
    found = tuple(entry.strip() for entry in text.split(",") if entry.strip())
    for entry in found:
        horizon, _, active = entry.partition("/")
        if not (horizon.isdecimal() and active.isdecimal() and int(horizon) > 0 and int(active) > 0):
            raise ValueError(f"churn is horizon/active in days, such as 28/84, not {entry}")
    if len(set(found)) < len(found) or not found:
        raise ValueError("each definition of churn is given once, and there is at least one")
    return found


def _thresholds(text: str) -> tuple[tuple[str, float], ...]:
    """Pairs of name and number from "dormant_days=120,gold_score=10"; which names there are is for the contract to say."""
    pairs = [entry.partition("=") for entry in text.split(",") if entry.strip()]
    values = {name.strip(): float(number) for name, _, number in pairs}
    if len(values) < len(pairs):
        raise ValueError("a name is given twice")
    if not all(isfinite(value) for value in values.values()):
        raise ValueError("a limit is a finite number")
    return tuple(values.items())


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in text.split(",") if key.strip())


_WHOLE_NUMBERS = {
    "redis_timeout_ms",
    "port",
    "workers",
    "max_staleness_h",
    "memory_mb",
    "tuning_trials",
    "scores_kept_days",
    "jobs_kept_h",
    "rate_limit",
    "in_flight",
    "events_backlog",
    "triggers_kept_h",
}
_READ_BY: Mapping[str, Callable[[str], object]] = {
    "event_partitions": _partitions,
    "traced": _switch,
    "shadow": _switch,
    "canary": _share,
    "api_keys": _keys,
    "churn": _definitions,
    "spend_tiers": _ascending,
    "thresholds": _thresholds,
    "drift": _thresholds,
    "points": _thresholds,
}
