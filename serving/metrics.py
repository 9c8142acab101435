"""Counters and histograms of all workers, as Prometheus reads them. Every series is declared here: no client makes a label.

Each worker adds to numbers of its own in a file that is mapped into memory, which costs a tenth of a microsecond; whichever
worker is asked for /metrics adds up the files of all. A worker that was killed leaves its file, so no counter goes back.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ROWS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 1000.0)
SHARES = tuple(place / 10 for place in range(1, 11))
ROUTES = (
    "score",
    "recommend",
    "similar",
    "cashier",
    "events",
    "members",
    "audience",
    "jobs",
    "models",
    "health",
    "pages",
    "other",
)
CLASSES = ("2xx", "3xx", "4xx", "5xx")
STATUSES = ("OK", "STALE", "PARTIAL", "COLD", "FALLBACK", "OPTED_OUT")
STEPS = ("none", "nightly", "prior", "item_item", "popular_in_store", "popular_in_group", "popular", "refused")
REFUSALS = ("overloaded", "rate_limited", "key_missing", "role_missing", "stalled")
EVENT_ROWS = ("accepted", "quarantined", "dropped", "conflict", "refused")
ARMS = ("champion", "challenger")
_ANSWERS = ("route", ("score", "recommend"))


@dataclass(frozen=True, slots=True)
class Metric:
    """A family of series: the values that its labels may have, and for a histogram the upper edges of its buckets."""

    name: str
    kind: str
    meaning: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    buckets: tuple[float, ...] = ()

    def series(self) -> Iterator[tuple[str, ...]]:
        """Every combination of label values."""
        return product(*(values for _, values in self.labels))

    @property
    def width(self) -> int:
        """Numbers kept for one series: the value, or counts by bucket, those above, and the sum."""
        return len(self.buckets) + 2 if self.buckets else 1


METRICS = (
    Metric("rapport_requests_total", "counter", "requests answered", (("route", ROUTES), ("class", CLASSES))),
    Metric("rapport_request_seconds", "histogram", "time to answer, in seconds", (("route", ROUTES),), SECONDS),
    Metric("rapport_refusals_total", "counter", "requests refused before any work", (("why", REFUSALS),)),
    Metric("rapport_rows_total", "counter", "members answered, by status", (_ANSWERS, ("status", STATUSES))),
    Metric("rapport_ladder_total", "counter", "members answered, by step of the ladder", (_ANSWERS, ("step", STEPS))),
    Metric("rapport_events_total", "counter", "events sent, by what became of them", (("status", EVENT_ROWS),)),
    Metric("rapport_batch_rows", "histogram", "members scored together", (), ROWS),
    Metric("rapport_reasons_dropped_total", "counter", "requests whose reasons were left out for want of time"),
    Metric("rapport_store_failures_total", "counter", "questions that Redis did not answer, or not in time"),
    Metric("rapport_store_open_total", "counter", "times the breaker opened"),
    Metric("rapport_model_swaps_total", "counter", "times other models took over"),
    Metric("rapport_model_refused_total", "counter", "versions that should have served and failed their check"),
    Metric("rapport_churn_probability", "histogram", "answered churn probabilities, by who answered", (("arm", ARMS),), SHARES),
    Metric("rapport_shadow_difference", "histogram", "distance of a challenger's unseen score from the answer", (), SHARES),
)  # fmt: skip


class Meter:
    """The numbers of one worker."""

    def __init__(self, folder: Path | None = None) -> None:
        self._at: dict[tuple[str, ...], int] = {}
        place = 0
        for metric in METRICS:
            for labels in metric.series():
                self._at[(metric.name, *labels)] = place
                place += metric.width
        self._buckets = {metric.name: metric.buckets for metric in METRICS}
        self._folder = folder
        self._numbers = memoryview(bytearray(place * 8) if folder is None else _mapped(folder, place * 8)).cast("d")

    def add(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Count."""
        self._numbers[self._at[(name, *labels)]] += by

    def observe(self, name: str, *labels: str, value: float) -> None:
        """Put a value into its bucket."""
        at, buckets = self._at[(name, *labels)], self._buckets[name]
        self._numbers[at + bisect_left(buckets, value)] += 1
        self._numbers[at + len(buckets) + 1] += value

    def observe_all(self, name: str, *labels: str, values: Iterable[float]) -> None:
        """Put several values into their buckets."""
        at, buckets, numbers = self._at[(name, *labels)], self._buckets[name], self._numbers
        for value in values:
            numbers[at + bisect_left(buckets, value)] += 1
            numbers[at + len(buckets) + 1] += value

    def text(self) -> str:
        """The sum over all workers in Prometheus' text format."""
        return "".join(line + "\n" for line in _lines(self._summed(), self._at))

    def value(self, name: str, *labels: str) -> float:
        """One number, summed over all workers: of a histogram, how many values there were."""
        at, width = self._at[(name, *labels)], len(self._buckets[name])
        found = self._summed()[at : at + width + 1]
        return sum(found)

    def _summed(self) -> list[float]:
        if self._folder is None:
            return [float(number) for number in self._numbers]
        total = [0.0] * len(self._numbers)
        for path in self._folder.glob("*.numbers"):
            content = path.read_bytes()
            if len(content) == 8 * len(total):
                total = [a + b for a, b in zip(total, memoryview(content).cast("d").tolist(), strict=True)]
        return total


def _mapped(folder: Path, size: int) -> mmap.mmap:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{os.getpid()}.numbers").open("w+b") as file:
        file.truncate(size)
        return mmap.mmap(file.fileno(), size)


def shared_folder() -> Path:
    """The folder of all workers of one supervisor; those of supervisors that are gone are removed."""
    base = Path(tempfile.gettempdir()) / f"rapport-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    for path in base.glob("metrics-*"):
        if not Path(f"/proc/{path.name.removeprefix('metrics-')}").exists() and Path("/proc/self").exists():
            shutil.rmtree(path, ignore_errors=True)
    return base / f"metrics-{os.getppid()}"


def _lines(numbers: list[float], at: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    for metric in METRICS:
        yield f"# HELP {metric.name} {metric.meaning}"
        yield f"# TYPE {metric.name} {metric.kind}"
        for values in metric.series():
            place = at[(metric.name, *values)]
            labels = [f'{name}="{value}"' for (name, _), value in zip(metric.labels, values, strict=True)]
            if metric.buckets:
                yield from _histogram(metric, labels, numbers[place : place + metric.width])
            else:
                yield f"{metric.name}{_braces(labels)} {numbers[place]:.12g}"


def _histogram(metric: Metric, labels: list[str], numbers: list[float]) -> Iterator[str]:
    count = 0.0
    for edge, number in zip((*metric.buckets, None), numbers[:-1], strict=True):
        count += number
        limit = "+Inf" if edge is None else f"{edge:g}"
        bucket = _braces([*labels, f'le="{limit}"'])
        yield f"{metric.name}_bucket{bucket} {count:.12g}"
    yield f"{metric.name}_sum{_braces(labels)} {numbers[-1]:.12g}"
    yield f"{metric.name}_count{_braces(labels)} {count:.12g}"


def _braces(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""
