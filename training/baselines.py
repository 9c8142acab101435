"""What a spreadsheet would say: baselines that stand beside every model, fitted as well as they can be."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.build import FeatureRows
from features.contract import Contract
from features.errors import NotEnoughData
from training import bgnbd
from training.datasets import Examples

RFM_COLUMNS = ("days_since_last_purchase", "purchases_90d", "purchases_365d", "spend_cents_90d", "spend_cents_365d")


def column(data: Examples, contract: Contract, name: str) -> NDArray[np.float64]:
    """One feature of the examples, as float64."""
    return data.matrix[:, contract.model_features.index(name)].astype(np.float64)


def recency(data: Examples, contract: Contract) -> NDArray[np.float64]:
    """Days since the last purchase: the longer, the likelier gone. A ranking, not a probability."""
    return column(data, contract, "days_since_last_purchase")


def rfm_logistic(train: Examples, test: Examples, contract: Contract) -> NDArray[np.float64]:
    """Probability from a logistic regression on the logarithms of recency, frequency and monetary value."""

    def inputs(data: Examples) -> NDArray[np.float64]:
        columns = [column(data, contract, name) for name in RFM_COLUMNS]
        return np.log1p(np.maximum(np.nan_to_num(np.column_stack(columns)), 0))

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(inputs(train), train.labels)
    probability: NDArray[np.float64] = model.predict_proba(inputs(test))[:, 1]
    return probability


def bgnbd_no_purchase(rows: FeatureRows, eligible: NDArray[np.bool_], *, horizon_days: int) -> NDArray[np.float64] | None:
    """P(no purchase in the horizon) by BG/NBD for the eligible members of a snapshot; None where no fit exists.

    It needs no labels, so it is fitted on the histories of all members as of the very day it is asked about. Members
    who are not eligible matter to the fit: they are the ones who left; those who never bought, only returned, do not.
    """
    bought, history = bgnbd_history(rows)
    try:
        model = bgnbd.fit(**history)
    except NotEnoughData:
        return None
    asked = eligible[bought]
    return model.no_purchase_within(horizon_days, **{name: values[asked] for name, values in history.items()})


def bgnbd_history(rows: FeatureRows) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Who ever bought, and of those what BG/NBD reads: repeat purchase days, days to the last of them, age in days."""
    days, last, age = (
        rows.column(name).astype(np.float64) for name in ("purchase_days", "active_span_days", "days_since_first_purchase")
    )
    bought = days > 0
    return bought, {"repeats": (days - 1)[bought], "last": last[bought], "age": age[bought]}
