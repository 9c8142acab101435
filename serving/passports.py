"""The passport of an answer: all that it takes to make the answer again."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from features.contract import CONTRACT_HASH
from serving.batch import Reply
from serving.bundle import ModelSet
from serving.outputs import MODEL_OF
from serving.scoring import PublishedFeatures

MOST_WRITTEN = 64
"""Passports kept at one time: where the clock stands still, as in a demo, no new moment makes room."""
_ENCODER = msgspec.json.Encoder()


class PassportPrinter:
    """Passports of scores as JSON. Those of one batch differ in their id alone, so the rest is written once for all of them."""

    def __init__(self) -> None:
        self._moment: datetime | None = None
        self._written: dict[tuple[Any, ...], tuple[bytes, ModelSet, PublishedFeatures | None]] = {}

    def answer(self, reply: Reply, models: ModelSet, outputs: tuple[str, ...], *, request_id: str) -> bytes:
        """The whole body of an answer: its passport, as `score_schemas.ScorePassport`, and its rows."""
        if reply.moment is not self._moment or len(self._written) >= MOST_WRITTEN:
            self._moment = reply.moment
            self._written.clear()
        rest = self._rest(reply, models, outputs)
        return b'{"passport":{"decision_id":"%b",%b,"rows":%b}' % (request_id.encode(), rest, _ENCODER.encode(reply.rows))

    def _rest(self, reply: Reply, models: ModelSet, outputs: tuple[str, ...]) -> bytes:
        """A passport from behind its id on."""
        if reply.runs:
            return _ENCODER.encode(_passport(reply, models, outputs))[1:]
        known = (outputs, reply.reasons, id(models), id(reply.published))
        written = self._written.get(known)
        if written is None:  # what the ids stand for is kept beside it, so that nothing else takes their place
            written = (_ENCODER.encode(_passport(reply, models, outputs))[1:], models, reply.published)
            self._written[known] = written
        return written[0]


def score_passport(reply: Reply, models: ModelSet, outputs: Iterable[str], *, request_id: str) -> dict[str, Any]:
    """The passport of a reply, as `score_schemas.ScorePassport`, for those who send it otherwise than as an HTTP answer."""
    return {"decision_id": request_id, **_passport(reply, models, outputs)}


def _passport(reply: Reply, models: ModelSet, outputs: Iterable[str]) -> dict[str, Any]:
    """A passport without its id, ready to be written as JSON."""
    stamp = reply.published.stamp if reply.published is not None else None
    passport = base_passport(reply.moment.isoformat(), "")
    del passport["decision_id"]
    if stamp is not None:
        used = [MODEL_OF[output] for output in outputs if MODEL_OF[output] in models.served]
        passport["models"] = {name: models.passports[name] for name in used}
        passport["features_as_of"] = stamp.as_of
        passport["features_age_seconds"] = max(0, int((reply.moment - stamp.as_of_moment).total_seconds()))
    generation = stamp.generation if stamp is not None else None
    return {**passport, "features_generation": generation, "nightly": reply.runs, "reasons": reply.reasons}


def list_passport(request_id: str, models: ModelSet, moment: datetime) -> dict[str, Any]:
    """The passport of lists as far as models and moment go, as `list_schemas.ListPassport`, ready to be written as JSON."""
    passport = base_passport(moment.isoformat(), request_id)
    if "recommender" in models.served:
        passport["models"] = {"recommender": models.passports["recommender"]}
    return passport


def base_passport(moment: str, request_id: str) -> dict[str, Any]:
    """What every passport holds, as `schemas.Passport`, before models and features are named."""
    return {
        "decision_id": request_id,
        "moment": moment,
        "contract_hash": CONTRACT_HASH,
        "models": {},
        "features_as_of": None,
        "features_age_seconds": None,
    }
