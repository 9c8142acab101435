"""Where a model's rows came from: features built anew from facts whose future is cut off must be those it was trained on.

A leaking feature and a stale one look alike from afar: good figures, or slightly worse ones. What tells them apart is the
same row built again. Built as of its day from facts that end there, it must equal the row the model saw; if it equals one
of an earlier day, the features were stale; if it equals none, something else was in them. And the bundle, scoring rows that
the gate built itself, must do about as well as its evidence says.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.build import aggregates_by_bucket, feature_rows, together
from features.cut_off import cut_off
from features.days import calendar_day
from features.derive import model_columns
from training.artifacts import BundleManifest
from training.boosting import gains
from training.datasets import Examples, Snapshots
from training.evaluation.metrics import spearman
from training.evidence import Evidence, Judged
from training.gate.comparison import Pair, mean_quality
from training.gate.contender import Ground, Limits, Rebuilt
from training.gate.measures import Measure, rule_of
from training.predictors import AnyPredictor, Matrix, Recommender, TreeModel
from training.verdict import Finding, Reason


class Scoring(Protocol):
    """Every predictor but the one of lists."""

    @property
    def manifest(self) -> BundleManifest:
        """What its bundle says of itself."""
        ...

    def score(self, matrix: Matrix) -> NDArray[np.float64]:
        """One answer a row."""
        ...


SAMPLE = 300
MORE = 1500
SEED = 7
RELATIVE = 1e-4
SHARE_OF_ROWS = 0.005
AGE = "days_since_first_purchase"
EARLIER = (1, 7, 14, 28)
ALIKE = 0.97
FEWEST = 50


def rebuilt(ground: Ground, day: int, member_ids: Sequence[str]) -> Rebuilt:
    """Features of these members as of the midnight at which a day begins, from facts of which the rest is cut off.

    Edges of the population are those of the snapshot, since they are drawn from everybody.
    """
    key = day, tuple(member_ids)
    if key not in ground.kept:
        ground.kept[key] = _build_again(ground.snapshots, day, member_ids)
    return ground.kept[key]


def _build_again(snapshots: Snapshots, day: int, member_ids: Sequence[str]) -> Rebuilt:
    moment = snapshots.facts.midnight(day)
    cut = cut_off(snapshots.facts, before=moment, member_ids=member_ids)
    members, records = together(aggregates_by_bucket(cut, snapshots.contract, as_of=moment))
    edges = snapshots.at(day).edges
    rows = feature_rows(cut, snapshots.contract, as_of=moment, member_ids=members, records=records, scalars=edges)
    return Rebuilt(members, rows.matrix[:, model_columns(snapshots.contract)])


def training_rows(examples: Examples, ground: Ground) -> list[Finding]:
    """Findings where rows of the training window are not what the facts give for their day."""
    days = np.unique(examples.days)
    for day in {int(days[-1]), int(days[len(days) // 2])}:
        mine = np.flatnonzero(examples.days == day)
        picks = np.sort(np.random.default_rng(SEED).choice(mine, size=min(SAMPLE, len(mine)), replace=False))
        found = _rows_of_a_day(examples, picks, day, ground)
        if found:
            return found
    return []


def _rows_of_a_day(examples: Examples, picks: NDArray[np.int64], day: int, ground: Ground) -> list[Finding]:
    members = examples.member_ids[picks].tolist()
    now = rebuilt(ground, day, members)
    given, fresh, found = _matched(examples.matrix[picks], members, now)
    names = ground.snapshots.contract.model_features
    odd = _odd_columns(given, fresh)
    if len(odd) or not found.all():
        return [_stale_or_leaking(given, fresh, odd, [members[row] for row in np.flatnonzero(found)], names, day, ground)]
    return _labels(examples, picks, day, ground)


def _matched(given: Matrix, members: list[str], now: Rebuilt) -> tuple[Matrix, Matrix, NDArray[np.bool_]]:
    """Rows of both that are of the same members, in the same order, and which of the given ones those are."""
    position = {member: row for row, member in enumerate(now.member_ids.tolist())}
    found = np.array([member in position for member in members], dtype=np.bool_)
    rows = [position[member] for member in members if member in position]
    return given[found], now.matrix[rows], found


def _odd_columns(given: Matrix, fresh: Matrix) -> NDArray[np.int64]:
    """Columns in which more than a few rows differ by more than rounding."""
    same = np.isclose(given, fresh, rtol=RELATIVE, atol=RELATIVE, equal_nan=True)
    return np.flatnonzero((~same).mean(axis=0) > SHARE_OF_ROWS)


def _stale_or_leaking(
    given: Matrix,
    fresh: Matrix,
    odd: NDArray[np.int64],
    members: list[str],
    names: tuple[str, ...],
    day: int,
    ground: Ground,
) -> Finding:
    """Stale if an earlier day gives these very rows; leaking otherwise."""
    age = names.index(AGE) if AGE in names else None
    lag = None if age is None or not len(given) else np.nanmedian(fresh[:, age] - given[:, age])
    if lag is not None and np.isfinite(lag) and lag >= 1:
        before = rebuilt(ground, day - round(float(lag)), members)
        theirs, earlier, found = _matched(given, members, before)
        if found.any() and not len(_odd_columns(theirs, earlier)):
            text = f"Rows of {calendar_day(day)} are those of {lag:.0f} days before."
            return Finding(Reason.STALE_FEATURES, text)
    named = ", ".join(names[column] for column in odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
    text = (
        f"Rows of {calendar_day(day)}, built again from facts that end there, differ in: {named or 'which members there are'}."
    )
    return Finding(Reason.LEAKAGE_SUSPECTED, text)


def _labels(examples: Examples, picks: NDArray[np.int64], day: int, ground: Ground) -> list[Finding]:
    """The finding if labels of these rows are not what the facts say; rows of others in the snapshot are left alone."""
    rows = ground.snapshots.at(day)
    eligible, labels = ground.label(rows)
    truth = dict(zip(rows.member_ids[eligible].tolist(), labels.tolist(), strict=True))
    told = [
        (truth.get(m), label)
        for m, label in zip(examples.member_ids[picks].tolist(), examples.labels[picks].tolist(), strict=True)
    ]
    wrong = sum(expected != label for expected, label in told)
    if wrong > SHARE_OF_ROWS * len(told):
        return [Finding(Reason.LABELS_DISAGREE, f"{wrong:,} of {len(told):,} labels looked at as of {calendar_day(day)}.")]
    return []


def scored_again(
    evidence: Evidence, predictor: AnyPredictor, measure: Measure, ground: Ground, limits: Limits
) -> list[Finding]:
    """Findings where the bundle, on rows that the gate built, does not do what the evidence says."""
    if isinstance(predictor, Recommender):
        return []
    judged, answer = _on_fresh_rows(evidence.judged[-1], predictor, ground, back=0)
    if not len(judged):
        return [Finding(Reason.LEAKAGE_SUSPECTED, "None of the members judged had bought before the test day.")]
    if not np.isfinite(answer).all():
        return [Finding(Reason.NOT_A_NUMBER, f"{int((~np.isfinite(answer)).sum()):,} scores of rows built by the gate.")]
    said, now = mean_quality([Pair(judged, answer, rule_of(predictor.manifest))], measure)
    if said - now > limits.collapse:
        text = f"{measure.name} {said:.3f} in the evidence, {now:.3f} on the same members when the gate builds their rows."
        return [Finding(Reason.LEAKAGE_SUSPECTED, text)]
    return _scored_on_stale_rows(evidence.judged[-1], predictor, ground, _likeness(judged, answer))


def _scored_on_stale_rows(whole: Judged, predictor: Scoring, ground: Ground, alike: float) -> list[Finding]:
    """The finding if the evidence's answers look like the bundle's for an earlier day rather than for theirs."""
    if alike > ALIKE:
        return []
    for back in EARLIER:
        judged, answer = _on_fresh_rows(whole, predictor, ground, back=back)
        likeness = _likeness(judged, answer) if len(judged) > FEWEST else 0.0
        if likeness > max(alike + 0.02, 0.9):
            text = f"Its answers are those for rows of {back} days before: rank correlation {likeness:.2f}, not {alike:.2f}."
            return [Finding(Reason.STALE_FEATURES, text)]
    return []


def _on_fresh_rows(whole: Judged, predictor: Scoring, ground: Ground, *, back: int) -> tuple[Judged, NDArray[np.float64]]:
    """A sample of the judged members, and the bundle's answers for rows of theirs that are built anew."""
    chosen = np.zeros(len(whole), dtype=np.bool_)
    chosen[np.random.default_rng(SEED).permutation(len(whole))[:MORE]] = True
    judged = whole.where(chosen)
    fresh = rebuilt(ground, whole.period.test - back, judged.member_ids.tolist())
    judged = judged.where(np.isin(judged.member_ids, fresh.member_ids))
    rows = np.searchsorted(fresh.member_ids, judged.member_ids)
    return judged, predictor.score(fresh.matrix[rows]) if len(rows) else np.empty(0)


def _likeness(judged: Judged, answer: NDArray[np.float64]) -> float:
    """Rank correlation of two answers; of the expected position where there are several classes."""
    one, other = (a if a.ndim == 1 else a @ np.arange(a.shape[1]) for a in (judged.answer, answer))
    return float(spearman(one, other))


def implausible(evidence: Evidence, predictor: AnyPredictor, measure: Measure, quality: float, limits: Limits) -> list[Finding]:
    """The finding if a model is too good to be true and one feature carries most of it; or if its windows overlap."""
    for judged in evidence.judged:
        known = (*judged.period.train, judged.period.validation or 0, judged.period.calibration or 0)
        if max(known) + judged.period.horizon_days > judged.period.test:
            text = f"Labels it was fitted on reach beyond {calendar_day(judged.period.test)}, when its test window begins."
            return [Finding(Reason.LEAKAGE_SUSPECTED, text)]
    model = getattr(predictor, "model", None)
    if quality < limits.too_good or not isinstance(model, TreeModel):
        return []
    by_feature = gains(model, predictor.manifest.features)
    name = max(by_feature, key=lambda feature: by_feature[feature], default="")
    share = by_feature[name] / sum(by_feature.values()) if name else 0.0
    if share > limits.dominating:
        text = f"{measure.name} {quality:.3f}, and {name} carries {share:.0%} of the gain."
        return [Finding(Reason.LEAKAGE_SUSPECTED, text)]
    return []
