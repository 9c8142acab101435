"""A challenger beside the champion: quality, calibration, slices, stability, latency and cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.errors import BundleRefused
from training.evidence import Evidence
from training.gate.comparison import Pair, asked_again, beside, calibration, low_slices, quality
from training.gate.contender import Contender, Ground
from training.gate.hearing import Case, Hearing
from training.gate.measures import Answer, rule_of
from training.gate.provenance import rebuilt
from training.gate.questions import further_beside_champion
from training.gate.soundness import worse_calibrated
from training.predictors import Recommender
from training.registry import load
from training.trial import Trial, try_bundle
from training.verdict import Reason

QUICK_US = 10.0
"""A model that scores a row in less is quick enough: a few microseconds more or less are noise, and decide nothing."""


def beside_champion(hearing: Hearing, champion: Contender, case: Case) -> str:
    """What speaks for a challenger; what speaks against it goes into the hearing."""
    label, limits = champion.registered.label, hearing.limits
    pairs = comparable(case.evidence, champion, hearing.ground)
    if not pairs:
        hearing.against(Reason.NOT_COMPARABLE, f"{label} has no evidence on these test windows.")
        return ""
    gain, error = quality(pairs, case.measure, label), calibration(pairs, case.measure, label)
    hearing.differences += [gain, *([error] if np.isfinite(error.value) and np.isfinite(error.other) else [])]
    hearing.findings += worse_calibrated(error, limits, in_doubt=True)
    for name, low in low_slices(pairs, case.measure, label, limits):
        hearing.against(Reason.SLICE_BELOW_FLOOR, f"{name}: {low}.")
    _stability(hearing, champion, case, pairs)
    further = further_beside_champion(hearing, case.evidence, champion.evidence, case.measure, label)
    cheaper = _cheaper(hearing, champion, case.trial)
    if gain.low > 0:
        return f"Gain shown over the champion: {gain}."
    if further and gain.low >= -limits.equal_margin:
        return f"Gain shown over the champion: {further}; and equal in {gain}."
    if cheaper and gain.low >= -limits.equal_margin:
        return f"Equal quality at lower cost ({cheaper}): {gain}."
    hearing.against(Reason.NO_GAIN_SHOWN, f"{gain}.")
    return ""


def comparable(evidence: Evidence, champion: Contender, ground: Ground | None) -> tuple[Pair, ...]:
    """Periods on which both can be judged honestly.

    The recipes' evidence on the same rows; or, where the champion's was made for other windows, its bundle's answers on the
    windows that begin after its training ended (of lists they stand in the evidence). Its bundle on windows that it saw is
    never used.
    """
    if champion.evidence is not None:
        pairs = beside(evidence, champion.evidence)
        if pairs:
            return pairs
    again = asked_again(evidence, champion.registered.label)
    if again:
        return again
    if ground is None or champion.trained_until == 0:
        return ()
    return _by_bundle(evidence, champion, ground)


def _by_bundle(evidence: Evidence, champion: Contender, ground: Ground) -> tuple[Pair, ...]:
    unseen = [judged for judged in evidence.judged if judged.period.test >= champion.trained_until]
    if not unseen or _question(champion.manifest.definition) != _question(evidence.definition):
        return ()
    predictor, found = load(champion.registered), []
    for judged in unseen:
        fresh = rebuilt(ground, judged.period.test, judged.member_ids.tolist())
        if not isinstance(predictor, Recommender) and set(judged.member_ids.tolist()) <= set(fresh.member_ids.tolist()):
            answer = predictor.score(fresh.matrix[np.searchsorted(fresh.member_ids, judged.member_ids)])
            found.append(Pair(judged, answer, rule_of(predictor.manifest)))
    return tuple(found)


def _question(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, without thresholds of money, which every training draws anew."""
    return {name: _plain(value) for name, value in definition.items() if not name.endswith("_cents")}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _stability(hearing: Hearing, champion: Contender, case: Case, pairs: Sequence[Pair]) -> None:
    """How many members would change their band by the change of model alone, their features being the same."""
    mine, theirs = _on_equal_rows(hearing, champion, case, pairs[-1])
    bands = [case.measure.bands(answer, champion.manifest) for answer in (mine, theirs)]
    share = float((bands[0] != bands[1]).mean())
    hearing.figures["moved_share"] = share
    if share > hearing.limits.moved_share:
        hearing.against(Reason.UNSTABLE, f"{share:.1%} would move, {hearing.limits.moved_share:.0%} is the most.")


def _on_equal_rows(hearing: Hearing, champion: Contender, case: Case, newest: Pair) -> tuple[Answer, Answer]:
    """Both bundles' answers for the very same rows; the recipes' where there are no facts to build rows from."""
    theirs = load(champion.registered)
    if hearing.ground is None or isinstance(case.predictor, Recommender) or isinstance(theirs, Recommender):
        return newest.judged.answer, newest.other
    matrix = rebuilt(hearing.ground, newest.judged.period.test, newest.judged.member_ids.tolist()).matrix
    return case.predictor.score(matrix), theirs.score(matrix)


def _cheaper(hearing: Hearing, champion: Contender, trial: Trial) -> str:
    """In which respect the challenger costs less than the champion; empty if in none."""
    try:
        theirs = try_bundle(champion.registered.bundle, sha256=champion.registered.sha256)
    except BundleRefused as error:
        hearing.notes.append(f"The champion's own bundle does not load any more: {error}.")
        return "the champion's bundle does not load any more"
    if trial.row_us is not None and theirs.row_us is not None:
        hearing.figures["champion_row_us"] = theirs.row_us
        times = trial.row_us / theirs.row_us
        if times > hearing.limits.slower and trial.row_us > QUICK_US:
            hearing.against(Reason.TOO_SLOW, f"{trial.row_us:.1f} µs a row, the champion's {theirs.row_us:.1f}.")
        if times <= hearing.limits.cheaper and theirs.row_us > QUICK_US:
            return f"{trial.row_us:.1f} µs a row in place of {theirs.row_us:.1f}"
    fresher = hearing.contender.trained_until - champion.trained_until
    hearing.figures["fresher_days"] = float(fresher)
    return f"trained on facts that reach {fresher} days further" if fresher >= hearing.limits.fresher_days else ""
