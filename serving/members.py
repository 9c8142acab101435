"""One member as people see them, and their erasure: GET and DELETE /v1/members/{member_id}."""

import math
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from features.answers import CODE, AnsweringModel, NightlyAnswer
from features.erasures import Erasure, Erasures
from features.member_store import CONSENTS, Erased, KnownMember, MemberStore
from features.settings import Settings
from serving.desk import Desk
from serving.masking import masked
from serving.parsing import in_words
from serving.problems import CODES, ApiError, answer_json
from serving.schemas import Identifier
from training.predictors.reason_codes import CODE_NAMES

FILES_WITHIN = timedelta(hours=24)
WHOLE_NUMBERS = ("spend_cents_365d", "recency_score", "frequency_score", "monetary_score")
TEXTS = ("lifecycle_stage", "rfm_tier", "last_purchase")
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


class Members:
    """The handlers, on one store and one data folder."""

    def __init__(self, settings: Settings, store: MemberStore, desk: Desk) -> None:
        self._settings, self._store, self._desk = settings, store, desk

    async def view(self, request: Request) -> Response:
        """GET /v1/members/{member_id}."""
        member_id = asked_for(request)
        known = await self._desk.run(lambda: self._store.read_member(member_id))
        if known is None:
            raise ApiError("unknown_member", "nothing was published for this id")
        return answer_json(member_view(member_id, known, moment=self._settings.clock()))

    async def erase(self, request: Request) -> Response:
        """DELETE /v1/members/{member_id}: written down first, so that it is owed even if the store does not answer."""
        member_id = asked_for(request)
        by = str(request.scope.get("rapport.key_name", "api"))
        return answer_json(await self._desk.run(lambda: self._erase(member_id, by)), 202)

    def _erase(self, member_id: str, by: str) -> dict[str, Any]:
        erasures, at = Erasures(self._settings.data_dir), self._settings.clock()
        asked = erasures.request(member_id, at=at, by=by)
        erased = self._store.erase(member_id)
        return receipt_of(erasures.done(asked, at=at, by=by, online=True), erased)


def asked_for(request: Request) -> str:
    """The member id in the path, found to be one; it may have slashes in it."""
    sent = request.path_params["member_id"]
    if not sent:
        raise ApiError("not_found", CODES["not_found"][1])
    try:
        return _IDENTIFIER.validate_python(sent)
    except ValidationError as error:
        problems = [{"pointer": "/member_id", "problem": in_words(found["msg"])} for found in error.errors(include_input=False)]
        raise ApiError("invalid_request", "the id in the path is not as ids are", errors=problems) from None


def receipt_of(erasure: Erasure, erased: Erased) -> dict[str, Any]:
    """What an erasure answers, as `schemas_members.ErasureReceipt`."""
    due = datetime.fromisoformat(erasure.requested_at) + FILES_WITHIN
    return {
        "receipt": erasure.receipt,
        "requested_at": erasure.requested_at,
        "online": {"erased_at": erasure.online_at, "keys": erased.keys, "tags": erased.tags},
        "files": {"erased_at": erasure.files_at or None, "due": None if erasure.files_at else due.isoformat()},
    }


def member_view(member_id: str, known: KnownMember, *, moment: datetime) -> dict[str, Any]:
    """What is told of a member, as `schemas_members.MemberView`."""
    stamp = known.stamp
    said = next((agreed for tag, agreed in CONSENTS.items() if tag in known.tags), None)
    return {
        "member_id": masked(member_id),
        "moment": moment.isoformat(),
        "features_as_of": stamp.as_of if stamp else None,
        "features_age_seconds": age_seconds(moment, stamp.as_of_moment) if stamp else None,
        "profile": {
            **{name: known.profile.get(name) or None for name in TEXTS},
            **{name: int(known.profile[name]) if known.profile.get(name) else None for name in WHOLE_NUMBERS},
        },
        "scores": scores_of(known.answer, moment=moment) if known.answer else [],
        "tags": list(known.tags),
        "tags_as_of": known.tags_as_of.isoformat() if known.tags_as_of else None,
        "consent": {
            "marketing": False if known.refused else said,
            "opted_out": known.refused or said is False,
        },
        "list_expires_seconds": known.list_seconds_left,
    }


def scores_of(answer: NightlyAnswer, *, moment: datetime) -> list[dict[str, Any]]:
    """Each model's last nightly answer, as `schemas_members.MemberScore`."""
    as_of = datetime.fromisoformat(answer.edition.as_of)
    return [
        {
            "model": model.label,
            "kind": model.kind,
            "definition": model.definition,
            "as_of": answer.edition.as_of,
            "age_seconds": age_seconds(moment, as_of),
            **_told(model, answer),
        }
        for model in answer.edition.models
    ]


def age_seconds(moment: datetime, as_of: datetime) -> int:
    """Whole seconds from then to the moment; 0 if that is earlier."""
    return max(0, int((moment - as_of).total_seconds()))


def _told(model: AnsweringModel, answer: NightlyAnswer) -> dict[str, Any]:
    """Values and reasons of one model: codes as their labels, missing ones as null."""
    start = f"{model.name}."
    values: dict[str, float | str | None] = {}
    places: dict[str, float] = {}
    adds: dict[str, float] = {}
    for column, dtype in answer.edition.columns:
        if not column.startswith(start):
            continue
        name, value = column.removeprefix(start), answer.values[column]
        if name.startswith("reason_"):
            place = name.removeprefix("reason_").removesuffix("_adds")
            (adds if name.endswith("_adds") else places)[place] = value
        elif dtype == CODE:
            values[name] = model.labels[int(value)] if value >= 0 else None
        else:
            values[name] = None if math.isnan(value) else value
    reasons = [{"code": CODE_NAMES[int(code)], "adds": adds[place]} for place, code in sorted(places.items()) if code >= 0]
    return {"values": values, "reasons": reasons}
