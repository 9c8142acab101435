"""Features, tags, scores and lists of all members into the online store."""

from __future__ import annotations

from typing import Any

from commands.features import FeatureJobs
from commands.members import MemberJobs
from features.build import FeatureRows, build
from features.contract import CONTRACT
from features.facts import Facts
from features.jobs import as_of_moment, only_run, open_facts, store_url
from features.online_store import RedisStore
from features.publish import Published, publish
from features.screen import Screen
from features.settings import Settings
from training.registry import registered_models


class PublishJobs:
    """All that is published, whole or step by step, as the nightly run and the demo take the steps."""

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self.settings = settings
        self.screen = screen

    def run(self, as_of: str, *, all_rows: bool = False) -> dict[str, Any]:
        """Features, scores and lists of all members into the online store."""
        with only_run(self.settings, "publish"), store_url(self.settings) as url:
            facts, rows = self.build(as_of)
            self.opt_outs(url, facts)
            published = self.features(url, rows, all_rows=all_rows)
            self.shop(url, facts)
            tags = self.tags(url, facts, rows)
            used = self.answers(url, facts, rows)
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

    def features(self, url: str, rows: FeatureRows, *, all_rows: bool = False) -> Published:
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

    def shop(self, url: str, facts: Facts) -> int:
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

    def opt_outs(self, url: str, facts: Facts) -> int:
        """Who refused marketing, before anything else: answers honour it at once. Returns how many there are."""
        from features.opt_outs import opted_out_members

        refused = opted_out_members(facts)
        added, gone = self.store(url).replace_opt_outs(refused)
        if added or gone:
            self.screen.say(f"{len(refused):,} members refuse marketing: {added:,} new, {gone:,} no longer.")
        return len(refused)

    def tags(self, url: str, facts: Facts, rows: FeatureRows) -> int:
        """Tags for audiences; returns how many somebody has."""
        from commands.audience import publish_tags

        with self.screen.progress("tags to Redis", 1) as advance:
            stamp = publish_tags(self.settings, url, facts, rows)
            advance()
        return sum(members > 0 for members in stamp.counts.values())

    def answers(self, url: str, facts: Facts, rows: FeatureRows) -> dict[str, str]:
        """Scores and lists of the champions there are."""
        from training.publish_answers import publish_answers

        store = self.store(url)
        if not registered_models(self.settings.mlruns_dir):
            self.screen.say("No models yet, so no scores and lists: rapport train, then publish again.")
            return {}
        with self.screen.progress("scores and lists to Redis", len(rows.member_ids)) as advance:
            return publish_answers(rows, facts, self.settings.mlruns_dir, store, progress=advance)

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

    def store(self, url: str) -> RedisStore:
        """The online store at an address, found fit for use."""
        store = RedisStore(url, prefix=self.settings.key_prefix)
        store.check_server()
        return store
