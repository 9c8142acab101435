"""Steps of a long job, each with what it did, its seconds and its peak of memory: what the reports of unattended runs show."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
MB = 1024


@dataclass(slots=True)
class StepRecord:
    """One step of a run.

    Attributes
    ----------
    outcome
        done; reused, as an earlier run had done it already; skipped, with the reason in `why`; failed.
    peak_mb
        Most memory that this process held during the step. Where the system cannot tell, since the process began.
    found
        Figures of the step, for the report.
    """

    name: str
    outcome: Literal["done", "reused", "skipped", "failed"] = "done"
    why: str = ""
    seconds: float = 0.0
    peak_mb: int = 0
    found: dict[str, Any] = field(default_factory=dict)

    def skip(self, why: str) -> None:
        """Say that the step was not done, and why."""
        self.outcome, self.why = "skipped", why

    def reuse(self, why: str) -> None:
        """Say that it had been done before."""
        self.outcome, self.why = "reused", why


@dataclass(frozen=True, slots=True)
class Warned:
    """Something a person should know, and what to do about it."""

    what: str
    remedy: str


@dataclass(slots=True)
class RunRecord:
    """The steps of one run in order, and what it warns of."""

    steps: list[StepRecord] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[StepRecord]:
        """Record a step for the length of the block, also one that fails."""
        record = StepRecord(name)
        self.steps.append(record)
        begun = time.monotonic()
        _forget_peak()
        try:
            yield record
        except BaseException:  # a step that Ctrl-C ends has failed too; it is raised on
            record.outcome = "failed"
            raise
        finally:
            record.seconds = round(time.monotonic() - begun, 2)
            record.peak_mb = peak_mb()

    def warn(self, what: str, remedy: str) -> None:
        """Note something for the end of the run."""
        self.warnings.append(Warned(what, remedy))

    @property
    def seconds(self) -> float:
        """Of all steps."""
        return round(sum(step.seconds for step in self.steps), 2)

    def to_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "seconds": self.seconds,
            "steps": [asdict(step) for step in self.steps],
            "warnings": [asdict(w) for w in self.warnings],
        }

    def rows(self) -> list[tuple[str, str, float, int, str]]:
        """For a person: step, outcome, seconds, MB, and what it did."""
        return [(s.name, s.outcome, s.seconds, s.peak_mb, s.why or _told(s.found)) for s in self.steps]


STEP_COLUMNS = ("step", "outcome", "seconds", "peak MB", "what it did")


def peak_mb() -> int:
    """Most memory this process has held since `RunRecord.step` began, in MB."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // MB
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most // MB if sys.platform != "darwin" else most // MB**2)


def _forget_peak() -> None:
    """Let Linux count the peak of memory from here; elsewhere it counts from the beginning."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return


def _told(found: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in found.items() if value not in (None, ""))


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
