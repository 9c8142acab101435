"""Everyone's scores of a night: into a file, held against the night before, and into the online store."""

from pathlib import Path

import numpy as np

from commands.night import TO_LOOK_AT, Night
from commands.publish import PublishJobs
from features.contract import CONTRACT
from features.days import calendar_day
from features.settings import Settings
from features.state import State
from training.answers import BLOCK, Champions, able_to_score, champions, scored
from training.publish_answers import publish_scores, published_already
from training.registry import registered_models
from training.score_files import ScoreKey, kept_days, key_of, path_of, read_scores, write_scores

JUMP = 0.05
"""Difference of two nights' mean probabilities that a person should look at."""


class NightScores:
    """Scores of the champions that can answer; the same facts and models score and publish nobody twice."""

    def __init__(self, publishing: PublishJobs) -> None:
        self.settings = publishing.settings
        self.screen = publishing.screen
        self.publishing = publishing

    @property
    def folder(self) -> Path:
        """Where the scores of each night are kept."""
        return self.settings.data_dir / "scores"

    def into_file(self, night: Night, state: State) -> Champions:
        """Everyone's scores into a file, unless the very same stand there."""
        with night.record.step("score") as step:
            known = state.scalars(night.facts, CONTRACT)
            models = champions(self.settings.mlruns_dir, skip_refused=True)
            first = next(state.blocks(night.facts, CONTRACT, known, block=BLOCK), None)
            models = able_to_score(first(), models) if first else models
            self._say_refused(night, models)
            if not models.able:
                step.skip("there is no champion that could answer")
                night.record.warn("nobody was scored: there is no champion", way_to_a_champion(self.settings))
                return models
            key = self._key(night, models)
            step.found["models"] = {champion.name: champion.registered.label for champion in models.able}
            if key_of(path_of(self.folder, night.day)) == key:
                step.reuse("the same facts and models had scored everyone already")
                return models
            with self.screen.progress("scores of everyone", night.counts["members"]) as advance:
                blocks = scored(state.blocks(night.facts, CONTRACT, known, block=BLOCK), models.able)
                step.found["members"] = write_scores(self.folder, key, blocks, progress=advance)
            self._compare(night, models)
        return models

    def _key(self, night: Night, models: Champions) -> ScoreKey:
        return ScoreKey(
            as_of=night.as_of,
            day=night.day,
            facts_hash=night.facts.manifest.hash,
            contract=CONTRACT.hash,
            thresholds=tuple(sorted(self.settings.thresholds)),
            models=tuple(champion.described for champion in models.able),
            explained=tuple(champion.name for champion in models.able if champion.explained),
        )

    def _say_refused(self, night: Night, models: Champions) -> None:
        for name, why in models.refused.items():
            night.record.warn(f"{name} answers nobody tonight: {why}", "promote a version that can answer, or train again")
            night.exit_code = TO_LOOK_AT

    def _compare(self, night: Night, models: Champions) -> None:
        """Warn of probabilities that jumped since the last night kept: more often broken facts than changed members."""
        before = [day for day in kept_days(self.folder) if day < night.day]
        if not before:
            return
        then, now = (mean_scores(path_of(self.folder, day)) for day in (before[-1], night.day))
        for name in sorted(then.keys() & now.keys()):
            if abs(now[name] - then[name]) > JUMP:
                night.record.warn(
                    f"the mean of {name} went from {then[name]:.3f} on {calendar_day(before[-1])} to {now[name]:.3f}",
                    f'see what moved: "rapport drift --as-of {calendar_day(night.day)}"',
                )

    def publish(self, night: Night, url: str, models: Champions) -> None:
        """The kept scores into the online store, unless the very same are there."""
        with night.record.step("publish scores") as step:
            if not models.able:
                step.skip("nobody was scored")
                return
            store = self.publishing.store(url)
            key = self._key(night, models)
            if published_already(store, key.hash):
                step.reuse("these scores are published")
                return
            with self.screen.progress("scores to Redis", night.counts["members"]) as advance:
                edition = publish_scores(
                    read_scores(path_of(self.folder, night.day)),
                    models.able,
                    store,
                    as_of=night.as_of,
                    contract=CONTRACT.hash,
                    made_from=key.hash,
                    progress=advance,
                )
            step.found["members"] = edition.members if edition else 0


def way_to_a_champion(settings: Settings) -> str:
    """What to do where nobody serves: train, or look why the gate let nothing through."""
    there = registered_models(settings.mlruns_dir)
    return 'see why the gate let no version through: "rapport models"' if there else 'train models: "rapport retrain"'


def mean_scores(path: Path) -> dict[str, float]:
    """Mean of each column of probabilities in a file of scores, by name."""
    sums: dict[str, list[float]] = {}
    for block in read_scores(path):
        for name, values in block.columns.items():
            if name.endswith(".probability"):
                known = values[~np.isnan(values)]
                total = sums.setdefault(name, [0.0, 0.0])
                total[0], total[1] = total[0] + float(known.sum(dtype=np.float64)), total[1] + len(known)
    return {name: total / count for name, (total, count) in sums.items() if count}
