"""The rule by which a challenger replaces the champion.

A version is let through if nothing speaks against it and something for it: a gain over the champion that the paired interval
shows, or equal quality at lower cost (a quicker model, or one trained on facts that reach further). The first champion has to
hold its own against the best baseline. Both sides are judged by their recipes, refitted for each test period on what was known
before; where that cannot be had for the champion, its bundle is judged, but only on windows after its training ended.
"""

from dataclasses import replace

from features.contract import CONTRACT_HASH
from features.errors import BundleRefused
from training.gate.comparison import beside_baseline, low_slices
from training.gate.contender import Contender, Ground, Limits
from training.gate.figures_alone import by_figures
from training.gate.groups import by_groups
from training.gate.hearing import Case, Hearing
from training.gate.measures import measure_of
from training.gate.provenance import implausible, scored_again, training_rows
from training.gate.questions import allowed_loss, further_beside_baselines
from training.gate.soundness import against_baselines, answered_in_part, broken, calibration_beside_baselines
from training.gate.succession import beside_champion
from training.predictors import SegmentPredictor
from training.registry import load
from training.trial import Trial, try_bundle
from training.verdict import Finding, Reason, Verdict

LIMITS = Limits()
"""What stands in Limits itself."""
ORIGIN = (Reason.STALE_FEATURES, Reason.LEAKAGE_SUSPECTED, Reason.LABELS_DISAGREE)
"""Reasons that lie in where a model came from: they hold for a version for ever."""


def decide(
    contender: Contender,
    champion: Contender | None,
    *,
    ground: Ground | None = None,
    limits: Limits = LIMITS,
    known: tuple[Finding, ...] = (),
) -> Verdict:
    """Whether a registered version may become champion, and why, or why not.

    Parameters
    ----------
    champion
        What it would replace; None where there is none, or none that this process could serve.
    ground
        Facts to check features and labels by; without them that is noted as not checked.
    known
        What an earlier hearing found of its origin, and what still holds.
    """
    hearing = Hearing(contender, champion, ground, limits, [finding for finding in known if finding.reason in ORIGIN])
    trial = _tried(hearing)
    if trial is None:
        return hearing.verdict()
    measure = measure_of(contender.manifest.name)
    if measure is not None and contender.manifest.kind == SegmentPredictor.kind:
        return by_groups(hearing, measure)
    if measure is None or contender.evidence is None or not contender.evidence.judged:
        return by_figures(hearing)
    hearing.findings += broken(contender.evidence)
    if hearing.has(Reason.NOT_A_NUMBER, Reason.CONSTANT):
        return hearing.verdict()
    case = Case(contender.evidence, load(contender.registered), measure, trial)
    _origin(hearing, case)
    margin = allowed_loss(case.evidence, limits)
    hearing.add(against_baselines(case.evidence, measure, replace(limits, baseline_margin=margin)))
    hearing.notes += answered_in_part(case.evidence, measure)
    further_beside_baselines(hearing, case.evidence, measure)
    if not hearing.has(Reason.LEAKAGE_SUSPECTED):
        reached = hearing.differences[0].value if hearing.differences else 0.0
        hearing.findings += implausible(case.evidence, case.predictor, measure, reached, limits)
    return hearing.verdict(_first(hearing, case) if champion is None else beside_champion(hearing, champion, case))


def _tried(hearing: Hearing) -> Trial | None:
    """The bundle loaded in a process of its own, and how quick it is; None if that speaks against it."""
    contender, limits = hearing.contender, hearing.limits
    if contender.manifest.features and contender.manifest.contract_hash != CONTRACT_HASH:
        hearing.against(Reason.CONTRACT_OTHER, f"It has {contender.manifest.contract_hash[:8]}…, here is {CONTRACT_HASH[:8]}….")
        return None
    try:
        trial = try_bundle(contender.registered.bundle, sha256=contender.registered.sha256)
    except BundleRefused as error:
        reason = Reason.GOLDEN_ROWS_DISAGREE if "golden rows" in str(error) else Reason.BUNDLE_UNLOADABLE
        hearing.against(reason, f"{contender.registered.label}: {error}.")
        return None
    hearing.figures |= {"load_s": trial.load_s, "bytes": float(trial.bytes)}
    if not trial.finite:
        hearing.against(Reason.NOT_A_NUMBER, "Among them are scores of its golden rows.")
    if trial.row_us is not None and trial.single_us is not None:
        hearing.figures |= {"row_us": trial.row_us, "single_us": trial.single_us}
        if trial.row_us > limits.row_us or trial.single_us > limits.single_us:
            text = f"{trial.row_us:.1f} µs a row of 1,000, {trial.single_us:.0f} µs for one alone"
            hearing.against(Reason.TOO_SLOW, f"{text}; at most {limits.row_us:g} and {limits.single_us:g} are allowed.")
    return trial


def _origin(hearing: Hearing, case: Case) -> None:
    """Where the rows came from, if there are facts to check that by."""
    if hearing.ground is None:
        hearing.notes.append("Not checked: features and labels against the facts, as these are not at hand.")
        return
    if hearing.contender.examples is None:
        hearing.notes.append("Not checked: the rows it was fitted on, as they are not at hand.")
    else:
        hearing.findings += training_rows(hearing.contender.examples, hearing.ground)
    if not hearing.has(Reason.STALE_FEATURES, Reason.LEAKAGE_SUSPECTED):
        hearing.findings += scored_again(case.evidence, case.predictor, case.measure, hearing.ground, hearing.limits)


def _first(hearing: Hearing, case: Case) -> str:
    """What speaks for a first champion; what speaks against it goes into the hearing."""
    best = hearing.differences[0] if hearing.differences else None
    hearing.add(calibration_beside_baselines(case.evidence, case.measure, hearing.limits))
    if best is None:
        return "The first champion; there is no baseline to compare it with."
    for name, low in low_slices(beside_baseline(case.evidence, best.beside), case.measure, best.beside, hearing.limits):
        hearing.against(Reason.SLICE_BELOW_FLOOR, f"{name}: {low}.")
    shown = "better than" if best.low > 0 else "not worse than (no gain shown over)"
    which = "best baseline of every period" if answered_in_part(case.evidence, case.measure) else "best baseline"
    return f"The first champion, {shown} the {which}: {best}."
