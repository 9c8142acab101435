"""The demo: the whole chain on Complete Journey, told step by step, ending with answers from a real server over HTTP."""

import json
import statistics
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import numpy as np

from commands.imports import ImportJobs
from commands.live_minute import item_names, live_minute, offered
from commands.publish import PublishJobs
from commands.serve import say_addresses
from commands.train import TrainJob
from features.build import FeatureRows
from features.facts import Facts
from features.jobs import only_run, store_url
from features.screen import Screen
from features.settings import Settings
from serving.launch import Server, free_port, running_server
from training.pipeline import Outcome

REQUESTS = 200


def run(settings: Settings, households: int | None, *, serve_after: bool, as_json: bool) -> None:
    """Facts, features, store, models, answers; then serve, or stop and print the figures."""
    started, screen = time.monotonic(), Screen(as_json=as_json)
    publishing = PublishJobs(settings, screen)
    with ExitStack() as stack:
        stack.enter_context(only_run(settings, "demo"))
        screen.step("1 of 5  Facts: a year of purchases at a grocer's, checked and cleaned")
        imported = ImportJobs(settings, screen).complete_journey(households)
        screen.step("2 of 5  Features of every member into the online store")
        url = stack.enter_context(store_url(settings))
        facts, rows = publishing.build("end-of-facts")
        with only_run(settings, "publish"):
            publishing.opt_outs(url, facts)
            publishing.features(url, rows)
            publishing.shop(url, facts)
            tags = publishing.tags(url, facts, rows)
        screen.step("3 of 5  Models, each beside its baselines")
        outcomes = TrainJob(settings, screen).run((), again=False)
        screen.step("4 of 5  Scores and lists of every member into the online store")
        publishing.answers(url, facts, rows)
        screen.step("5 of 5  Answers over HTTP")
        port = free_port(settings.host, settings.port)
        replay = replace(settings, port=port, redis_url=url, now=rows.as_of)
        server = stack.enter_context(running_server(replay, log=settings.data_dir / "serve.log"))
        members = three_members(rows)
        latency_ms = ask(screen, server, facts, members)
        screen.step("And live  The last day of the year once more, event by event")
        live = live_minute(replay, screen, url, facts)
        figures = {
            "rows": imported.report.rows_in,
            "members": len(rows.member_ids),
            "features": len(rows.contract.features),
            "tags": tags,
            **model_figures(outcomes),
            "score_ms_p50": latency_ms,
            **live,
            "seconds": round(time.monotonic() - started, 1),
        }
        screen.say(f"The whole chain took {figures['seconds']:.0f} s; the median of {REQUESTS} scores {latency_ms} ms.\n")
        screen.say(f"Ask it yourself:\n\n{curl(server, members[0])}\n")
        if serve_after:
            say_addresses(settings, screen, server)
            server.wait()
        screen.result(figures)


def three_members(rows: FeatureRows) -> list[str]:
    """Three who tell different stories: longest silence against the own rhythm, highest spend, and the middle of both."""
    active = rows.column("days_since_last_purchase") <= 84
    silence = np.where(active, np.nan_to_num(rows.column("silence_of_mean_gap")), -1)
    regular = silence * (rows.column("purchase_days") >= 10)
    spend = rows.column("spend_cents_90d")
    middle = int(np.argsort(spend, kind="stable")[len(spend) // 2])
    picks = (int(regular.argmax()), int(spend.argmax()), middle)
    return [str(rows.member_ids[pick]) for pick in picks]


def ask(screen: Screen, server: Server, facts: Facts, members: list[str]) -> float:
    """Show what the server says of the members, and return the median latency of single scores in milliseconds."""
    with closing(server.connect()) as connection:
        _, scores = server.post(connection, "/v1/score", {"member_ids": members})
        _, lists = server.post(connection, "/v1/recommend", {"member_ids": members, "k": 3})
        names = item_names(facts, [item["item_id"] for row in lists["rows"] for item in row["items"]])
        screen.table(
            f"Three real members as of {scores['passport']['moment'][:16]}",
            ("member", "group", "risk of leaving", "tier to come", "spends in 90 days", "offer next"),
            [
                (score["member_id"], _group(score), _risk(score), _tier(score), _spend(score), offered(listed["items"], names))
                for score, listed in zip(scores["rows"], lists["rows"], strict=True)
            ],
        )
        seconds = []
        for position in range(REQUESTS):
            begun = time.perf_counter()
            server.post(connection, "/v1/score", {"member_ids": [members[position % len(members)]]})
            seconds.append(time.perf_counter() - begun)
    return round(statistics.median(seconds) * 1000, 2)


def model_figures(outcomes: list[Outcome]) -> dict[str, float | None]:
    """The figures a reader looks for first; None where a model could not be trained."""
    champions = {o.step.model: o for o in outcomes if o.champion}

    def figure(model: str, name: str, baseline: str = "") -> float | None:
        outcome = champions.get(model)
        if outcome is None:
            return None
        table = outcome.baselines.get(baseline, {}) if baseline else outcome.metrics
        return round(table[name], 4) if name in table else None

    return {
        "auc_churn": figure("churn", "auc"),
        "auc_recency": figure("churn", "auc", "recency"),
        "auc_bgnbd": figure("churn", "auc", "bgnbd"),
        "qwk_tier": figure("tier", "qwk"),
        "qwk_persistence": figure("tier", "qwk", "persistence"),
        "recall20_list": figure("recommender", "recall20"),
        "recall20_als": figure("recommender", "recall20", "als"),
        "recall20_own_frequency": figure("recommender", "recall20", "own_frequency_decayed"),
        "recall20_popularity": figure("recommender", "recall20", "popularity"),
    }


def curl(server: Server, member: str) -> str:
    """A command to paste."""
    body = json.dumps({"member_ids": [member]})
    return (
        f"curl -s {server.address}/v1/score -H 'Authorization: Bearer {server.settings.api_keys[0]}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


def _risk(score: dict[str, Any]) -> str:
    return f"{score['churn']['probability']:.1%} ({score['churn']['band']})" if score["churn"] else "-"


def _tier(score: dict[str, Any]) -> str:
    if not score["tier"]:
        return "-"
    likely = score["tier"]["likely"]
    return f"{likely} ({score['tier']['probabilities'][likely]:.0%})"


def _group(score: dict[str, Any]) -> str:
    return str(score["segment"]["name"]) if score["segment"] else f"({score['lifecycle_stage']})"


def _spend(score: dict[str, Any]) -> str:
    """The forecast with its interval, in whole units of the currency."""
    if not score["value"]:
        return "-"
    amount, low, high = (score["value"][name] / 100 for name in ("cents", "low_cents", "high_cents"))
    return f"{amount:,.0f} ({low:,.0f} to {high:,.0f})"
