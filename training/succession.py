"""From the registry to the gate and back: who stands before it, against whom, and what becomes of the aliases."""

from datetime import datetime
from pathlib import Path

from features.contract import CONTRACT_HASH
from features.errors import BundleRefused, ChampionMoved
from training.artifacts import read_manifest, sha256_of
from training.audit import Signed, keep_champion, move_champion
from training.evidence_files import EVIDENCE, read_evidence
from training.gate.contender import Contender, Ground, Limits
from training.promotion import LIMITS, decide
from training.registry import CHAMPION, RegisteredModel, recorded_figures, registered_models, run_file
from training.trained import Trained
from training.verdict import Verdict

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
) -> Verdict:
    """Ask the gate, and move the alias as it says; if the champion changes meanwhile, ask again, against the new one.

    Raises
    ------
    ChampionMoved
        The champion changed again and again.
    """
    for attempt in range(ATTEMPTS):
        before, champion = champion_before(mlruns, contender.registered.name)
        verdict = decide(contender, champion, ground=ground, limits=limits)
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
