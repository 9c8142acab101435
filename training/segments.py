"""Segments: which of eight customer groups a member belongs to; groups that stay where they are from one training to the next.

Groups are centres in the space of `predictors.segment_space`, of three snapshots a month apart; a classifier learns who is
nearest to which, and assigns everybody. No outcome says which group is right. So the recipe is judged by whether the classifier
agrees with the centres on members and a month it never saw, by how large the groups are, and by who changes their group from
one retraining to the next, above all among those who did nothing new.
"""

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.days import calendar_day
from features.derive import model_columns
from features.errors import BundleRefused, NotEnoughData
from features.facts import Facts
from training.artifacts import BundleManifest
from training.boosting import gains
from training.datasets import Examples, Labelled, Snapshots
from training.evaluation import paired_interval
from training.evidence import Evidence, Judged
from training.periods import MIN_HISTORY_DAYS, Period
from training.predictors import SegmentPredictor
from training.predictors.segment_space import Points, SegmentSpace, axes_told, nearest
from training.registry import CHAMPION, load, registered_models
from training.segment_fit import Fitted, fit_groups
from training.segment_groups import groups_told, prototypes
from training.segment_profiles import profiles, profiles_text
from training.slice_labels import slice_labels
from training.trained import SEED, Trained, golden_rows, importance_plot, lineage

NAME = "segments"
MONTH = 28
SNAPSHOTS = 3
"""Snapshots a month apart that a training sees: two of three are those of the training before."""
PERIODS = 3
FEWEST_GROUPS = 3
UNMOVED = 0.25
"""A member has not moved who moved along every axis by less than so many (weighted) standard deviations."""
ONE_IN = 5
"""One member in so many is held out of the fits that are judged."""


def segment_periods(facts: Facts) -> tuple[Period, ...]:
    """Up to three test days a month apart, oldest first, the newest at the end of the facts; each has training days before it.

    Raises
    ------
    NotEnoughData
        There is no training day with enough history a month before the end of the facts.
    """
    tests = [facts.manifest.until_day - back * MONTH for back in range(PERIODS)]
    found = [Period(0, _days_until(facts, test - MONTH), None, None, test) for test in reversed(tests)]
    whole = tuple(period for period in found if period.train)
    if not whole:
        raise NotEnoughData(
            f"segments need {MIN_HISTORY_DAYS + MONTH} days of facts; there are "
            f"{facts.manifest.until_day - facts.manifest.first_day}, from {calendar_day(facts.manifest.first_day)}",
            remedy="import a longer history",
        )
    return whole


def segment_days(facts: Facts) -> tuple[int, ...]:
    """Local days of every snapshot that training and its evidence ask for, ascending."""
    found = {day for period in segment_periods(facts) for day in period.days}
    return tuple(sorted(found | set(_days_until(facts, facts.manifest.until_day))))


def train_segments(snapshots: Snapshots, *, before: SegmentPredictor | None = None, seed: int = SEED) -> Trained:
    """Groups as of the end of the facts, that continue those before, and their classifier, with the evidence for the recipe.

    Parameters
    ----------
    before
        The groups that serve now; without them the newest test period's are continued.

    Raises
    ------
    NotEnoughData
        The facts are too short, or tell too little to tell groups apart.
    """
    facts, contract = snapshots.facts, snapshots.contract
    days = _days_until(facts, facts.manifest.until_day)
    tests = segment_periods(facts)
    rows = _rows(snapshots, days)
    axes = axes_told(rows.matrix, contract.model_features)
    groups = groups_told(axes)
    if len(groups) < FEWEST_GROUPS:
        raise NotEnoughData(f"the facts tell only {', '.join(axes) or 'nothing'} of members: too little to tell groups apart")
    fits, proof = _evidence(snapshots, tests, axes, seed)
    earlier = fits[-1] if before is None else before
    fitted = fit_groups(rows.matrix, contract.model_features, axes, before=earlier, seed=seed)
    labelled = Examples(rows.member_ids, rows.days, rows.matrix, nearest(fitted.points, fitted.held.centres))
    now = snapshots.at(days[-1])
    told = profiles(now, fitted.groups, fitted.assign(now.matrix[:, model_columns(contract)], contract.model_features))
    manifest = BundleManifest(
        name=NAME,
        kind=SegmentPredictor.kind,
        engine="xgboost",
        contract_hash=contract.hash,
        features=contract.model_features,
        definition={"groups": [group.name for group in groups], "axes": list(axes)},
        parameters={"space": fitted.space.as_dict(), "centres": fitted.held.centres.tolist(), "profiles": told},
        lineage={
            **lineage(facts, seed=seed, days={"train": days, "test": days[-1]}),
            "continues": "" if before is None else before.manifest.lineage.get("facts_hash", ""),
        },
    )
    return Trained(
        SegmentPredictor(manifest, fitted.model, golden_rows(rows.matrix, seed=seed)),
        metrics=_metrics(proof, fitted, seed),
        baselines={"rules": {"agreement": _mean_agreement(proof, "rules")}},
        parameters={"engine": "xgboost", "seed": seed, "groups": len(groups), "axes": len(axes), **fitted.notes},
        plots={"importance.png": importance_plot(gains(fitted.model, fitted.space.axes), title="segments, xgboost")},
        examples=labelled,
        evidence=proof,
        files={"segments.md": profiles_text(told).encode()},
    )


def champion_groups(mlruns: Path) -> SegmentPredictor | None:
    """The groups that serve now, for the next ones to continue; None where there are none, or their files are not right."""
    for registered in registered_models(mlruns):
        if registered.name == NAME and CHAMPION in registered.aliases:
            try:
                found = load(registered)
            except BundleRefused:
                return None
            return found if isinstance(found, SegmentPredictor) else None
    return None


def segment_label(predictor_manifest: BundleManifest) -> Labelled:
    """Position of the nearest centre of a bundle, for every member of a snapshot."""
    space = SegmentSpace.of(predictor_manifest.parameters["space"])
    centres = np.asarray(predictor_manifest.parameters["centres"], dtype=np.float64)

    def label(rows: FeatureRows) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
        points = space.points(rows.matrix[:, model_columns(rows.contract)], predictor_manifest.features)
        return np.ones(len(points), dtype=np.bool_), nearest(points, centres)

    return label


def held_out(member_ids: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Members kept from the fits that are judged: the same in every period and every run."""
    return np.array([crc32(member.encode()) % ONE_IN == 0 for member in member_ids.tolist()], dtype=np.bool_)


def _days_until(facts: Facts, day: int) -> tuple[int, ...]:
    """Up to three training days a month apart, ascending, the last one `day`, each with enough history."""
    first = facts.manifest.first_day + MIN_HISTORY_DAYS
    return tuple(d for d in (day - back * MONTH for back in reversed(range(SNAPSHOTS))) if d >= first)


def _rows(snapshots: Snapshots, days: Sequence[int]) -> Examples:
    """Every member's row of every one of these days; labels are still 0."""
    columns = model_columns(snapshots.contract)
    every = [snapshots.at(day) for day in days]
    members = np.concatenate([rows.member_ids for rows in every])
    when = np.concatenate([np.full(len(rows.member_ids), rows.day, dtype=np.int32) for rows in every])
    matrix = np.concatenate([rows.matrix[:, columns] for rows in every])
    return Examples(members, when, matrix, np.zeros(len(members), dtype=np.int64))


def _evidence(snapshots: Snapshots, tests: Sequence[Period], axes: Sequence[str], seed: int) -> tuple[list[Fitted], Evidence]:
    """Each period's groups continue those of the one before, as retrainings a month apart do."""
    fits: list[Fitted] = []
    judged: list[Judged] = []
    features = snapshots.contract.model_features
    for period in tests:
        rows = _rows(snapshots, period.train)
        before = fits[-1] if fits else None
        fitted = fit_groups(rows.matrix[~held_out(rows.member_ids)], features, axes, before=before, seed=seed)
        notes = {**fitted.notes, **_moves(snapshots, period, fits[-1] if fits else None, fitted)}
        judged.append(_judged(snapshots, period, fitted, notes))
        fits.append(fitted)
    definition = {"groups": [group.name for group in fits[-1].groups], "axes": list(axes)}
    return fits, Evidence(NAME, "xgboost", definition, tuple(judged), {"seed": seed})


def _judged(snapshots: Snapshots, period: Period, fitted: Fitted, notes: dict[str, float]) -> Judged:
    """What the classifier and the bare rules say of members held out, beside the centre they are nearest to."""
    rows = snapshots.at(period.test)
    kept = held_out(rows.member_ids)
    points = _points(snapshots, fitted, period.test)[kept]
    rules = nearest(points, prototypes(fitted.groups, fitted.space))
    return Judged(
        period,
        rows.member_ids[kept],
        nearest(points, fitted.held.centres),
        fitted.model.predict(points),
        {"rules": rules.astype(np.float64)},
        slice_labels(rows, kept),
        notes=notes,
    )


def _moves(snapshots: Snapshots, period: Period, before: Fitted | None, after: Fitted) -> dict[str, float]:
    """Shares of members: in the smallest and largest group, and who changed their group since the month before."""
    now = snapshots.at(period.test)
    points = _points(snapshots, after, period.test)
    positions = after.model.predict(points).argmax(axis=1)
    sizes = np.bincount(positions, minlength=len(after.groups)) / max(len(positions), 1)
    found = {"smallest_share": float(sizes.min()), "largest_share": float(sizes.max())}
    if before is None:
        return found
    then = snapshots.at(period.test - MONTH)
    _, mine, theirs = np.intersect1d(now.member_ids, then.member_ids, return_indices=True)
    old_points = _points(snapshots, before, then.day)
    old = before.model.predict(old_points).argmax(axis=1)
    steps = np.abs(points[mine] - _points(snapshots, after, then.day)[theirs]).max(axis=1)
    changed, still = positions[mine] != old[theirs], steps < UNMOVED
    by_old = before.model.predict(_points(snapshots, before, period.test)).argmax(axis=1)
    return found | {
        "changed_share": float(changed.mean()),
        "unmoved_share": float(still.mean()),
        "changed_unmoved_share": float(changed[still].mean()) if still.any() else 0.0,
        "changed_by_model_share": float((by_old != positions).mean()),
    }


def _points(snapshots: Snapshots, fitted: Fitted, day: int) -> Points:
    contract = snapshots.contract
    return fitted.space.points(snapshots.at(day).matrix[:, model_columns(contract)], contract.model_features)


def _metrics(proof: Evidence, fitted: Fitted, seed: int) -> dict[str, float]:
    """Agreement on held-out members, mean over the periods, with its interval; how groups lie; the newest period's moves."""
    right = np.concatenate([judged.truth == judged.answer.argmax(axis=1) for judged in proof.judged]).astype(np.float64)
    low, high = paired_interval(right, seed=seed)
    newest = {name: value for name, value in proof.judged[-1].notes.items() if name.endswith("_share")}
    return {
        "agreement": _mean_agreement(proof),
        "agreement_low": low,
        "agreement_high": high,
        "explained": 1 - fitted.held.within / fitted.held.total,
        "explained_free": 1 - fitted.held.free_within / fitted.held.total,
        **newest,
    }


def _mean_agreement(proof: Evidence, other: str = "") -> float:
    shares = []
    for judged in proof.judged:
        said = judged.others[other] if other else judged.answer.argmax(axis=1)
        shares.append(float((judged.truth == said).mean()))
    return float(np.mean(shares))
