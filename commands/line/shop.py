"""Commands that fill the online store, answer from it and look after it, and the demo of the whole."""

import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from commands.line.options import AsJson, AsOf, Households, settings
from features.settings import Settings, variable_of

rules_app = typer.Typer(no_args_is_help=True, help="What may stand in lists: docs/rules.md.")
stock_app = typer.Typer(no_args_is_help=True, help="What is sold out, seen by servers within seconds: docs/rules.md.")
members_app = typer.Typer(no_args_is_help=True, help="Single members.")
jobs_app = typer.Typer(no_args_is_help=True, help="Bulk jobs: scores and lists of many members into files.")

ItemIds = Annotated[list[str], typer.Argument(help="Item ids.")]
AtStore = Annotated[str | None, typer.Option("--store", help="Only at this store.")]


@rules_app.command("check")
def rules_check(
    files: Annotated[list[Path], typer.Argument(help="Rules files, such as rules/checkout.toml.")], as_json: AsJson = False
) -> None:
    """Check rules files and say in words, and on the items of the facts, what they mean.

    Example: `rapport rules check rules/checkout.toml`

    Exit code 2: a file says what rules cannot say; every problem is told with its key, value and remedy.
    """
    from commands.rules import RulesJob
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(RulesJob(settings(), screen).check(files))


@stock_app.command("out")
def stock_out(items: ItemIds, store: AtStore = None, as_json: AsJson = False) -> None:
    """Say that items are sold out: no list shows them any more.

    Example: `rapport stock out 856942 866211 --store 367`
    """
    from commands.rules import mark_stock
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(mark_stock(settings(), screen, items, store=store, sold_out=True))


@stock_app.command("back")
def stock_back(items: ItemIds, store: AtStore = None, as_json: AsJson = False) -> None:
    """Say that items are back.

    Example: `rapport stock back 856942`
    """
    from commands.rules import mark_stock
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(mark_stock(settings(), screen, items, store=store, sold_out=False))


def publish(
    as_of: AsOf,
    everything: Annotated[
        bool, typer.Option("--everything", help="Write members that have not changed, too, and forget however many.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute features and write what has changed, and the champions' scores and lists, into the online store.

    Example: `rapport publish --as-of end-of-facts`
    """
    from commands.publish import PublishJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(PublishJobs(settings(), screen).run(as_of, all_rows=everything))


def nightly(
    as_of: Annotated[
        str | None,
        typer.Option(help="Day to compute for: 2018-01-01. Without it: today, but no later than the facts reach."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Everything the service needs by morning: features, scores of everyone and lists into the online store; a report.

    Example: `rapport nightly --as-of end-of-facts`

    Exit code 30: done, but a model that should have answered did not; the report says why.
    """
    from commands.nightly import NightlyJob

    job = NightlyJob(settings(), as_json=as_json)
    report = job.run(as_of)
    job.screen.result(report)
    if report["exit_code"]:
        raise typer.Exit(report["exit_code"])


def audience(
    expression: Annotated[str, typer.Argument(help="Tags and features in words: docs/audience.md.")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write the member ids to, readable only by you.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Only how many.")] = False,
    as_of: Annotated[str | None, typer.Option(help="As of this moment, from the facts; else as last published.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="From the facts, without the online store.")] = False,
    include_opted_out: Annotated[
        bool, typer.Option("--include-opted-out", help="With those who refused marketing, for analysis.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Choose members by tags and features: how many, and who.

    Example: `rapport audience "tier=diamond and stage=at_risk and not bought:coffee_30d" --out members.csv`
    """
    from commands.audience import AudienceJob

    job = AudienceJob(settings(), as_json=as_json)
    job.screen.result(
        job.run(expression, as_of=as_of, offline=offline, include_opted_out=include_opted_out, out=out, count_only=count)
    )


def serve(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Serving processes.")] = None,
    now: Annotated[str | None, typer.Option(help="Answer as of this moment, to replay the past.")] = None,
) -> None:
    """Serve scores and lists over HTTP until Ctrl-C.

    Example: `RAPPORT_API_KEYS=a-long-secret rapport serve --port 3000`
    """
    from commands.serve import serve as run
    from features.screen import Screen

    given = {} if now is None else {variable_of("now"): now}
    configured = Settings.from_env({**os.environ, **given})
    configured = replace(configured, port=port or configured.port, workers=workers or configured.workers)
    raise typer.Exit(run(configured, Screen(as_json=False)))


@members_app.command("erase")
def members_erase(
    member: Annotated[str | None, typer.Argument(help="A member id; without one, only what is owed is done.")] = None,
    as_json: AsJson = False,
) -> None:
    """Erase a member from store and files, and whoever else is owed it. `rapport nightly` does what is owed by itself.

    Example: `rapport members erase 682`
    """
    from commands.members import MemberJobs

    jobs = MemberJobs(settings(), as_json=as_json)
    jobs.screen.result(jobs.erase(member))


@jobs_app.command("run")
def jobs_run(
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="End when standard input does, as the server wants it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Work through the bulk jobs that were asked for over HTTP; the server does so by itself.

    Example: `rapport jobs run`
    """
    from features.screen import Screen
    from serving.light_imports import load_xgboost

    load_xgboost()  # before anything loads it with all that is installed beside it: seconds of each start
    from commands.bulk import run_jobs

    screen = Screen(as_json=as_json)
    ended = run_jobs(settings(), until_eof=until_eof)
    screen.say(f"{ended:,} jobs have ended.")
    screen.result({"ended": ended})


def status(as_json: AsJson = False) -> None:
    """Say what is there: facts, published features, models.

    Example: `rapport status --json`
    """
    from commands.status import status as run
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(run(settings(), screen))


def demo(
    serve_after: Annotated[bool, typer.Option("--serve/--no-serve", help="Go on serving until Ctrl-C.")] = True,
    households: Households = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole chain on real data: facts, features, online store, models, live answers.

    Example: `rapport demo --no-serve --json`
    """
    from commands.demo import run

    run(
        replace(settings(), api_keys=(secrets.token_urlsafe(24),)),
        households,
        serve_after=serve_after,
        as_json=as_json,
    )
