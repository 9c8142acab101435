"""The rule by which a challenger replaces the champion.

A version is let through if nothing speaks against it and something for it: a gain over the champion that the paired interval
shows, or equal quality at lower cost (a quicker model, or one trained on facts that reach further). The first champion has to
hold its own against the best baseline. Both sides are judged by their recipes, refitted for each test period on what was known
before; where that cannot be had for the champion, its bundle is judged, but only on windows after its training ended.
"""

from dataclasses import dataclass, field

import numpy as np

from features.contract import CONTRACT_HASH
from features.errors import BundleRefused
from training.evidence import Evidence
from training.gate.comparison import Pair, beside, beside_baseline, calibration, low_slices, quality
from training.gate.contender import Contender, Ground, Limits
from training.gate.measures import Measure, measure_of
from training.gate.provenance import implausible, rebuilt, scored_again, training_rows
from training.gate.soundness import against_baselines, broken, calibration_beside_baselines, worse_calibrated
from training.predictors import AnyPredictor, Recommender
from training.registry import load
from training.trial import Trial, try_bundle
from training.verdict import Difference, Finding, Reason, Verdict, ordered

LIMITS = Limits()
"""What stands in Limits itself."""
HEADLINES = ("recall20", "auc", "qwk", "spearman")
_GOLDEN = "golden rows"


@dataclass
class _Hearing:
    """What has come up so far about one version."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, found: tuple[list[Finding], list[Difference]]) -> None:
        """Findings and differences of one check."""
        self.findings += found[0]
        self.differences += found[1]


def decide(
    contender: Contender,
    champion: Contender | None,
    *,
    ground: Ground | None = None,
    limits: Limits = LIMITS,
) -> Verdict:
    """Whether a registered version may become champion, and why, or why not.

    Parameters
    ----------
    champion
        What it would replace; None where there is none, or none that this process could serve.
    ground
        Facts to check features and labels by; without them that is noted as not checked.
    """
    hearing = _Hearing()
    if contender.manifest.features and contender.manifest.contract_hash != CONTRACT_HASH:
        text = f"It has {contender.manifest.contract_hash[:8]}…, here is {CONTRACT_HASH[:8]}…."
        hearing.findings.append(Finding(Reason.CONTRACT_OTHER, text))
        return _verdict(contender, champion, hearing, "")
    trial = _trial(contender, hearing)
    if trial is None:
        return _verdict(contender, champion, hearing, "")
    _speed(trial, hearing, limits)
    predictor = load(contender.registered)
    measure = measure_of(contender.manifest.name)
    if measure is None or contender.evidence is None or not contender.evidence.judged:
        return _by_figures(contender, champion, hearing)
    hearing.findings += broken(contender.evidence)
    if not trial.finite:
        hearing.findings.append(Finding(Reason.NOT_A_NUMBER, "Among them are scores of its golden rows."))
    if hearing.findings and hearing.findings[-1].reason in (Reason.NOT_A_NUMBER, Reason.CONSTANT):
        return _verdict(contender, champion, hearing, "")
    _origin(contender, predictor, measure, ground, hearing, limits)
    hearing.add(against_baselines(contender.evidence, measure, limits))
    _plausibility(contender.evidence, predictor, measure, hearing, limits)
    if champion is None:
        return _verdict(contender, None, hearing, _first(contender.evidence, measure, hearing, limits))
    return _verdict(
        contender, champion, hearing, _beside_champion(contender, champion, measure, trial, ground, hearing, limits)
    )


def _trial(contender: Contender, hearing: _Hearing) -> Trial | None:
    """The bundle loaded in a process of its own, or the finding that says why not."""
    try:
        return try_bundle(contender.registered.bundle, sha256=contender.registered.sha256)
    except BundleRefused as error:
        reason = Reason.GOLDEN_ROWS_DISAGREE if _GOLDEN in str(error) else Reason.BUNDLE_UNLOADABLE
        hearing.findings.append(Finding(reason, f"{contender.registered.label}: {error}."))
        return None


def _speed(trial: Trial, hearing: _Hearing, limits: Limits) -> None:
    hearing.figures |= {"load_s": trial.load_s, "bytes": float(trial.bytes)}
    if trial.row_us is None or trial.single_us is None:
        return
    hearing.figures |= {"row_us": trial.row_us, "single_us": trial.single_us}
    if trial.row_us > limits.row_us or trial.single_us > limits.single_us:
        text = f"{trial.row_us:.1f} µs a row of 1,000 (at most {limits.row_us:g}), {trial.single_us:.0f} µs for one alone ({limits.single_us:g})."
        hearing.findings.append(Finding(Reason.TOO_SLOW, text))


def _origin(
    contender: Contender, predictor: AnyPredictor, measure: Measure, ground: Ground | None, hearing: _Hearing, limits: Limits
) -> None:
    """Where the rows came from, if there are facts to check that by."""
    if ground is None:
        hearing.notes.append("Not checked: features and labels against the facts, as these are not at hand.")
        return
    if contender.examples is None:
        hearing.notes.append("Not checked: the rows it was fitted on, as they are not at hand.")
    else:
        hearing.findings += training_rows(contender.examples, ground)
    if not hearing.findings or hearing.findings[-1].reason not in (Reason.STALE_FEATURES, Reason.LEAKAGE_SUSPECTED):
        hearing.findings += scored_again(contender, predictor, measure, ground, limits)


def _plausibility(evidence: Evidence, predictor: AnyPredictor, measure: Measure, hearing: _Hearing, limits: Limits) -> None:
    reached = hearing.differences[0].value if hearing.differences else 0.0
    if Reason.LEAKAGE_SUSPECTED not in {finding.reason for finding in hearing.findings}:
        hearing.findings += implausible(evidence, predictor, measure, reached, limits)


def _first(evidence: Evidence, measure: Measure, hearing: _Hearing, limits: Limits) -> str:
    """What speaks for a first champion."""
    hearing.add(calibration_beside_baselines(evidence, measure, limits))
    if not hearing.differences:
        return "The first champion; there is no baseline to compare it with."
    best = hearing.differences[0]
    for name, low in low_slices(beside_baseline(evidence, best.beside), measure, best.beside, limits):
        hearing.findings.append(Finding(Reason.SLICE_BELOW_FLOOR, f"{name}: {low}."))
    shown = "better than" if best.low > 0 else "no gain shown over, and not worse than,"
    return f"The first champion, {shown} the best baseline: {best}."


def _beside_champion(
    contender: Contender,
    champion: Contender,
    measure: Measure,
    trial: Trial,
    ground: Ground | None,
    hearing: _Hearing,
    limits: Limits,
) -> str:
    """What speaks for a challenger beside the champion; findings against it go into the hearing."""
    pairs = comparable(contender, champion, ground)
    if not pairs:
        hearing.findings.append(
            Finding(Reason.NOT_COMPARABLE, f"{champion.registered.label} has no evidence on these windows.")
        )
        return ""
    label = champion.registered.label
    gain, error = quality(pairs, measure, label), calibration(pairs, measure, label)
    hearing.differences += [gain, *([error] if np.isfinite(error.value) and np.isfinite(error.other) else [])]
    hearing.findings += worse_calibrated(error, limits, in_doubt=True)
    for name, low in low_slices(pairs, measure, label, limits):
        hearing.findings.append(Finding(Reason.SLICE_BELOW_FLOOR, f"{name}: {low}."))
    _stability(contender, champion, measure, pairs, ground, hearing, limits)
    cheaper = _cheaper(contender, champion, trial, hearing, limits)
    if gain.low > 0:
        return f"Gain shown over the champion: {gain}."
    if cheaper and gain.low >= -limits.equal_margin:
        return f"Equal quality at lower cost ({cheaper}): {gain}."
    hearing.findings.append(Finding(Reason.NO_GAIN_SHOWN, f"{gain}."))
    return ""


def comparable(contender: Contender, champion: Contender, ground: Ground | None) -> tuple[Pair, ...]:
    """Periods on which both can be judged honestly.

    The recipes' evidence on the same rows; or, where the champion's was made for other windows, its bundle's answers on the
    windows that begin after its training ended.
    """
    if contender.evidence is None:
        return ()
    if champion.evidence is not None:
        pairs = beside(contender.evidence, champion.evidence)
        if pairs:
            return pairs
    if ground is None or champion.trained_until == 0:
        return ()
    return _by_bundle(contender.evidence, champion, ground)


def _by_bundle(evidence: Evidence, champion: Contender, ground: Ground) -> tuple[Pair, ...]:
    unseen = [judged for judged in evidence.judged if judged.period.test >= champion.trained_until]
    predictor = load(champion.registered) if unseen else None
    if predictor is None or isinstance(predictor, Recommender):
        return ()
    found = []
    for judged in unseen:
        fresh = rebuilt(ground, judged.period.test, judged.member_ids.tolist())
        if sorted(fresh.member_ids.tolist()) == sorted(judged.member_ids.tolist()):
            rows = np.searchsorted(fresh.member_ids, judged.member_ids)
            found.append(Pair(judged, predictor.score(fresh.matrix[rows])))
    return tuple(found)


def _stability(
    contender: Contender,
    champion: Contender,
    measure: Measure,
    pairs: tuple[Pair, ...],
    ground: Ground | None,
    hearing: _Hearing,
    limits: Limits,
) -> None:
    """How many members would change their band by the change of model alone, their features being the same."""
    newest = pairs[-1]
    mine, theirs = newest.judged.answer, newest.other
    if ground is not None:
        predictors = load(contender.registered), load(champion.registered)
        fresh = rebuilt(ground, newest.judged.period.test, newest.judged.member_ids.tolist())
        mine, theirs = (p.score(fresh.matrix) for p in predictors if not isinstance(p, Recommender))
    bands = [measure.bands(answer, champion.manifest) for answer in (mine, theirs)]
    share = float((bands[0] != bands[1]).mean())
    hearing.figures["moved_share"] = share
    if share > limits.moved_share:
        text = f"{share:.1%} would move, {limits.moved_share:.0%} is the most."
        hearing.findings.append(Finding(Reason.UNSTABLE, text))


def _cheaper(contender: Contender, champion: Contender, trial: Trial, hearing: _Hearing, limits: Limits) -> str:
    """In which respect the challenger costs less than the champion; empty if in none."""
    try:
        theirs = try_bundle(champion.registered.bundle, sha256=champion.registered.sha256)
    except BundleRefused as error:
        hearing.notes.append(f"The champion's own bundle does not load any more: {error}.")
        return "the champion's bundle does not load any more"
    if trial.row_us is not None and theirs.row_us is not None:
        hearing.figures["champion_row_us"] = theirs.row_us
        times = trial.row_us / theirs.row_us
        if times > limits.slower and trial.row_us > 10:
            hearing.findings.append(
                Finding(Reason.TOO_SLOW, f"{trial.row_us:.1f} µs a row, the champion's {theirs.row_us:.1f}.")
            )
        if times <= limits.cheaper:
            return f"{trial.row_us:.1f} µs a row in place of {theirs.row_us:.1f}"
    fresher = contender.trained_until - champion.trained_until
    hearing.figures["fresher_days"] = float(fresher)
    return f"trained on facts that reach {fresher} days further" if fresher >= limits.fresher_days else ""


def _by_figures(contender: Contender, champion: Contender | None, hearing: _Hearing) -> Verdict:
    """The decision on a model whose evidence is one figure: beside its best baseline, and beside the champion's figure."""
    hearing.notes.append("Judged by its recorded figures alone: this model's evidence is not kept row by row.")
    name = next((name for name in HEADLINES if name in contender.metrics), None)
    if name is None or not np.isfinite(contender.metrics[name]):
        hearing.findings.append(Finding(Reason.NO_EVIDENCE, ""))
        return _verdict(contender, champion, hearing, "")
    value = contender.metrics[name]
    best = max(((f[name], b) for b, f in contender.baselines.items() if name in f), default=(-np.inf, "none"))
    if value < best[0]:
        hearing.findings.append(Finding(Reason.WORSE_THAN_BASELINE, f"{name} {value:.4f}, {best[1]} {best[0]:.4f}."))
    ground = f"{name} {value:.4f}, not below the best baseline ({best[1]})."
    same_facts = champion is not None and _facts(champion) == _facts(contender)
    if champion is not None and same_facts and value <= champion.metrics.get(name, -np.inf):
        text = f"{name} {value:.4f}, the champion's {champion.metrics[name]:.4f} on the same facts."
        hearing.findings.append(Finding(Reason.NO_GAIN_SHOWN, text))
    return _verdict(contender, champion, hearing, ground)


def _facts(contender: Contender) -> object:
    return contender.manifest.lineage.get("facts_hash")


def _verdict(contender: Contender, champion: Contender | None, hearing: _Hearing, ground: str) -> Verdict:
    return Verdict(
        contender.manifest.name,
        contender.registered.version,
        champion.registered.label if champion else "",
        "" if hearing.findings else ground,
        ordered(hearing.findings),
        tuple(hearing.notes),
        tuple(hearing.differences),
        dict(hearing.figures),
    )
