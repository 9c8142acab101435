"""The front door: one command line over features, training and serving. What a command does stands in those packages."""

import os
import secrets
import signal
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
import typer.core

from features.disk import disk_full
from features.errors import RapportError
from features.settings import Settings, variable_of

warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)  # pandera imports it; we do not
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Heavy imports stand inside the commands, so that `rapport --help` and `rapport serve` do not wait for all of them.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="The model service behind a retailer's member marketing. Settings come from the environment: docs/settings.md.",
)


class _Import(typer.core.TyperGroup):
    """`rapport import --draft FILES` is another way to say `rapport import draft FILES`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options of a command that takes files cannot stand before the names of other commands: so it is one itself."""
        named = ["draft", *(arg for arg in args if arg != "--draft")] if "--draft" in args else args
        return super().parse_args(ctx, named)


import_app = typer.Typer(no_args_is_help=True, invoke_without_command=True, cls=_Import)
features_app = typer.Typer(no_args_is_help=True, help="Compute and document features.")
app.add_typer(import_app, name="import")
app.add_typer(features_app, name="features")
identity_app = typer.Typer(no_args_is_help=True, help="Who is who: identifiers and the members they lead to.")
app.add_typer(identity_app, name="identity")
models_app = typer.Typer(invoke_without_command=True)
app.add_typer(models_app, name="models")
rules_app = typer.Typer(no_args_is_help=True, help="What may stand in lists: docs/rules.md.")
app.add_typer(rules_app, name="rules")
stock_app = typer.Typer(no_args_is_help=True, help="What is sold out, seen by servers within seconds: docs/rules.md.")
app.add_typer(stock_app, name="stock")
triggers_app = typer.Typer(no_args_is_help=True, help="What is said to whom the moment something happens: docs/triggers.md.")
app.add_typer(triggers_app, name="triggers")
members_app = typer.Typer(no_args_is_help=True, help="Single members.")
app.add_typer(members_app, name="members")
jobs_app = typer.Typer(no_args_is_help=True, help="Bulk jobs: scores and lists of many members into files.")
app.add_typer(jobs_app, name="jobs")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
AsOf = Annotated[
    str,
    typer.Option(help="Moment to compute for: 2018-01-01 (its local midnight), a moment with zone, or end-of-facts."),
]
ModelVersion = Annotated[str, typer.Argument(help="Name and version, churn@3; the name alone is the champion.")]
Households = Annotated[int | None, typer.Option(min=1, help="Only this many households, for a quick look.")]


@import_app.callback()
def import_(
    context: typer.Context,
    mapping: Annotated[Path | None, typer.Option(help="TOML file that says what is where: docs/import.md.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Read all files, also those that were imported before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a shop's own tables into facts, checked and cleaned.

    Example: `rapport import --draft sales.csv items.csv --out shop.toml`, then `rapport import --mapping shop.toml`
    """
    if context.invoked_subcommand is None and mapping is not None:
        from rapport_jobs import Jobs, mapped_figures

        jobs = Jobs(_settings(), as_json=as_json)
        jobs.screen.result(mapped_figures(jobs.import_mapping(mapping, again=again)))


@import_app.command("draft")
def import_draft(
    files: Annotated[list[Path], typer.Argument(help="A shop's files: CSV, JSON lines or Parquet.")],
    out: Annotated[Path | None, typer.Option(help="File to write the mapping to; without it, the screen.")] = None,
) -> None:
    """Propose a mapping from the columns and values of some files; `# ?` marks what to look at.

    Example: `rapport import draft sales.csv items.csv --out shop.toml`
    """
    from rapport_jobs import Jobs

    text = Jobs(_settings(), as_json=False).draft_mapping(files, out)
    if out is None:
        typer.echo(text, nl=False)


@import_app.command("complete-journey")
def import_complete_journey(households: Households = None, as_json: AsJson = False) -> None:
    """Bring the Complete Journey data set into facts, checked and cleaned.

    Example: `rapport import complete-journey`
    """
    from rapport_jobs import Jobs, import_figures

    jobs = Jobs(_settings(), as_json=as_json)
    jobs.screen.result(import_figures(jobs.import_complete_journey(households)))


@features_app.command("build")
def features_build(
    as_of: AsOf,
    out: Annotated[str, typer.Option(help="Parquet file to write.")],
    engine: Annotated[Literal["duckdb", "spark"], typer.Option(help="What computes them: docs/spark.md.")] = "duckdb",
    facts: Annotated[str | None, typer.Option(help="Spark: facts elsewhere, for example s3a://bucket/facts.")] = None,
    collect: Annotated[bool, typer.Option(help="Spark: one file from here, or a folder written by Spark.")] = True,
    as_json: AsJson = False,
) -> None:
    """Compute every feature of every member as of a moment, into a Parquet file.

    Example: `rapport features build --as-of 2017-12-03 --out features.parquet`
    """
    from features.screen import Screen
    from rapport_features import FeatureJobs

    jobs = FeatureJobs(_settings(), Screen(as_json=as_json))
    if engine == "duckdb":
        jobs.screen.result(jobs.build_to_file(as_of, Path(out)))
        return
    from rapport_spark import build_to_file

    jobs.screen.result(build_to_file(jobs, as_of, out, facts=facts, collected=collect))


@features_app.command("refresh")
def features_refresh(as_of: AsOf, as_json: AsJson = False) -> None:
    """Bring the kept aggregates of everyone from the last midnight to this one, reading what the days between touched.

    Example: `rapport features refresh --as-of 2017-12-03`
    """
    from features.screen import Screen
    from rapport_features import FeatureJobs

    screen = Screen(as_json=as_json)
    screen.result(FeatureJobs(_settings(), screen).refresh(as_of))


@features_app.command("snapshots")
def features_snapshots(
    first: Annotated[str, typer.Option("--from", help="First day: 2017-06-01.")],
    last: Annotated[str, typer.Option("--to", help="Last day: 2017-12-01, or end-of-facts.")],
    every: Annotated[int, typer.Option(min=1, help="Days from one snapshot to the next.")],
    out: Annotated[Path, typer.Option(help="Folder to write one Parquet file a snapshot into.")],
    as_json: AsJson = False,
) -> None:
    """Compute every feature of every member as of many midnights, reading the facts once, for training elsewhere.

    Example: `rapport features snapshots --from 2017-06-01 --to 2017-12-01 --every 30 --out snapshots`
    """
    from features.screen import Screen
    from rapport_features import FeatureJobs

    screen = Screen(as_json=as_json)
    screen.result(FeatureJobs(_settings(), screen).snapshots(first, last, every, out))


@features_app.command("document")
def features_document(
    folder: Annotated[Path, typer.Option(help="Folder to write the pages to.")] = Path("docs"),
) -> None:
    """Write the pages of docs/ that come from the code: features, facts, settings, OpenAPI.

    Example: `rapport features document --folder docs`
    """
    from rapport_jobs import Jobs

    Jobs(_settings(), as_json=False).document(folder)


@identity_app.command("why")
def identity_why(
    one: Annotated[str, typer.Argument(help="A member id, an anonymous id, or kind:identifier, such as phone:…")],
    other: Annotated[str, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Show by which observations two ids are one member, or why they are not. Identifiers are hashed, never shown.

    Example: `rapport identity why 4711 anon-9d00549a47492e06`
    """
    from rapport_identity import explain

    explain(_settings(), one, other, as_json=as_json)


@identity_app.command("review")
def identity_review(as_json: AsJson = False) -> None:
    """List the identifiers that join nobody, because they lead to several members or are seen with too many others.

    Example: `rapport identity review --json`
    """
    from rapport_identity import review

    review(_settings(), as_json=as_json)


@rules_app.command("check")
def rules_check(
    files: Annotated[list[Path], typer.Argument(help="Rules files, such as rules/checkout.toml.")], as_json: AsJson = False
) -> None:
    """Check rules files and say in words, and on the items of the facts, what they mean.

    Example: `rapport rules check rules/checkout.toml`

    Exit code 2: a file says what rules cannot say; every problem is told with its key, value and remedy.
    """
    from features.screen import Screen
    from rapport_rules import RulesJob

    screen = Screen(as_json=as_json)
    screen.result(RulesJob(_settings(), screen).check(files))


@triggers_app.command("check")
def triggers_check(
    files: Annotated[list[Path], typer.Argument(help="Files of triggers, such as triggers/shop.toml.")],
    replay: Annotated[str | None, typer.Option(help="A day of the facts: what would have fired, by trigger and arm.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check files of triggers and say in words what they mean; with --replay, what they would have fired on a day.

    Example: `rapport triggers check triggers/shop.toml --replay 2017-12-01`

    Nothing is sent. Exit code 2: a file says what triggers cannot say; every problem is told with its key, value and remedy.
    """
    from features.screen import Screen
    from rapport_triggers import TriggerJobs

    screen = Screen(as_json=as_json)
    screen.result(TriggerJobs(_settings(), screen).check(files, replayed=replay))


@triggers_app.command("list")
def triggers_list(as_json: AsJson = False) -> None:
    """List the triggers in force and how often each fired as far back as their stream reaches.

    Example: `rapport triggers list`
    """
    from features.screen import Screen
    from rapport_triggers import TriggerJobs

    screen = Screen(as_json=as_json)
    screen.result(TriggerJobs(_settings(), screen).list())


@triggers_app.command("due")
def triggers_due(as_json: AsJson = False) -> None:
    """Fire what was put off and is due by now: workers of `rapport stream` do so every second.

    Example: `rapport triggers due`
    """
    from features.screen import Screen
    from rapport_triggers import TriggerJobs

    screen = Screen(as_json=as_json)
    screen.result(TriggerJobs(_settings(), screen).due())


ItemIds = Annotated[list[str], typer.Argument(help="Item ids.")]
AtStore = Annotated[str | None, typer.Option("--store", help="Only at this store.")]


@stock_app.command("out")
def stock_out(items: ItemIds, store: AtStore = None, as_json: AsJson = False) -> None:
    """Say that items are sold out: no list shows them any more.

    Example: `rapport stock out 856942 866211 --store 367`
    """
    from features.screen import Screen
    from rapport_rules import mark_stock

    screen = Screen(as_json=as_json)
    screen.result(mark_stock(_settings(), screen, items, store=store, sold_out=True))


@stock_app.command("back")
def stock_back(items: ItemIds, store: AtStore = None, as_json: AsJson = False) -> None:
    """Say that items are back.

    Example: `rapport stock back 856942`
    """
    from features.screen import Screen
    from rapport_rules import mark_stock

    screen = Screen(as_json=as_json)
    screen.result(mark_stock(_settings(), screen, items, store=store, sold_out=False))


@app.command()
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
    from rapport_jobs import Jobs

    jobs = Jobs(_settings(), as_json=as_json)
    jobs.screen.result(jobs.publish(as_of, all_rows=everything))


@app.command()
def archive(
    every: Annotated[
        int, typer.Option(min=0, help="Seconds: to disk that often until told to end, and not into the facts.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Bring the events of the streams to disk and into the facts, each once. The nightly run begins with it.

    Example: `rapport archive --every 60`
    """
    from features.screen import Screen
    from rapport_events import EventJobs

    screen = Screen(as_json=as_json)
    screen.result(EventJobs(_settings(), screen).archive(every_s=every))


@app.command()
def kafka(
    topic: Annotated[str, typer.Argument(help="Topic whose messages are events in JSON.")],
    config: Annotated[Path, typer.Option(help="JSON file with librdkafka's settings, bootstrap.servers at least.")],
    as_json: AsJson = False,
) -> None:
    """Bring the events of a Kafka topic into the streams until told to end; offsets are committed once they are there.

    Example: `rapport kafka shop.events --config kafka.json`
    """
    from features.screen import Screen
    from rapport_events import EventJobs

    screen = Screen(as_json=as_json)
    screen.result(EventJobs(_settings(), screen).kafka(topic, config.read_text()))


@app.command()
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
    from rapport_nightly import NightlyJob

    job = NightlyJob(_settings(), as_json=as_json)
    report = job.run(as_of)
    job.screen.result(report)
    if report["exit_code"]:
        raise typer.Exit(report["exit_code"])


@app.command()
def retrain(
    model: Annotated[list[str] | None, typer.Option("--models", help="Only these models: churn,tier.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Train as if the facts ended at this day: 2017-12-01. Without it: all of them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, judge and register models unattended; killed and run again it goes on where it was.

    Example: `rapport retrain --models churn,tier`

    Exit codes: 0 a model was promoted, 10 the champions stay, 20 the facts do not suffice, 75 another run is at work.
    """
    from rapport_retrain import RetrainJob

    job = RetrainJob(_settings(), as_json=as_json)
    report = job.run(tuple(model or ()), as_of)
    job.screen.result(report)
    if report["exit_code"]:
        raise typer.Exit(report["exit_code"])


@app.command()
def drift(
    as_of: Annotated[
        str | None, typer.Option(help="Day to look at: 2018-01-01. Without it: today, but no later than the facts reach.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what moved since the champions were trained, whether the scores feel it, and whether they are still right.

    Example: `rapport drift --as-of 2017-12-31 --json`

    Exit code 30: retraining is advised.
    """
    from rapport_drift import DriftJob

    job = DriftJob(_settings(), as_json=as_json)
    report = job.run(as_of)
    job.screen.result(report)
    if report["exit_code"]:
        raise typer.Exit(report["exit_code"])


@app.command()
def check(as_json: AsJson = False) -> None:
    """Say what the facts suffice for: per feature family and per model, with the evidence and what serves instead.

    Example: `rapport check`

    Exit code 20: no model can be trained on them.
    """
    import rapport_check
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    found = rapport_check.check(_settings(), screen)
    screen.result(found)
    if not found["ready"]:
        raise typer.Exit(20)


@app.command()
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
    from rapport_audience import AudienceJob

    job = AudienceJob(_settings(), as_json=as_json)
    job.screen.result(
        job.run(expression, as_of=as_of, offline=offline, include_opted_out=include_opted_out, out=out, count_only=count)
    )


@app.command()
def train(
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may stand several times.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Train even where nothing has changed since.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate and register models: churn, tier, value, recommender.

    Example: `rapport train --model churn --model tier`

    Exit code 20: the facts do not suffice for any of the models asked for.
    """
    from rapport_jobs import Jobs, outcome_figures

    jobs = Jobs(_settings(), as_json=as_json)
    outcomes = jobs.train(tuple(model or ()), again=again)
    jobs.screen.result({"models": [outcome_figures(outcome) for outcome in outcomes]})
    if all(outcome.refused for outcome in outcomes):
        raise typer.Exit(20)


@app.command()
def evaluate(
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may stand several times.")] = None,
    engine: Annotated[
        Literal["xgboost", "lightgbm", "bgnbd"] | None, typer.Option(help="Another engine than the usual.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the reports; without it, reports in the data folder.")] = None,
    contact_cost: Annotated[float, typer.Option(help="Cost of one contact, in the shop's currency (an assumption).")] = 1.0,
    kept_gain: Annotated[float, typer.Option(help="Worth of a leaver who stays (an assumption).")] = 40.0,
    success_rate: Annotated[float, typer.Option(help="Share of contacted leavers who stay (an assumption).")] = 0.1,
    capacity: Annotated[float, typer.Option(help="Largest share of members that can be contacted.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Judge models on past periods beside their baselines, and write a report of each: HTML and JSON.

    Example: `rapport evaluate --model churn --contact-cost 0.5 --kept-gain 30`

    Exit code 20: the facts do not suffice for one test period.
    """
    from features.screen import Screen
    from rapport_evaluate import evaluate as run
    from training.evaluation.campaign import Campaign

    screen = Screen(as_json=as_json)
    campaign = Campaign(contact_cost, kept_gain, success_rate, capacity)
    screen.result(run(_settings(), screen, models=tuple(model or ()), engine=engine, out=out, campaign=campaign))


@models_app.callback()
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """Registered models: what there is, why the champion is champion, and how to change that: docs/promotion.md.

    Example: `rapport models --json`
    """
    if context.invoked_subcommand is None:
        from rapport_models import ModelJobs

        ModelJobs(_settings(), as_json=as_json).list_all()


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List registered versions and the aliases that point to them.

    Example: `rapport models list`
    """
    from rapport_models import ModelJobs

    ModelJobs(_settings(), as_json=as_json).list_all()


@models_app.command("show")
def models_show(version: ModelVersion, as_json: AsJson = False) -> None:
    """Show one version: where it came from, its figures, what the gate said, and what became of it.

    Example: `rapport models show churn@3`, or `rapport models show churn` for the champion
    """
    from rapport_models import ModelJobs

    ModelJobs(_settings(), as_json=as_json).show(version)


@models_app.command("compare")
def models_compare(one: ModelVersion, other: ModelVersion, as_json: AsJson = False) -> None:
    """Compare two versions on the very same rows, period by period, with paired intervals.

    Example: `rapport models compare churn@3 churn@2`
    """
    from rapport_models import ModelJobs

    ModelJobs(_settings(), as_json=as_json).compare(one, other)


@models_app.command("promote")
def models_promote(
    version: ModelVersion,
    force: Annotated[bool, typer.Option("--force", help="Whatever the gate says; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a version champion, if the gate lets it through; or by force, with a reason for the record.

    Example: `rapport models promote churn@3`

    Exit codes: 10 the gate refuses it, 75 somebody else promoted meanwhile or holds the registry.
    """
    from rapport_models import ModelJobs

    ModelJobs(_settings(), as_json=as_json).promote(version, force=force, reason=reason)


@models_app.command("rollback")
def models_rollback(
    name: Annotated[str, typer.Argument(help="Name of the model: churn.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "by hand",
    as_json: AsJson = False,
) -> None:
    """Go back to the champion before this one; said again, one further back.

    Example: `rapport models rollback churn --reason "scores look wrong since Monday"`
    """
    from rapport_models import ModelJobs

    ModelJobs(_settings(), as_json=as_json).rollback(name, reason=reason)


@app.command()
def why(
    member: Annotated[str, typer.Argument(help="A member id.")],
    model: Annotated[Literal["churn", "tier"], typer.Option(help="Whose score to explain.")] = "churn",
    exact: Annotated[bool, typer.Option("--exact", help="By the tree library's own TreeSHAP; docs/reasons.md.")] = False,
    as_of: Annotated[str | None, typer.Option(help="As of this moment, from the facts; else as last published.")] = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the sentences.")] = "en",
    top: Annotated[int, typer.Option(min=1, help="How many reasons.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Say why a member has the score they have, in words, and what one visit would change.

    Example: `rapport why 682 --as-of end-of-facts`
    """
    from features.screen import Screen
    from rapport_why import WhyJob

    screen = Screen(as_json=as_json)
    screen.result(WhyJob(_settings(), screen).run(member, model, as_of=as_of, exact=exact, language=language, top=top))


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Serving processes.")] = None,
    now: Annotated[str | None, typer.Option(help="Answer as of this moment, to replay the past.")] = None,
) -> None:
    """Serve scores and lists over HTTP until Ctrl-C.

    Example: `RAPPORT_API_KEYS=a-long-secret rapport serve --port 3000`
    """
    from rapport_jobs import Jobs

    given = {} if now is None else {variable_of("now"): now}
    configured = Settings.from_env({**os.environ, **given})
    configured = replace(configured, port=port or configured.port, workers=workers or configured.workers)
    raise typer.Exit(Jobs(configured, as_json=False).serve())


@members_app.command("erase")
def members_erase(
    member: Annotated[str | None, typer.Argument(help="A member id; without one, only what is owed is done.")] = None,
    as_json: AsJson = False,
) -> None:
    """Erase a member from store and files, and whoever else is owed it. `rapport nightly` does what is owed by itself.

    Example: `rapport members erase 682`
    """
    from rapport_members import MemberJobs

    jobs = MemberJobs(_settings(), as_json=as_json)
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
    from rapport_bulk import run_jobs

    screen = Screen(as_json=as_json)
    ended = run_jobs(_settings(), until_eof=until_eof)
    screen.say(f"{ended:,} jobs have ended.")
    screen.result({"ended": ended})


@app.command()
def stream(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when no event is left.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply events to the live features of members, each once; any number of these may run: docs/realtime.md.

    Example: `rapport stream`
    """
    from features.screen import Screen
    from rapport_stream import StreamJobs

    screen = Screen(as_json=as_json)
    screen.result(StreamJobs(_settings(), screen).run(until_idle=until_idle))


@app.command()
def parity(
    most: Annotated[int, typer.Option(min=1, help="Members compared; those active today first.")] = 10_000,
    bucket: Annotated[int | None, typer.Option(min=0, help="Bucket of the facts; else another one each day.")] = None,
    archive: Annotated[bool, typer.Option("--archive/--no-archive", help="Archive what the streams hold first.")] = True,
    as_json: AsJson = False,
) -> None:
    """Hold the live features of members against a batch build on the archived facts.

    Example: `rapport parity --most 2000`

    Exit code 1: there are mismatches. The last result is in /metrics.
    """
    from features.screen import Screen
    from rapport_stream import StreamJobs

    screen = Screen(as_json=as_json)
    found = StreamJobs(_settings(), screen).parity(most=most, bucket=bucket, archive=archive)
    screen.result(found)
    if found["mismatches"]:
        raise typer.Exit(1)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say what is there: facts, published features, models.

    Example: `rapport status --json`
    """
    from rapport_jobs import Jobs

    jobs = Jobs(_settings(), as_json=as_json)
    jobs.screen.result(jobs.status())


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="New or empty folder to write to.")],
    members: Annotated[int | None, typer.Option(min=1, help="Registered members.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Instead of members: about how many order lines.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Days, from 2024-01-01 on.")] = 365,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    lines_per_order: Annotated[float, typer.Option(min=1, help="Mean lines of an order.")] = 9.0,
    events_per_line: Annotated[float, typer.Option(min=0, help="Browsing events for each order line; 0 for none.")] = 0.3,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier simulation in the folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make up a grocer of any size whose truth is known: docs/simulate.md.

    Example: `rapport simulate --members 1000 --days 365 --seed 1 --out simulated`
    """
    from rapport_simulate import run

    run(
        out,
        members=members,
        rows=rows,
        days=days,
        seed=seed,
        lines_per_order=lines_per_order,
        events_per_line=events_per_line,
        force=force,
        as_json=as_json,
    )


@app.command()
def demo(
    serve_after: Annotated[bool, typer.Option("--serve/--no-serve", help="Go on serving until Ctrl-C.")] = True,
    households: Households = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole chain on real data: facts, features, online store, models, live answers.

    Example: `rapport demo --no-serve --json`
    """
    from rapport_demo import run

    run(
        replace(_settings(), api_keys=(secrets.token_urlsafe(24),)),
        households,
        serve_after=serve_after,
        as_json=as_json,
    )


def _settings() -> Settings:
    return Settings.from_env(os.environ)


def main() -> None:
    """Run a command; errors of ours become a message, a remedy and an exit code. SIGTERM ends it as tidily as Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except RapportError as error:
        _refuse(error)
    except Exception as error:  # the one edge: a full disk comes as whatever the library that wrote makes of it
        full = disk_full(error)
        if full is None:
            raise
        _refuse(full)


def _refuse(error: RapportError) -> NoReturn:
    typer.secho(f"rapport: {error}", fg=typer.colors.RED, err=True)
    if error.remedy:
        typer.secho(f"         {error.remedy}", err=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
