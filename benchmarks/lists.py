"""How good are the lists? Recall@20 over the full catalogue, member by member, over three test periods, beside every baseline.

python benchmarks/lists.py --facts data/facts [--trials 25] [--engine lightgbm] [--bundle folder]

Settings are found on a window before the oldest test, or are the defaults without trials; they are printed before a test window
is opened. --bundle keeps what would ship, for benchmarks/live_list.py and benchmarks/lists_nightly.py. JSON on the last line.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

from features.facts import Facts
from training.lists.als import item_factors
from training.lists.baselines import ALS_DEFAULT
from training.lists.catalogues import interest_of
from training.lists.evidence import Proof, gains
from training.lists.linear import ease, neighbours_of
from training.lists.proof import QUESTIONS, Question
from training.lists.record import by_history
from training.lists.served import what_serves
from training.lists.settings import period_of_today
from training.lists.windows import window
from training.recommender import Workshop, proved, workshop
from training.trained import SEED
from training.tuning import Search

BASELINES = ("own_frequency", "own_frequency_decayed", "popularity", "als_default", "als", "ease", "item_item")
NAMED: dict[Question, str] = {"repeats": "own_frequency", "novel": "popularity", "basket": "own_frequency"}
GOALS: dict[Question, Callable[[float], float]] = {
    "repeats": lambda baseline: 1.05 * baseline,
    "novel": lambda baseline: 1.15 * baseline,
    "basket": lambda baseline: baseline + 0.01,
}


def of_question(proofs: tuple[Proof, ...], question: Question) -> dict[str, Any]:
    """Recall of the lists and of every baseline period by period, and the gain over each with its interval."""
    found = [proof.by_question[question] for proof in proofs]
    named = [name for name in BASELINES if name in found[0].baselines]
    over = gains(proofs, question, seed=SEED)
    beside = NAMED[question]
    if question != "novel":  # the stronger of the two, whatever the goal's wording
        beside = max(("own_frequency", "own_frequency_decayed"), key=lambda name: -over[name].value)
    recall20 = [round(float(one.model.mean()), 4) for one in found]
    baseline = sum(float(one.baselines[beside].mean()) for one in found) / len(found)
    return {
        "recall20": recall20,
        **{name: [round(float(one.baselines[name].mean()), 4) for one in found] for name in named},
        "named_baseline": beside,
        "gain": round(over[beside].value, 4),
        "gain_low": round(over[beside].low, 4),
        "goal": round(GOALS[question](baseline), 4),
        "reached": round(sum(recall20) / len(recall20), 4),
        "gain_low_over": {name: round(interval.low, 4) for name, interval in over.items()},
        "gain_over": {name: round(interval.value, 4) for name, interval in over.items()},
        "members": [len(one.rows) for one in found],
    }


def train_seconds(shop: Workshop, day: int) -> dict[str, float]:
    """CPU seconds to fit each model alone as of one day."""
    seen = window(shop.behaviour, day=day)
    items, histories, sources = len(seen.listed), seen.histories, shop.settings.sources
    values = interest_of(histories)
    fits: dict[str, Callable[[], object]] = {
        "als_default": lambda: item_factors(histories, items, ALS_DEFAULT, seed=SEED, check=False),
        "item_item": lambda: neighbours_of(histories, values, items),
    }
    if sources.als is not None:
        als = sources.als
        fits["als"] = lambda: item_factors(histories, items, als, seed=SEED, check=False)
    if sources.penalty is not None:
        penalty = sources.penalty
        fits["ease"] = lambda: ease(histories, values, items, penalty=penalty)
    return {name: _cpu_seconds(fit) for name, fit in fits.items()}


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return round(time.process_time() - began, 1)


def main() -> None:
    """Find settings, judge them on every test period, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=0)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--engine", choices=("xgboost", "lightgbm"), default="xgboost", help="of the ranker")
    given = parser.parse_args()
    began = time.process_time()
    shop = workshop(Facts.open(given.facts), seed=SEED, engine=given.engine, search=Search(given.trials))
    print("named before any test window:", json.dumps(asdict(shop.settings), default=str), flush=True)
    searched = time.process_time()
    proofs = proved(
        replace(shop, in_full=True), lambda name: print(name, round(time.process_time() - began, 1), "CPU s", flush=True)
    )
    found: dict[str, Any] = {question: of_question(proofs, question) for question in QUESTIONS}
    found |= {figure: coverage_of(proofs, figure) for figure in ("coverage", "coverage_novel")}
    found["candidate_recall"] = [proof.notes["candidate_recall"]["together"] for proof in proofs]
    found["variety"], found["variety_novel"] = proofs[-1].notes["variety"], proofs[-1].notes["variety_novel"]
    found["caps"] = [proof.notes["caps"] for proof in proofs]
    found["by_source"] = proofs[-1].notes["candidate_recall"]
    found["by_history"] = {question: by_history(proofs, question) for question in QUESTIONS}
    served = what_serves(proofs, seed=SEED)
    found |= served.record()
    found["als"] = {"settings": asdict(shop.settings.sources.als) if shop.settings.sources.als else None}
    found["als"] |= {"tried": len(shop.settings.tried), "at_edge": list(shop.settings.at_edge)}
    found["search_cpu_s"] = round(searched - began, 1)
    proved_at = time.process_time()
    found["proof_cpu_s"] = round(proved_at - searched, 1)
    today = period_of_today(shop.facts, horizon_days=shop.horizon_days)
    ships = shop.recommender(shop.at(today.test), today).serving(served.mixed, served.new)
    found["train_s"] = {"list": round(time.process_time() - proved_at, 1), **train_seconds(shop, proofs[-1].period.test)}
    if given.bundle is not None:
        ships.save(given.bundle)
    print(json.dumps(found))


def coverage_of(proofs: tuple[Proof, ...], figure: str) -> dict[str, list[float]]:
    """Share of the catalogue named, period by period, by the lists and by every baseline."""
    return {name: [round(proof.notes[figure][name], 4) for proof in proofs] for name in proofs[0].notes[figure]}


if __name__ == "__main__":
    main()
