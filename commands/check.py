"""The data doctor behind the front door: what the facts tell, which features that leaves out, which models can be trained."""

from dataclasses import asdict
from typing import Any

from features.doctor import check_capabilities, check_families
from features.jobs import open_facts
from features.screen import Screen
from features.settings import Settings
from training.churn_definition import definitions
from training.requirements import check_models


def check(settings: Settings, screen: Screen) -> dict[str, Any]:
    """Look at the facts, show what was found, and return it; `ready` names the models that can be trained."""
    facts, churn = open_facts(settings), definitions(settings.churn)
    capabilities, families, models = check_capabilities(facts), check_families(facts), check_models(facts, churn)
    screen.table(
        "What the facts tell",
        ("what", "since", "features that need it", "evidence"),
        [(c.meaning, str(c.since or "never"), len(c.features), c.evidence) for c in capabilities],
    )
    screen.table(
        "Features, by family",
        ("family", "features", "missing", "for want of"),
        [(f.family, f.features, len(f.missing), ", ".join(f.wanting) or "-") for f in families],
    )
    screen.table(
        "Models",
        ("model", "requirement", "holds", "evidence"),
        [(m.model, r.name, "yes" if r.holds else "NO", r.evidence) for m in models for r in m.requirements],
    )
    for model in models:
        if not model.ready:
            screen.say(f"{model.model} cannot be trained. Instead: {model.instead}.")
    return {
        "capabilities": [{**asdict(c), "since": str(c.since) if c.since else None} for c in capabilities],
        "families": [asdict(f) for f in families],
        "models": [{**asdict(m), "ready": m.ready} for m in models],
        "ready": [m.model for m in models if m.ready],
    }
