"""Which models a worker serves, and how others take their place: seen in the registry, tried, loaded, swapped by one reference.

A request keeps the set it began with. A version that is refused leaves the one before it in place, and is not tried again
until the registry names another.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from features.errors import RapportError
from serving.bundle import ModelSet
from serving.metrics import Meter
from serving.problems import ApiError
from serving.served import KINDS, ServedModel, load_served
from serving.trials import Trials
from training.registry import CHALLENGER, CHAMPION, DATABASE, RegisteredModel, registered_models

logger = logging.getLogger("rapport")
POLL_S = 0.5
RECOMMENDER = "recommender"
OTHERS_KEPT = 4
"""Versions kept in memory that no alias points to: those asked for by number, and champions of before."""
Seen = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True)
class Lineup:
    """What stands under which alias. `champions` serve; `refused` says why a version that should serve does not."""

    champions: ModelSet
    challengers: Mapping[str, ServedModel]
    refused: Mapping[str, str]

    @cached_property
    def challenging(self) -> ModelSet:
        """The challengers there are, and the champions of the other models."""
        return self.champions.with_models(self.challengers, CHALLENGER)

    @cached_property
    def by_label(self) -> dict[str, ModelSet]:
        """Sets made for versions that were asked for by number: one each, so that such requests share batches."""
        return {}


class ModelWatch:
    """The models of one worker.

    Parameters
    ----------
    trials
        What is tried before it is loaded; without it the champions there are at first are loaded at once.
    """

    def __init__(self, mlruns: Path, *, trials: Trials | None = None, meter: Meter | None = None) -> None:
        self._mlruns = mlruns
        self._meter = meter or Meter()
        self._trials = trials or Trials(None)
        self._loaded: dict[tuple[str, str], ServedModel] = {}
        self._loading: set[str] = set()
        self._refused: dict[tuple[str, str], str] = {}
        self._seen: Seen = ()  # challengers are taken in by the first look, when champions serve already
        self._lineup = Lineup(ModelSet.of_champions({}), {}, {})
        self._lineup = self._next(CHAMPION) if trials is not None else self._first()

    @property
    def lineup(self) -> Lineup:
        """What stands now."""
        return self._lineup

    @property
    def champions(self) -> ModelSet:
        """What answers where a request does not ask for another model."""
        return self._lineup.champions

    def models_for(self, wanted: str) -> ModelSet:
        """The set of models that a request asks for: an alias, or one version in place of its champion.

        Raises
        ------
        ApiError
            There is no such version, or it has to be loaded first.
        """
        lineup = self._lineup
        if wanted == CHAMPION:
            return lineup.champions
        if wanted == CHALLENGER:
            return lineup.challenging
        if wanted.startswith(f"{RECOMMENDER}@"):
            raise ApiError("model_not_found", "this model makes lists, and scores nobody")
        if wanted in lineup.by_label:
            return lineup.by_label[wanted]
        for model in [*lineup.champions.served.values(), *lineup.challengers.values(), *self._loaded.values()]:
            if model.registered.label == wanted:
                return lineup.by_label.setdefault(wanted, lineup.champions.with_models({model.registered.name: model}, ""))
        self._begin_loading(wanted)
        raise ApiError("model_loading", "this version is being loaded: ask again in some seconds")

    def models_by_chance(self, request_id: str, canary: float) -> ModelSet:
        """The champions, or for a share of requests the challengers; the id of a request decides, so that it can be told."""
        lineup = self._lineup
        chosen = bool(lineup.challengers) and int(request_id[:8], 16) < canary * 2**32
        return lineup.challenging if chosen else lineup.champions

    async def run(self) -> None:
        """Look at the registry again and again; ends when it is cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.look()

    async def look(self) -> bool:
        """Take in what has changed in the registry; says whether other models serve now."""
        seen = self._signature()
        if seen == self._seen:
            return False
        try:
            lineup = await asyncio.to_thread(self._next, CHAMPION, CHALLENGER)
        except RapportError as error:  # locked or unreadable for now: what serves goes on serving
            logger.warning("the registry cannot be read: %s", error)
            return False
        self._seen = seen
        changed = lineup.champions.registered != self._lineup.champions.registered
        self._lineup = lineup
        if changed:
            self._meter.add("rapport_model_swaps_total")
            logger.info("serving %s", ", ".join(model.label for model in lineup.champions.registered.values()))
        return changed

    def _first(self) -> Lineup:
        champions = ModelSet.load(self._mlruns)
        self._keep(champions.served)
        return Lineup(champions, {}, {})

    def _signature(self) -> Seen:
        """When the registry's files were last written: the database, and what SQLite keeps beside it."""
        return tuple(_written(self._mlruns / f"{DATABASE}{end}") for end in ("", "-wal", "-journal"))

    def _next(self, *aliases: str) -> Lineup:
        """What should stand now under these aliases; blocking, for a thread."""
        registered = [model for model in registered_models(self._mlruns) if model.name in KINDS]
        wanted = {alias: [model for model in registered if alias in model.aliases] for alias in aliases}
        self._trials.ahead([model for models in wanted.values() for model in models if self._is_new(model)])
        refused: dict[str, str] = {}
        before = self._lineup.champions.served
        champions = self._loaded_of(wanted[CHAMPION], refused, before)
        challengers = self._loaded_of(wanted.get(CHALLENGER, ()), refused, {})
        self._keep({**challengers, **before, **champions})
        return Lineup(ModelSet.of_champions(champions), challengers, refused)

    def _loaded_of(
        self, models: Sequence[RegisteredModel], refused: dict[str, str], before: Mapping[str, ServedModel]
    ) -> dict[str, ServedModel]:
        """Versions by model; one that is refused leaves the one before it."""
        found = {model.name: self._load(model, refused) or before.get(model.name) for model in models}
        return {name: served for name, served in found.items() if served is not None}

    def _is_new(self, model: RegisteredModel) -> bool:
        key = (model.label, model.sha256)
        return key not in self._loaded and key not in self._refused

    def _load(self, model: RegisteredModel, refused: dict[str, str]) -> ServedModel | None:
        """A version from memory or from its files, which a child process tries first; None if it is refused."""
        key = (model.label, model.sha256)
        if key in self._loaded:
            return self._loaded[key]
        if key not in self._refused:
            try:
                return load_served(self._mlruns, model, tried=self._trials.of(model))
            except RapportError as error:
                logger.error("%s is not served: %s (%s)", model.label, error, error.remedy)  # no stack: ours
                self._refused[key] = str(error)
                self._meter.add("rapport_model_refused_total")
        refused[model.label] = self._refused[key]
        return None

    def _keep(self, models: Mapping[str, ServedModel]) -> None:
        """Remember versions, and forget those that were used longest ago."""
        for model in models.values():
            key = (model.registered.label, model.registered.sha256)
            self._loaded.pop(key, None)
            self._loaded[key] = model
        for key in list(self._loaded)[: max(0, len(self._loaded) - len(models) - OTHERS_KEPT)]:
            del self._loaded[key]

    def _begin_loading(self, label: str) -> None:
        """Load a version on the side; ApiError if there is none, or it is refused."""
        known = next((model for model in registered_models(self._mlruns) if model.label == label), None)
        if known is None or known.name not in KINDS:
            raise ApiError("model_not_found", "no such version of a model is registered")
        if (known.label, known.sha256) in self._refused:
            raise ApiError("bundle_refused", "this version failed its check; the log says why")
        if label not in self._loading and len(self._loading) < OTHERS_KEPT:
            self._loading.add(label)
            task = asyncio.get_running_loop().create_task(self._load_aside(known))
            task.add_done_callback(lambda _: self._loading.discard(label))

    async def _load_aside(self, model: RegisteredModel) -> None:
        served = await asyncio.to_thread(self._load, model, {})
        if served is not None:
            self._keep({model.name: served})


def _written(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
