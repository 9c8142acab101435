"""What is worth saying at the till: something of each kind, the most personal first."""

from typing import Any

from serving.cashier import KIND_OF_SOURCE, worth_saying
from training.predictors.list_reasons import REASONS


def items(*sources: str) -> list[dict[str, Any]]:
    return [{"item_id": f"i{n}", "place": n + 1, "source": source} for n, source in enumerate(sources)]


def said(things: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(thing["kind"], thing["item"]["item_id"]) for thing in things]


def test_one_of_each_kind_before_a_second_of_any() -> None:
    found = worth_saying(items("popular", "due_again", "due_again", "goes_with_context", "similar_taste"), things=3)
    assert said(found) == [("due_again", "i1"), ("goes_with_basket", "i3"), ("discovery", "i4")]
    assert [thing["item"]["place"] for thing in found] == [1, 2, 3]


def test_what_is_due_comes_before_what_was_only_bought_before() -> None:
    assert said(worth_saying(items("bought_before", "due_again"), things=1)) == [("due_again", "i1")]
    assert said(worth_saying(items("bought_before", "popular"), things=1)) == [("bought_before", "i0")]


def test_where_there_is_little_the_list_goes_on_in_its_order() -> None:
    assert said(worth_saying(items("popular", "popular"), things=3)) == [("popular", "i0"), ("popular", "i1")]
    assert worth_saying([], things=3) == []


def test_every_source_is_of_a_kind() -> None:
    assert set(KIND_OF_SOURCE) == set(REASONS)
