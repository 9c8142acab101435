"""The jobs behind the front door: each calls into features, training and serving, and shows a person what came of it."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.events import EventJobs
from commands.features import FeatureJobs
from commands.members import MemberJobs
from commands.models import mlflow_command
from features.build import FeatureRows, build
from features.contract import CONTRACT
from features.days import calendar_day, naive_utc
from features.document import facts_page, features_page, settings_page, tags_page
from features.errors import ConfigurationError, FactsMissing, StoreUnavailable
from features.facts import Facts, read_manifest
from features.jobs import as_of_moment, facts_folder, only_run, open_facts, store_url
from features.online_store import RedisStore
from features.publish import Published, publish
from features.screen import Screen
from features.settings import Settings
from serving.launch import Server, running_server
from serving.openapi import as_json as openapi_page
from training.registry import RegisteredModel, registered_models

if TYPE_CHECKING:  # these take seconds to import: only the jobs that use them wait
    from features.cleaning import CleaningReport, RuleCount
    from features.sources.landing import Imported
    from features.sources.mapped import MappedImport
    from training.datasets import Snapshots
    from training.pipeline import Outcome, Step

SHOWN_METRICS = (
    "auc", "average_precision", "lift_top_tenth", "calibration_error",
    "qwk", "accuracy", "spearman", "total_bias", "agreement", "recall20",
)  # fmt: skip


CLOCKS_MAY_DIFFER = timedelta(days=1)


class Jobs:
    """Every job, on one set of settings and one screen."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.screen = Screen(as_json=as_json)

    def import_complete_journey(self, households: int | None) -> Imported:
        """Bring Complete Journey into the facts folder."""
        from features.sources.complete_journey import import_complete_journey

        return self._import(lambda folder: import_complete_journey(folder, households=households))

    def import_mapping(self, mapping: Path, *, again: bool = False) -> MappedImport:
        """Bring a shop's own files into the facts folder; only new ones, unless `again`."""
        from features.sources.mapped import import_mapped

        folder = facts_folder(self.settings)
        with only_run(self.settings, "import"), self.screen.progress("reading, checking, cleaning", 1) as advance:
            before = _purchases_in(folder)
            latest = naive_utc(self.settings.clock() + CLOCKS_MAY_DIFFER)
            imported = import_mapped(folder, mapping, identity_key=self.settings.identity_key, latest=latest, again=again)
            advance()
        if imported.report is None:
            self.screen.say(f"Nothing new: every file is in {folder} already.")
        else:
            self._show_report(imported.report, imported.notes, folder)
            self._show_loss(before, imported.manifest.rows["purchases"], imported.gone)
        for skipped in imported.skipped:
            self.screen.say(f"Left out: {skipped.reason}")
        return imported

    def draft_mapping(self, files: Sequence[Path], out: Path | None) -> str:
        """A mapping proposed for some files, on the screen or into a file that is not there yet."""
        from features.sources.draft import draft

        if out is not None and out.exists():
            raise ConfigurationError(f"{out} is there already", remedy="name another --out, or move it away")
        text = draft(files, base=Path.cwd() if out is None else out.resolve().parent)
        if out is not None:
            out.write_text(text, encoding="utf-8")
            self.screen.say(f"Read {out}, change what is marked with # ?, then: rapport import --mapping {out}")
        return text

    def _import(self, run: Callable[[Path], Imported]) -> Imported:
        folder = facts_folder(self.settings)
        with only_run(self.settings, "import"), self.screen.progress("reading, checking, cleaning", 1) as advance:
            before = _purchases_in(folder)
            imported = run(folder)
            advance()
        self._show_report(imported.report, (), folder)
        self._show_loss(before, imported.manifest.rows["purchases"], ())
        return imported

    def _show_report(self, report: CleaningReport, notes: Sequence[RuleCount], folder: Path) -> None:
        self.screen.table(
            "Cleaning",
            ("rule", "action", "rows", "meaning"),
            [(count.code, count.action, count.rows, count.meaning) for count in (*report.rules, *notes)],
        )
        self.screen.say(
            f"{report.rows_in:,} rows in = {report.accepted:,} accepted + {report.quarantined:,} quarantined "
            f"+ {report.duplicates:,} duplicates. Kept in {folder}."
        )

    def _show_loss(self, before: int, now: int, gone: Sequence[str]) -> None:
        """Say it plainly when facts were replaced by much less."""
        if now * 2 < before:
            self.screen.say(f"Attention: {now:,} purchases stand in place of {before:,}. Is a file missing?")
        if gone:
            self.screen.say(f"Attention: these were in the facts before and are not among the files now: {', '.join(gone)}")

    def build(self, as_of: str) -> tuple[Facts, FeatureRows]:
        """Facts, and features of all members as of a moment; as of a midnight by going on from the last one."""
        facts = open_facts(self.settings)
        moment = as_of_moment(as_of, facts)
        if facts.midnight(facts.local_day(moment)) == moment:
            with only_run(self.settings, "features"):
                outcome = FeatureJobs(self.settings, self.screen).refreshed(facts, moment)
                return facts, outcome.state.rows(facts, CONTRACT)
        with self.screen.progress(f"features as of {moment:%Y-%m-%d %H:%M}", 1) as advance:
            rows = build(facts, as_of=moment)
            advance()
        facts.require_unchanged()
        return facts, rows

    def document(self, folder: Path) -> None:
        """Write the pages that come from the code."""
        pages = {"features.md": features_page(CONTRACT), "facts.md": facts_page(), "settings.md": settings_page()}
        for name, text in {**pages, "tags.md": tags_page(), "openapi.json": openapi_page()}.items():
            (folder / name).write_text(text)
            self.screen.say(f"wrote {folder / name}")

    def publish(self, as_of: str, *, all_rows: bool = False) -> dict[str, Any]:
        """Features, scores and lists of all members into the online store."""
        with only_run(self.settings, "publish"), store_url(self.settings) as url:
            facts, rows = self.build(as_of)
            self.publish_opt_outs(url, facts)
            published = self.publish_features(url, rows, all_rows=all_rows)
            self.publish_shop(url, facts)
            tags = self.publish_tags(url, facts, rows)
            used = self.publish_answers(url, facts, rows)
            MemberJobs(self.settings, as_json=True).sweep(url, rows.member_ids.tolist())
        return {
            "members": len(rows.member_ids),
            "written": published.written,
            "deleted": published.deleted,
            "as_of": rows.as_of.isoformat(),
            "contract_hash": rows.contract.hash,
            "tags": tags,
            "models": used,
        }

    def publish_features(self, url: str, rows: FeatureRows, *, all_rows: bool = False) -> Published:
        """Aggregates and readable profiles that have changed, then the stamp."""
        store, kept = self.store(url), self.settings.data_dir / "published"
        with self.screen.progress("aggregates and profiles to Redis", len(rows.member_ids)) as advance:
            published = publish(rows, store, kept=kept, all_rows=all_rows, progress=advance)
        why = f"all of them: {published.whole}" if published.whole else "the others had not changed"
        self.screen.say(
            f"{published.written:,} of {len(rows.member_ids):,} members written ({why}), {published.deleted:,} deleted."
        )
        if not published.kept:
            self.screen.say(f"The disk did not take {kept}, so the next publish will write every member.")
        return published

    def publish_shop(self, url: str, facts: Facts) -> int:
        """The item table that rules look at, and what events are read by; returns how many items there are."""
        from features.events.keys import EventKeys
        from features.events.publish_shop import publish_event_shop
        from features.publish_shop import publish_shop
        from features.shop_store import ShopStore

        publish_event_shop(facts, url, EventKeys(self.settings.key_prefix))
        shop = ShopStore(url, prefix=self.settings.key_prefix)
        try:
            return publish_shop(facts, shop)
        finally:
            shop.close()

    def publish_opt_outs(self, url: str, facts: Facts) -> int:
        """Who refused marketing, before anything else: answers honour it at once. Returns how many there are."""
        from features.opt_outs import opted_out_members

        refused = opted_out_members(facts)
        added, gone = self.store(url).replace_opt_outs(refused)
        if added or gone:
            self.screen.say(f"{len(refused):,} members refuse marketing: {added:,} new, {gone:,} no longer.")
        return len(refused)

    def publish_tags(self, url: str, facts: Facts, rows: FeatureRows) -> int:
        """Tags for audiences; returns how many somebody has."""
        from commands.audience import publish_tags

        with self.screen.progress("tags to Redis", 1) as advance:
            stamp = publish_tags(self.settings, url, facts, rows)
            advance()
        return sum(members > 0 for members in stamp.counts.values())

    def publish_answers(self, url: str, facts: Facts, rows: FeatureRows) -> dict[str, str]:
        """Scores and lists of the champions there are."""
        from training.publish_answers import publish_answers

        store = self.store(url)
        if not registered_models(self.settings.mlruns_dir):
            self.screen.say("No models yet, so no scores and lists: rapport train, then publish again.")
            return {}
        with self.screen.progress("scores and lists to Redis", len(rows.member_ids)) as advance:
            return publish_answers(rows, facts, self.settings.mlruns_dir, store, progress=advance)

    def train(self, models: tuple[str, ...], *, again: bool) -> list[Outcome]:
        """Train, evaluate and register; models whose facts, code and features have not changed are kept."""
        from training.churn_definition import definitions
        from training.datasets import Snapshots
        from training.pipeline import MODELS, needed, steps, unchanged
        from training.tracking import open_registry

        unknown = set(models) - set(MODELS)
        if unknown:
            raise ConfigurationError(
                f"no model is named {', '.join(sorted(unknown))}", remedy=f"choose from {', '.join(MODELS)}"
            )
        wanted = models or MODELS
        facts = open_facts(self.settings)
        snapshots = Snapshots(facts)
        with only_run(self.settings, "train"):
            open_registry(self.settings.mlruns_dir)
            todo = steps(snapshots, wanted, churn=definitions(self.settings.churn), mlruns=self.settings.mlruns_dir)
            kept = [] if again else unchanged(todo, self.settings.mlruns_dir, facts)
            rest = [step for step in todo if step not in [outcome.step for outcome in kept]]
            if all(step.in_need for step in rest):
                rest = [step for step in rest if needed(step, self.settings.mlruns_dir)]
            outcomes = [*kept, *self._train(rest, snapshots)]
        self._show_models(outcomes)
        return outcomes

    def _train(self, todo: Sequence[Step], snapshots: Snapshots) -> list[Outcome]:
        from training.churn_definition import definitions
        from training.pipeline import snapshot_days, train

        if not todo:
            return []
        models = tuple({step.model for step in todo})
        days = snapshot_days(snapshots.facts, models, churn=definitions(self.settings.churn))
        if days:
            text = f"features as of {len(days)} days"
            with self.screen.progress(text, len(days)) as advance:
                for _ in snapshots.prepare(days):
                    advance()
        outcomes = []
        with self.screen.progress("training", len(todo)) as advance:
            for outcome in train(
                list(todo), self.settings.mlruns_dir, snapshots, who=getpass.getuser(), clock=self.settings.clock
            ):
                outcomes.append(outcome)
                advance()
        return outcomes

    def _show_models(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.refused:
                self.screen.say(f"{outcome.step.model} ({outcome.step.engine}) was not trained: {outcome.refused}")
            elif outcome.registered is not None:
                self.screen.say(_what_became(outcome, outcome.registered))
        for model in dict.fromkeys(outcome.step.model for outcome in outcomes):
            self._show_model(model, [o for o in outcomes if o.step.model == model and (o.metrics or o.baselines)])

    def _show_model(self, model: str, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        figures = {f"{o.step.engine}, {_label(o)}": o.metrics for o in outcomes}
        figures |= outcomes[0].baselines
        columns = [name for name in SHOWN_METRICS if any(name in row for row in figures.values())]
        rows = [(name, *(row.get(column, "-") for column in columns)) for name, row in figures.items()]
        self.screen.table(f"{model}: on the test window, beside its baselines", (model, *columns), rows)

    def serve(self) -> int:
        """Serve until Ctrl-C; returns the server's exit code."""
        made = () if self.settings.api_keys else (secrets.token_urlsafe(24),)
        settings = replace(self.settings, api_keys=self.settings.api_keys or made)
        with ExitStack() as stack:
            url = stack.enter_context(store_url(settings))
            configured = replace(settings, redis_url=url)
            server = stack.enter_context(running_server(configured, log=settings.data_dir / "serve.log"))
            if made:
                self.screen.say(f"RAPPORT_API_KEYS is not set. Made a key for this run: [bold]{made[0]}[/bold]")
            self.say_addresses(server)
            self._say_age(url)
            return max(0, server.wait())

    def say_addresses(self, server: Server) -> None:
        """Where to look."""
        self.screen.say(f"API page      {server.address}/docs   (any user name; the API key is the password)")
        self.screen.say(f"MLflow's page {mlflow_command(self.settings)}   then http://127.0.0.1:5000")
        self.screen.say(f"Log           {server.log}")
        self.screen.say("Ctrl-C stops the server.")

    def _say_age(self, url: str) -> None:
        stamp = self.store(url).read_stamp()
        if stamp is None:
            self.screen.say('Nothing is published yet: run "rapport publish --as-of …"; until then /v1/score answers 503.')
            return
        age_h = ((self.settings.now or datetime.now(UTC)) - stamp.as_of_moment).total_seconds() / 3600
        if age_h > self.settings.max_staleness_h:
            self.screen.say(
                f"Features are as of {stamp.as_of}, {age_h / 24:,.0f} days ago: rows will be answered as STALE. "
                f"To replay that moment: rapport serve --now {stamp.as_of}"
            )

    def status(self) -> dict[str, Any]:
        """What is there."""
        found: dict[str, Any] = {"facts": None, "store": None, "events": None}
        try:
            found["facts"] = asdict(read_manifest(facts_folder(self.settings)))
        except FactsMissing as error:
            self.screen.say(f"{error}: {error.remedy}")
        try:
            with store_url(self.settings) as url:
                store = RedisStore(url, prefix=self.settings.key_prefix)
                stamp = store.read_stamp()
                found["store"] = {"version": store.check_server(), "stamp": asdict(stamp) if stamp else None}
                found["events"] = EventJobs(self.settings, self.screen).figures(url)
        except StoreUnavailable as error:
            self.screen.say(f"{error}: {error.remedy}")
        found["models"] = {m.label: list(m.aliases) for m in registered_models(self.settings.mlruns_dir)}
        self.screen.table("Rapport", ("what", "state"), status_rows(found))
        return found

    def store(self, url: str) -> RedisStore:
        """The online store at an address, found fit for use."""
        store = RedisStore(url, prefix=self.settings.key_prefix)
        store.check_server()
        return store


def import_figures(imported: Imported) -> dict[str, Any]:
    """One import for a program."""
    return {**asdict(imported.report), "rows": imported.manifest.rows, "facts_hash": imported.manifest.hash}


def _purchases_in(folder: Path) -> int:
    """How many purchases are in the facts that an import may replace."""
    try:
        return read_manifest(folder).rows["purchases"]
    except FactsMissing:
        return 0


def mapped_figures(imported: MappedImport) -> dict[str, Any]:
    """One import by a mapping for a program."""
    return {
        **(asdict(imported.report) if imported.report else {}),
        "files": list(imported.files),
        "skipped": [asdict(skipped) for skipped in imported.skipped],
        "notes": [asdict(note) for note in imported.notes],
        "gone": list(imported.gone),
        "rows": imported.manifest.rows,
        "facts_hash": imported.manifest.hash,
    }


def outcome_figures(outcome: Outcome) -> dict[str, Any]:
    """One training outcome for a program."""
    return {
        "model": outcome.step.model,
        "engine": outcome.step.engine,
        "registered": outcome.registered.label if outcome.registered else None,
        "aliases": list(outcome.registered.aliases) if outcome.registered else [],
        "trained": outcome.trained is not None,
        "promoted": outcome.promoted,
        "verdict": dict(outcome.verdict) or None,
        "refused": outcome.refused or None,
        "metrics": dict(outcome.metrics),
        "baselines": {name: dict(figures) for name, figures in outcome.baselines.items()},
    }


def _label(outcome: Outcome) -> str:
    """Name, version and aliases of what was registered."""
    registered = outcome.registered
    return f"{registered.label} ({', '.join(registered.aliases) or 'no alias'})" if registered else ""


def _what_became(outcome: Outcome, registered: RegisteredModel) -> str:
    """Whether a version was promoted or the champion kept, and why."""
    name = f"{registered.label} ({outcome.step.engine})"
    if outcome.trained is None:
        return f"{name} is current: facts, code and features are the same"
    said = outcome.verdict
    if outcome.promoted:
        return f"{name} is promoted. {said['sentence']}"
    against = f"{said['against']} stays champion" if said.get("against") else "there is no champion yet"
    return f"{name} is not promoted, {against}. {said['code']}: {said['sentence']} What to do: {said['remedy']}."


def status_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The state of things in a few lines."""
    rows = []
    if found["facts"]:
        facts = found["facts"]
        span = f"{calendar_day(facts['first_day'])} to {calendar_day(facts['until_day'] - 1)}"
        rows.append(("facts", f"{facts['source']}, {facts['rows']['purchases']:,} lines, {span}"))
    if found["store"]:
        stamp = found["store"]["stamp"]
        state = f"{stamp['members']:,} members as of {stamp['as_of']}" if stamp else "nothing published"
        rows.append(("store", f"Redis {found['store']['version']}: {state}"))
    if found["events"]:
        events = found["events"]
        kept = events["durable"].replace("_", " ")
        aside = f"{events['quarantine']:,} in quarantine, {events['dead']:,} failed"
        rows.append(("events", f"{events['waiting']:,} in the streams, {aside}; acknowledged means on {kept}"))
    rows.extend((label, ", ".join(aliases) or "no alias") for label, aliases in found["models"].items())
    return rows
