"""What is published when a trigger fires: its schema, in JSON. docs/triggers.md shows one."""

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from serving.triggers.arms import arm_of
from serving.triggers.declared import CONTROL, Trigger
from serving.triggers.happening import Happening

SCHEMA_VERSION = 1


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One firing.

    Attributes
    ----------
    id
        Of the firing: the same however often it arrives.
    deliver
        False for the arm `control`: it is recorded and must not be sent.
    event
        What set it off: id, type, moment and item; None where the passing of time did.
    fired_at, expires_at
        When it was decided, and until when it may be delivered; ISO 8601 UTC.
    scores
        The member as `/v1/score` answers; None where their features are not known.
    passport
        What it takes to make the scores again, as `/v1/score` answers.
    items
        Recommended items under the rules of the placement, as `/v1/recommend` lists them; None where none were asked for.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    trigger: str
    meaning: str
    campaign: str
    arm: str
    deliver: bool
    member_id: str
    event: dict[str, Any] | None
    fired_at: str
    expires_at: str
    placement: str | None
    scores: dict[str, Any] | None
    passport: dict[str, Any] | None
    items: list[Any] | None

    def to_bytes(self) -> bytes:
        """The message as JSON."""
        return msgspec.json.encode(self)


def message_of(
    trigger: Trigger,
    firing: str,
    member_id: str,
    happening: Happening | None,
    *,
    moment: datetime,
    key: bytes,
    scores: dict[str, Any] | None = None,
    passport: dict[str, Any] | None = None,
    items: list[Any] | None = None,
) -> Message:
    """The message about a firing.

    Parameters
    ----------
    key
        Secret that arms are drawn by.
    """
    arm = arm_of(trigger.arms, trigger.campaign, member_id, key=key).name
    return Message(
        id=firing,
        trigger=trigger.name,
        meaning=trigger.meaning,
        campaign=trigger.campaign,
        arm=arm,
        deliver=arm != CONTROL,
        member_id=member_id,
        event=None if happening is None else happening.told(),
        fired_at=moment.isoformat(),
        expires_at=(moment + trigger.valid_for).isoformat(),
        placement=trigger.placement,
        scores=scores,
        passport=passport,
        items=items,
    )


def read_message(value: bytes) -> Message:
    """The message in a text; ValueError if it is none, or of another version."""
    found = msgspec.json.decode(value, type=Message)
    if found.schema_version != SCHEMA_VERSION:
        raise ValueError(f"this message has schema {found.schema_version}, not {SCHEMA_VERSION}")
    return found


def firing_of(trigger: str, member_id: str, occasion: str) -> str:
    """Id of a firing: of one trigger, for one member, on one occasion (an event, or a night). 32 hexadecimal digits."""
    text = "\0".join((trigger, member_id, occasion)).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()
