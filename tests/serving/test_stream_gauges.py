"""What /metrics says of the stream: counts of its workers and the last comparison with the batch."""

from features.live_parity import Difference, Parity
from features.parity_check import parity_json
from features.store_keys import Keys
from serving.stream_gauges import gauges_text
from tests.serving.asgi import Client
from tests.serving.conftest import MakeClient
from tests.serving.stream_world import NOON, World, event

FOUND = Parity(100, 7, 1, 2, {"views_7d": Difference(3, 2.0), "last_view_day": Difference(1, float("inf"))})


def test_the_last_comparison_is_told_feature_by_feature() -> None:
    lines = gauges_text({}, parity_json(FOUND, NOON)).splitlines()

    assert {line for line in lines if not line.startswith("#")} == {
        "rapport_live_compared 100",
        "rapport_live_mismatches 4",
        "rapport_live_missing 1",
        "rapport_live_extra 2",
        'rapport_live_differing{feature="views_7d"} 3',
        'rapport_live_differing{feature="last_view_day"} 1',
        'rapport_live_largest_error{feature="views_7d"} 2',
        'rapport_live_largest_error{feature="last_view_day"} +Inf',
    }


def test_nothing_known_is_nothing_said() -> None:
    assert gauges_text({}, None) == gauges_text({}, b"no json") == ""


def test_a_server_tells_what_workers_did(make_client: MakeClient, store_url: str, corner: str) -> None:
    world = World(store_url, corner)
    world.accept(event("view"), event("view"))
    worker = world.worker()
    worker.drain()
    worker.release()
    world.plain.set(Keys(corner).parity, parity_json(FOUND, NOON))
    client: Client = make_client(key_prefix=corner)

    text = client.get("/metrics").body.decode()

    assert 'rapport_stream_events_total{outcome="applied"} 2' in text
    assert "rapport_live_mismatches 4" in text
    assert "rapport_requests_total" in text


def test_without_a_store_the_rest_is_told(make_client: MakeClient) -> None:
    client: Client = make_client(redis_url="redis://127.0.0.1:1/0")

    assert "rapport_requests_total" in client.get("/metrics").body.decode()
