"""What a run keeps on its lists as `lists.json`: settings, gains and figures by question, period and length of history."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from training.lists.evidence import Proof, gains
from training.lists.proof import QUESTIONS, Question
from training.lists.served import Served
from training.lists.settings import ListSettings


def settings_record(settings: ListSettings) -> dict[str, Any]:
    """The settings as a run records them."""
    als = settings.sources.als
    return {
        "trials": len(settings.tried),
        "at_edge": "; ".join(settings.at_edge),
        "ease_penalty": settings.sources.penalty or 0.0,
        **({f"als_{name}": value for name, value in asdict(als).items()} if als else {"als_factors": 0}),
        **{f"ranker_{name}": value for name, value in asdict(settings.ranker).items()},
    }


def report(proofs: Sequence[Proof], settings: ListSettings, served: Served, *, seed: int) -> Mapping[str, Any]:
    """Figures period by period, by question and by length of history, gains with intervals, and candidate recall."""
    return {
        "settings": settings_record(settings),
        "als_tried": list(settings.tried),
        "served": served.record(),
        "gains": {
            question: {name: asdict(interval) for name, interval in gains(proofs, question, seed=seed).items()}
            for question in QUESTIONS
        },
        "periods": [_of_period(proof) for proof in proofs],
    }


def _of_period(proof: Proof) -> Mapping[str, Any]:
    return {
        "test": proof.period.test,
        **{question: _recalls(proof, question) for question in QUESTIONS},
        "as_served": {
            question: {name: float(v.mean()) for name, v in proof.by_question[question].served.items() if len(v)}
            for question in QUESTIONS
        },
        "by_history": {question: by_history([proof], question) for question in QUESTIONS},
        **proof.notes,
    }


def _recalls(proof: Proof, question: Question) -> Mapping[str, float]:
    found = proof.by_question[question]
    if not len(found.rows):
        return {}
    return {"list": float(found.model.mean()), **{name: float(v.mean()) for name, v in found.baselines.items()}}


def by_history(proofs: Sequence[Proof], question: Question) -> dict[str, dict[str, float]]:
    """Recall by days on which members had bought, all periods together, by group; how many members, and by each baseline."""
    parts = [proof.by_question[question] for proof in proofs]
    found: dict[str, dict[str, float]] = {}
    for group in sorted({group for part in parts for group in part.groups.tolist()}, key=_first_day):
        kept = [(part, part.groups == group) for part in parts]
        rows = sum(int(mask.sum()) for _, mask in kept)
        found[group] = {"members": rows, "list": sum(float(part.model[mask].sum()) for part, mask in kept) / rows}
        for name in parts[0].baselines:
            found[group][name] = sum(float(part.baselines[name][mask].sum()) for part, mask in kept) / rows
    return found


def _first_day(group: str) -> int:
    """Where a group such as 5-19 or 80+ begins."""
    return int(group.rstrip("+").split("-")[0])
