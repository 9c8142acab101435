"""Evidence: rows stay together, and what does not fit together is refused."""

import numpy as np
import pytest

from training.evidence import Evidence, Judged, proved, slices_of
from training.periods import Period

PERIOD = Period(28, (100, 114), 142, 170, 198)


def judged(**changes: object) -> Judged:
    rows = 6
    fields: dict[str, object] = {
        "period": PERIOD,
        "member_ids": np.array([f"m{i}" for i in range(rows)]),
        "truth": np.arange(rows) % 2 == 0,
        "answer": np.linspace(0, 1, rows),
        "others": {"recency": np.arange(rows, dtype=np.float64)},
        "slices": {"tier": np.array(["gold", "regular"] * (rows // 2))},
        "low": np.zeros(rows),
        "high": np.ones(rows),
    }
    return Judged(**{**fields, **changes})  # type: ignore[arg-type]


def test_rows_of_a_slice_stay_together() -> None:
    whole = judged()
    gold = whole.where(whole.slices["tier"] == "gold")

    assert gold.member_ids.tolist() == ["m0", "m2", "m4"]
    assert gold.answer.tolist() == whole.answer[::2].tolist()
    assert gold.others["recency"].tolist() == [0.0, 2.0, 4.0]
    assert gold.high is not None
    assert len(gold) == len(gold.high) == 3


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"answer": np.zeros(5)}, "answer"),
        ({"others": {"recency": np.zeros(7)}}, "recency"),
        ({"slices": {"tier": np.array(["gold"])}}, "tier"),
        ({"low": np.zeros(1)}, "low"),
    ],
)
def test_another_number_of_rows_is_refused_by_name(changed: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=f"another number of rows in: {name}"):
        judged(**changed)


def test_a_baseline_counts_where_it_answered_in_every_period() -> None:
    with_both = judged(others={"recency": np.zeros(6), "bgnbd": np.zeros(6)})

    assert Evidence("churn", "xgboost", {}, (with_both, with_both)).baselines == ("recency", "bgnbd")
    assert Evidence("churn", "xgboost", {}, (with_both, judged())).baselines == ("recency",)
    assert Evidence("churn", "xgboost", {}, ()).baselines == ()


def test_slices_are_text_and_a_missing_label_is_unknown() -> None:
    found = slices_of(3, tier=np.array(["gold", None, ""], dtype=object), channel=None, stage=np.array([1, 2, 3]))

    assert {name: labels.tolist() for name, labels in found.items()} == {
        "tier": ["gold", "unknown", "unknown"],
        "stage": ["1", "2", "3"],
    }
    with pytest.raises(ValueError, match="slice tier has 1 labels for 2 rows"):
        slices_of(2, tier=np.array(["gold"]))


def test_a_recipe_is_judged_once_a_period_and_each_is_told_as_it_is_done() -> None:
    later, told = Period(28, (100, 114, 128), 170, 198, 226), []

    def judge(period: Period) -> Judged:
        told.append(period)
        return judged(period=period)

    recipe = Evidence("churn", "xgboost", {"horizon_days": 28}, parameters={"seed": 1})
    proof = proved(recipe, (PERIOD, later), judge, done=lambda: told.append("done"))
    assert told == [PERIOD, "done", later, "done"]
    assert [one.period for one in proof.judged] == [PERIOD, later]
    assert (proof.engine, proof.parameters, recipe.judged) == ("xgboost", {"seed": 1}, ())
