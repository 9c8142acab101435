"""What Redis complains about as our errors: what happened and what to do, never its own words, which may hold an address."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from features.errors import ConfigurationError, StoreUnavailable

_LOOK = 'see that Redis runs and REDIS_URL is right: "rapport status"'
_CODES = {
    "OOM": ("is out of memory", "give Redis more memory (maxmemory) and run it again: nothing half-written is served"),
    "READONLY": ("is a replica that takes no writes", "point REDIS_URL at the primary"),
    "MISCONF": ("cannot save to its disk and so takes no writes", "see Redis' log and the space on its disk"),
    "WRONGTYPE": (
        "holds a key of another type in the way",
        "another program writes under our prefix: remove its keys, or set RAPPORT_KEY_PREFIX",
    ),
    "NOPERM": ("does not let this user do that", "allow the commands of docs/operate.md in the ACL"),
    "CROSSSLOT": ("is a cluster, which takes no command on several members' keys", "use one Redis server with replicas"),
    "MOVED": ("is a cluster, which takes no command on several members' keys", "use one Redis server with replicas"),
}
"""By the first word of an error reply."""


@contextmanager
def translated() -> Iterator[None]:
    """Redis' errors as ours, without its message, which may hold an address with a password."""
    try:
        yield
    except redis.RedisError as error:
        happened, remedy = _CODES.get(_code(error), ("does not answer as it should", _LOOK))
        raise StoreUnavailable(f"the online store {happened} ({type(error).__name__})", remedy=remedy) from error


def _code(error: redis.RedisError) -> str:
    """The word by which the reply begins. redis-py takes it off where it has a class for it, and puts words before it."""
    return error.status_code or str(error).rpartition("caused error: ")[2].partition(" ")[0]


@contextmanager
def address_checked() -> Iterator[None]:
    """An address that cannot be read as our error, without the reason, which may quote a part of the password."""
    try:
        yield
    except ValueError:
        raise ConfigurationError(
            "the address of the online store cannot be used",
            remedy="write REDIS_URL as redis://:password@host:6379/0, and a / or # in the password as %2F or %23",
        ) from None
