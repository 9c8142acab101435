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
        stored: Sequence[StoredMember] | None
        try:
            stored = await self._reader.members(member_ids, moment)
        except StoreUnavailable:
            stored = None
        return await self.made_of(member_ids, stored, models, moment)

    async def made_of(
        self, member_ids: Sequence[str], stored: Sequence[StoredMember] | None, models: ModelSet, moment: datetime
    ) -> list[Member]:
        """The same of what was read of them; None where the store did not answer."""
        personal = stored is not None
        stored = stored if stored is not None else [_NOBODY] * len(member_ids)
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
        return await self._in_groups(found, models)

    async def close(self) -> None:
        """Let what is under way end."""
        await self._reader.close()

    async def _in_groups(self, members: list[Member], models: ModelSet) -> list[Member]:
        """The members with their buying groups: as their list has it, or of what they bought where it cannot be read."""
        if models.recommender is None or not len(models.recommender.catalogue.group_centres):
            return members
        label = models.registered["recommender"].label
        found = [replace(one, group=one.own.group) if one.own and one.own.model == label else one for one in members]
        lost = [place for place, one in enumerate(found) if one.standing["reason"] == "record_unreadable" and one.own is None]
        pasts = await self._reader.pasts([found[place].member_id for place in lost]) if lost else []
        for place, past in zip(lost, pasts, strict=True):
            found[place] = replace(found[place], group=self._live_of(models).group_of(past))
        return found

    def _moved(self, member: Member, one: StoredMember, models: ModelSet, moment: datetime) -> Member:
        """The member with their list as of now; as the night left them where that cannot be made."""
        if one.stamp is None:
            return member
        today, as_of = today_of(one.stamp, moment), member.standing["as_of"] or one.stamp.as_of
        try:
            own = self._live_of(models).anew(member.own, one.past, one.since, as_of=as_of, today=today)
        except Exception:  # the named edge: a list that cannot be made anew is still there as of the night
            logger.exception("a list could not be made anew")
            return member
        if own is None:
            return member
        standing = member.standing if member.own is not None else {**member.standing, "status": "OK", "reason": None}
        return replace(member, own=own, standing=standing, day=today, live=True)

    def _live_of(self, models: ModelSet) -> LiveLists:
        """What makes lists anew by these models, kept while they answer."""
        if self._live is None or self._live.models is not models:
            self._live = LiveLists(models)
        return self._live
