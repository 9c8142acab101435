"""What answers with lists say of what puts these in order: the ranker, or the baseline that no model beat."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.client_calls import recommend
from serving.list_order import BASELINES
from serving.list_schemas import ORDER_MEANING, CashierResponse
from tests.serving.asgi import Client
from tests.serving.conftest import MakeClient
from tests.serving.registries import forget, put_in_place
from training.lists.served import SIMPLE
from training.predictors import Recommender
from training.predictors.list_order import SERVES
from training.registry import load, resolve

ServedBy = Callable[..., Client]


@pytest.fixture
def served_by(mlruns_copy: Path, make_client: MakeClient) -> ServedBy:
    """Clients of an app whose recommender answers by what is named."""

    def made(*serves: str) -> Client:
        recommender = load(resolve(mlruns_copy, "recommender"))
        assert isinstance(recommender, Recommender)
        put_in_place(mlruns_copy, "recommender", recommender.serving(*serves))
        return make_client(mlruns_dir=mlruns_copy)

    return made


def both(client: Client) -> list[dict[str, Any]]:
    """The passports of a list and of what is said at the till, read as the client reads them."""
    listed = client.post("/v1/recommend", {"member_ids": ["1", "nobody"]})
    till = client.post("/v1/cashier", {"member_id": "1"})
    assert (listed.status, till.status) == (200, 200)
    parsed = recommend(["1"]).read(listed.body), CashierResponse.model_validate_json(till.body)
    assert [answer.model_dump() for answer in parsed] == [listed.json(), till.json()]
    return [answer.passport.model_dump() for answer in parsed]


def test_a_bundle_served_by_its_ranker_says_so(served_by: ServedBy) -> None:
    told = {"by": "ranked", "baseline": False, "meaning": ORDER_MEANING["ranked"]}
    for passport in both(served_by("ranked")):
        assert passport["order"] == {"lists": told, "new_items": told}


@pytest.mark.parametrize("rule", BASELINES)
def test_where_no_model_beats_a_baseline_it_is_what_serves_and_the_answer_says_so(served_by: ServedBy, rule: str) -> None:
    for passport in both(served_by(rule, "ease")):
        order, definition = passport["order"], passport["models"]["recommender"]["definition"]
        assert (order["lists"]["by"], order["lists"]["baseline"]) == (rule, True)
        assert "baseline" in order["lists"]["meaning"]
        assert (order["new_items"]["by"], order["new_items"]["baseline"]) == ("ease", False)
        assert (definition["serves"], definition["serves_new"]) == (rule, "ease")


def test_without_a_recommender_nothing_puts_lists_in_order(mlruns_copy: Path, make_client: MakeClient) -> None:
    forget(mlruns_copy, "recommender")
    assert [passport["order"] for passport in both(make_client(mlruns_dir=mlruns_copy))] == [None, None]


def test_what_goes_with_an_item_is_in_no_order_of_a_member(client: Client) -> None:
    assert "order" not in client.post("/v1/similar", {"item_ids": ["1082185"]}).json()["passport"]


def test_everything_that_can_serve_has_words_and_the_rules_are_those_that_training_chooses_from() -> None:
    assert set(ORDER_MEANING) == set(SERVES)
    assert set(BASELINES) == set(SIMPLE.values())
