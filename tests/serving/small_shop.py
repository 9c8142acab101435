"""A shop of a few made-up members in a corner of the store, without any model: what members and audiences need."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from features.answers import AnswerEdition, AnsweringModel, AnswerStamp, pack_answers
from features.bulk_load import utf8
from features.contract import CONTRACT_HASH
from features.member_store import MemberStore
from features.online_store import RecommendationList, RecommendedItem
from features.settings import Settings
from features.stamp import Stamp
from serving.api import Api
from tests.features.test_tag_store import table_of
from tests.serving.asgi import Client

AS_OF = datetime(2018, 1, 1, 5, tzinfo=UTC)
NOW = datetime(2018, 1, 1, 15, tzinfo=UTC)
SIZE = 12
GOLD = [0, 1, 2, 3, 4, 5]
REFUSED = [1]
TAGS = {
    "tier=gold": GOLD,
    "tier=diamond": [7, 8],
    "stage=at_risk": [8],
    "stage=dormant": [9],
    "silent_30d": [4, 5, 6],
    "consent=yes": [0, 2, 3, 4],
    "consent=no": REFUSED,
    "consent=unknown": [5],
}
MODELS = (
    AnsweringModel("churn", "churn", "churn@3", "h" * 64, {"horizon_days": 28}),
    AnsweringModel("tier", "tier", "tier@1", "h" * 64, {"horizon_days": 90}, ("regular", "gold", "diamond")),
)
COLUMNS = (
    ("churn.probability", "<f4"), ("churn.reason_1", "<i2"), ("churn.reason_1_adds", "<f4"), ("tier.likely", "<i2"),
)  # fmt: skip


def id_of(position: int) -> str:
    """The member at a position of the index."""
    return f"m{position:07d}"


@dataclass(frozen=True)
class SmallShop:
    """The corner, and an app on it."""

    store: MemberStore
    settings: Settings
    client: Client

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()
        self.store.close()


def open_shop(url: str, prefix: str, folder: Path) -> SmallShop:
    """A shop whose first member has everything: profile, scores, list, tags."""
    store = MemberStore(url, prefix=prefix)
    store.publish_tags(table_of(SIZE, TAGS), generation="first", contract=CONTRACT_HASH)
    stamp = Stamp(
        contract=CONTRACT_HASH, as_of=AS_OF.isoformat(), published_at=AS_OF.isoformat(), time_zone="UTC",
        facts_hash="f", members=1, edges={}, generation="g",
    )  # fmt: skip
    store.write_stamp(stamp)
    store.write_aggregates([id_of(0)], [b"packed"])
    profile = {"lifecycle_stage": "growing", "rfm_tier": "gold", "last_purchase": "2017-12-30", "spend_cents_365d": 12345}
    store.write_profiles([id_of(0)], [{**profile, "recency_score": 5, "frequency_score": "", "churn_probability": "0.25"}])
    store.write_lists([id_of(0)], [RecommendationList("r@1", AS_OF.isoformat(), (RecommendedItem("i", 1.0, "popular"),))])
    write_answers(store)
    settings = Settings(
        data_dir=folder, mlruns_dir=folder / "mlruns", redis_url=url, redis_timeout_ms=2000, key_prefix=prefix, now=NOW
    )
    return SmallShop(store, settings, Client(Api(settings)))


def write_answers(store: MemberStore) -> None:
    """Last night's answers: for the first member all, for the second none that applies."""
    edition = AnswerEdition(7, AS_OF.isoformat(), AS_OF.isoformat(), CONTRACT_HASH, 2, MODELS, COLUMNS, ())
    columns = {
        "churn.probability": np.array([0.25, np.nan]),
        "churn.reason_1": np.array([0, -1]),
        "churn.reason_1_adds": np.array([-1.5, np.nan]),
        "tier.likely": np.array([2, -1]),
    }
    store.load_answers(utf8(np.array([id_of(0), id_of(1)])), pack_answers(edition, columns))
    store.write_answer_stamp(AnswerStamp(edition))
