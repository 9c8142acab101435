"""A bundle as MLflow loads it, kept as code and not as a pickle: `mlflow.pyfunc.load_model("models:/churn@champion")`.

For churn and tier, `rows` has one column for each feature and the answer is the calibrated probability (or one a tier).
For lists, `rows` has a column `item_ids` with what each member bought, and the answer is a list of item ids.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from training.predictors import Recommender, load_bundle
from training.predictors.histories import bought_once

LENGTH = 20


class BundleModel(PythonModel):
    """Scores rows with the predictor of a bundle."""

    def load_context(self, context: Any) -> None:
        """Load and check the bundle beside the model."""
        self.predictor = load_bundle(Path(context.artifacts["bundle"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """One answer per row, in order."""
        if isinstance(self.predictor, Recommender):
            return self._lists(self.predictor, model_input["item_ids"].tolist())
        features = list(self.predictor.manifest.features)
        return self.predictor.score(model_input[features].to_numpy(dtype=np.float32))

    @staticmethod
    def _lists(recommender: Recommender, histories: list[list[str]]) -> list[list[str]]:
        rows = [recommender.catalogue.rows_of(np.array(history, dtype=np.str_)) for history in histories]
        known = [row[row >= 0] for row in rows]
        lists = recommender.lists(bought_once(known, day=1), k=LENGTH).items
        return [recommender.item_ids[row[row >= 0]].tolist() for row in lists]


mlflow.models.set_model(BundleModel())
