"""The members that a request for lists asks for: as the night left them, or anew where they did something since."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from features.errors import StoreUnavailable
from serving.bundle import ModelSet
from serving.candidates import Member, read_member
from serving.list_reading import ListReader, StoredMember, today_of
from serving.live_members import LiveLists

logger = logging.getLogger("rapport")
_NOBODY = StoredMember(None, refused=False)


class ListMembers:
    """Members by their ids, read from the store."""

    def __init__(self, reader: ListReader, *, stale_after_s: float) -> None:
        self._reader, self._stale_after_s = reader, stale_after_s
        self._live: LiveLists | None = None

    async def of(self, member_ids: Sequence[str], models: ModelSet, moment: datetime) -> list[Member]:
        """The members in the order asked for; the same for everybody where the store does not answer."""
        personal = True
        try:
            stored = await self._reader.members(member_ids, moment)
        except StoreUnavailable:
            stored, personal = [_NOBODY] * len(member_ids), False
        found = []
        for member_id, one in zip(member_ids, stored, strict=True):
            member = read_member(
                member_id,
                one.content,
                refused=one.refused,
                personal=personal,
                moment=moment,
                stale_after_s=self._stale_after_s,
                stamp=one.stamp,
            )
            if one.since:
                member = self._moved(member, one, models, moment)
                await asyncio.sleep(0)  # a list made anew takes as long as ten that stand: others are answered in between
            found.append(member)
        return found

    async def close(self) -> None:
        """Let what is under way end."""
        await self._reader.close()

    def _moved(self, member: Member, one: StoredMember, models: ModelSet, moment: datetime) -> Member:
        """The member with their list as of now; as the night left them where that cannot be made."""
        if one.stamp is None:
            return member
        if self._live is None or self._live.models is not models:
            self._live = LiveLists(models)
        today, as_of = today_of(one.stamp, moment), member.standing["as_of"] or one.stamp.as_of
        try:
            own = self._live.anew(member.own, one.past, one.since, as_of=as_of, today=today)
        except Exception:  # the named edge: a list that cannot be made anew is still there as of the night
            logger.exception("a list could not be made anew")
            return member
        if own is None:
            return member
        standing = member.standing if member.own is not None else {**member.standing, "status": "OK", "reason": None}
        return replace(member, own=own, standing=standing, day=today, live=True)
