"""What stands before the gate: a registered version with its evidence, the facts to check it by, and the limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.artifacts import BundleManifest
from training.datasets import Examples, Labelled, Snapshots
from training.evidence import Evidence
from training.registry import RegisteredModel


@dataclass(frozen=True, slots=True)
class Contender:
    """A registered version and what is known of it.

    Attributes
    ----------
    evidence
        Answers of its recipe on the test periods, refitted for each on what was known before; None where the model has none.
    examples
        The rows it was fitted on, as its training had them; None where they are not at hand any more.
    metrics, baselines
        Recorded figures, for models whose evidence is not kept row by row.
    """

    registered: RegisteredModel
    manifest: BundleManifest
    evidence: Evidence | None = None
    examples: Examples | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def trained_until(self) -> int:
        """The local day up to which its bundle may have seen what happened; 0 where its lineage does not say.

        Windows that it was fitted, stopped or calibrated on reach a horizon beyond their day; on the test day, the last of its
        cut-offs, only members' histories can have been read, as BG/NBD does.
        """
        cutoffs = self.manifest.lineage.get("cutoffs", {})
        if not isinstance(cutoffs, Mapping):
            return 0
        horizon = int(self.manifest.definition.get("horizon_days", 0))
        fitted = [_days(cutoffs.get(name)) for name in ("train", "validation", "calibration")]
        seen = [day + horizon for days in fitted for day in days]
        return max(seen or _days(cutoffs.get("test")), default=0)


@dataclass(frozen=True, slots=True)
class Ground:
    """Facts that a contender is checked by: features are built anew from them, and labels by the model's definition.

    `kept` holds rows built for one contender until the next asks for the same.
    """

    snapshots: Snapshots
    label: Labelled
    kept: dict[tuple[int, tuple[str, ...]], "Rebuilt"] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Rows of some members as of a day, built from facts that end there; `matrix` has the model's columns."""

    member_ids: NDArray[np.str_]
    matrix: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the gate draws its lines.

    Attributes
    ----------
    equal_margin
        Quality counts as equal where the paired interval of the difference does not reach below minus this.
    baseline_margin
        How far below the best baseline the mean over periods may lie without being shown to be worse.
    calibration_margin
        How much larger the calibration error may be than that of the other.
    slice_margin, slice_rows
        A slice with at least this many rows falls below its floor where quality there is lower by more than the margin, and
        the paired interval, widened for the number of slices, lies below 0.
    moved_share
        Largest share of members who may change their band although their features are the same.
    row_us, single_us
        Microseconds a row in a batch of 1,000, and for one row alone, on one thread.
    slower
        How many times the champion's row_us, where that is above 10 µs.
    cheaper
        Cost counts as lower from this share of the champion's row_us downwards.
    fresher_days
        Or where it was trained on facts that reach this much further.
    no_skill
        Share of the best baseline's distance from chance below which a model has no skill; below minus one half of it, and
        more, it is inverted.
    too_good
        Quality from which on a single dominating feature is suspected of carrying the answer.
    dominating
        Share of all gain that one feature then has.
    collapse
        By how much quality may fall when the bundle scores features that the gate built itself.
    """

    equal_margin: float = 0.005
    baseline_margin: float = 0.01
    calibration_margin: float = 0.01
    slice_margin: float = 0.02
    slice_rows: int = 100
    moved_share: float = 0.25
    row_us: float = 60.0
    single_us: float = 5000.0
    slower: float = 3.0
    cheaper: float = 0.8
    fresher_days: int = 28
    no_skill: float = 0.25
    too_good: float = 0.97
    dominating: float = 0.5
    collapse: float = 0.05


def _days(cutoff: object) -> list[int]:
    """The day numbers of one entry of the cut-offs: one, several, or none."""
    if isinstance(cutoff, list | tuple):
        return [int(day) for day in cutoff]
    return [] if cutoff is None else [int(str(cutoff))]
