"""Which arm of a campaign a member is in: the same one each time, on every machine, and not to be guessed without the key."""

import hashlib
from collections.abc import Sequence

from serving.triggers.declared import Arm

_WHOLE = 2.0**64


def arm_of(arms: Sequence[Arm], campaign: str, member_id: str, *, key: bytes) -> Arm:
    """The arm of a member: a keyed hash of campaign and member, laid over the shares in their order.

    Arms of different campaigns are independent of each other; all triggers of one campaign give a member the same arm where
    they declare the same arms.
    """
    text = f"{campaign}\0{member_id}".encode()
    drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8, key=hashlib.sha256(key).digest()).digest()) / _WHOLE
    reached = 0.0
    for arm in arms:
        reached += arm.share
        if drawn < reached:
            return arm
    return arms[-1]
