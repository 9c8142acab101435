"""From the registry to the gate and back: who stands before it, against whom, and what becomes of the aliases."""

from datetime import datetime
from pathlib import Path

from features.contract import CONTRACT_HASH
from features.errors import BundleRefused, ChampionMoved
from training.artifacts import BundleManifest, read_manifest, sha256_of
from training.audit import Entry, Signed, keep_champion, move_champion
from training.churn import ChurnDefinition, churn_label
from training.datasets import Snapshots
from training.evidence_files import EVIDENCE, read_evidence
from training.gate.contender import Contender, Ground, Limits
from training.promotion import LIMITS, decide
from training.registry import CHAMPION, RegisteredModel, recorded_figures, registered_models, run_file
from training.segments import segment_label
from training.spending import spend_label
from training.tier import TierDefinition, tier_label
from training.trained import Trained
from training.verdict import Finding, Reason, Verdict

EVIDENCE_FILE = f"evidence/{EVIDENCE}"
ATTEMPTS = 3


def contender_of(registered: RegisteredModel, trained: Trained) -> Contender:
    """A version that was trained just now, with everything at hand."""
    return Contender(
        registered,
        trained.predictor.manifest,
        evidence=trained.evidence,
        examples=trained.examples,
        metrics=trained.metrics,
        baselines=trained.baselines,
    )


def recorded_contender(mlruns: Path, registered: RegisteredModel) -> Contender:
    """A version of the registry with the evidence that was recorded when it was trained.

    Raises
    ------
    BundleRefused
        Its files are not those that were registered.
    """
    manifest = read_manifest(registered.bundle, sha256=registered.sha256)
    path = run_file(mlruns, registered, EVIDENCE_FILE)
    metrics, baselines = recorded_figures(mlruns, registered)
    evidence = read_evidence(path) if path.exists() else None
    return Contender(registered, manifest, evidence, metrics=metrics, baselines=baselines)


def ground_for(snapshots: Snapshots, manifest: BundleManifest) -> Ground | None:
    """Facts to check a version by, labelled as its definition says; None for models without labelled rows."""
    facts, definition = snapshots.facts, manifest.definition
    if manifest.kind in ("churn", "bgnbd"):
        return Ground(snapshots, churn_label(facts, ChurnDefinition(**definition)))
    if manifest.kind == "tier":
        return Ground(snapshots, tier_label(facts, TierDefinition(**definition)))
    if manifest.kind == "segments":
        return Ground(snapshots, segment_label(manifest))
    if manifest.kind == "value":
        return Ground(snapshots, spend_label(facts, horizon_days=int(definition["horizon_days"])))
    return None


def known_of(entry: Entry | None) -> tuple[Finding, ...]:
    """What an earlier hearing found; without the rows it was fitted on, that cannot be found again."""
    if entry is None:
        return ()
    said = entry.verdict.get("reasons", [])
    return tuple(
        Finding(Reason[reason["code"]], f"Found when it was trained: {reason['sentence']}")
        for reason in said
        if reason["code"] in Reason.__members__
    )


def champion_before(mlruns: Path, name: str) -> tuple[str | None, Contender | None]:
    """The version the champion alias points to, and what stands behind it: None if this process could not serve that."""
    for model in registered_models(mlruns):
        if model.name == name and CHAMPION in model.aliases:
            try:
                contender = recorded_contender(mlruns, model)
            except BundleRefused:
                return model.version, None
            manifest = contender.manifest
            servable = not manifest.features or manifest.contract_hash == CONTRACT_HASH
            return model.version, contender if servable else None
    return None, None


def decide_and_move(
    mlruns: Path,
    contender: Contender,
    ground: Ground | None,
    *,
    who: str,
    at: datetime,
    limits: Limits = LIMITS,
    known: tuple[Finding, ...] = (),
) -> Verdict:
    """Ask the gate, and move the alias as it says; if the champion changes meanwhile, ask again, against the new one.

    Raises
    ------
    ChampionMoved
        The champion changed again and again.
    """
    for attempt in range(ATTEMPTS):
        before, champion = champion_before(mlruns, contender.registered.name)
        verdict = decide(contender, champion, ground=ground, limits=limits, known=known)
        try:
            act(mlruns, contender.registered, verdict, before, who=who, at=at)
        except ChampionMoved:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            break
    return verdict


def act(mlruns: Path, registered: RegisteredModel, verdict: Verdict, before: str | None, *, who: str, at: datetime) -> None:
    """Do and record what a verdict says.

    Raises
    ------
    ChampionMoved
        The champion is not the one the verdict was given against.
    """
    signed = Signed(who, at, verdict.sentence, evidence_hash(mlruns, registered), verdict.as_dict())
    if verdict.promote:
        move_champion(mlruns, registered.name, expected=before, to=registered.version, signed=signed)
    else:
        keep_champion(mlruns, registered.name, refused=registered.version, signed=signed)


def evidence_hash(mlruns: Path, registered: RegisteredModel) -> str:
    """Hash of the evidence kept for a version; empty where none is."""
    path = run_file(mlruns, registered, EVIDENCE_FILE)
    return sha256_of(path) if path.exists() else ""
