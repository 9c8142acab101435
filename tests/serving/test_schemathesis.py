"""Schemathesis over our own OpenAPI, against a real socket: no server error, and no answer that the document does not have.

One of its checks is left out: that what a schema allows is accepted. We refuse more than JSON Schema can say: ids of odd
characters, and 26.0 where a whole number belongs.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from schemathesis.specs.openapi.checks import positive_data_acceptance

from features.build import FeatureRows
from features.events.keys import EventKeys
from features.events.shop import EventShop
from features.member_store import MemberStore
from features.publish import publish
from features.settings import Settings
from serving.api import Api
from serving.openapi import document
from tests.features.test_tag_store import table_of
from tests.serving.asgi import KEY
from tests.serving.live_server import live
from tests.serving.small_shop import TAGS

pytestmark = pytest.mark.slow
OPERATIONS = [(path, method) for path, methods in document()["paths"].items() for method in methods]
EXAMPLES = 150
HEADERS = {"X-Api-Key": KEY}


@pytest.fixture(scope="module")
def schema(settings: Settings, rows: FeatureRows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of a running server with features, tags, models and a known shop, and a data folder of its own."""
    store = MemberStore(settings.redis_url, prefix="test-schemathesis")
    publish(rows, store)
    store.publish_tags(table_of(12, TAGS), generation="first", contract=rows.contract.hash)
    store.close()
    with redis.Redis.from_url(settings.redis_url) as plain:
        plain.set(EventKeys("test-schemathesis").shop, EventShop("America/New_York", "USD").to_bytes())
    folder = tmp_path_factory.mktemp("schemathesis")
    with live(Api(replace(settings, data_dir=folder, key_prefix="test-schemathesis"))) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json", headers=HEADERS)


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS])
def test_whatever_is_sent_is_answered_as_the_document_says(schema: Any, path: str, method: str) -> None:
    @examples(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    @given(case=schema[path][method].as_strategy())
    def holds(case: Any) -> None:
        case.call_and_validate(headers=HEADERS, timeout=20, excluded_checks=[positive_data_acceptance])

    holds()
