"""What models there are and which of them serves: GET /v1/models, from the registry's files alone."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from features.errors import BundleRefused
from serving.desk import Desk
from serving.problems import answer_json
from training.artifacts import BundleManifest, read_manifest
from training.registry import RegisteredModel, recorded_figures, registered_models

LINEAGE = ("facts_hash", "facts_source", "rapport", "code", "seed", "cutoffs")
"""What of a lineage is told; anything else that a training run notes there stays inside."""
Serving = Callable[[], Mapping[str, RegisteredModel]]


class ModelList:
    """The handler, on one registry. `serving` gives the versions in use now, by model name."""

    def __init__(self, mlruns: Path, serving: Serving, missing: Callable[[], tuple[str, ...]], desk: Desk) -> None:
        self._mlruns, self._serving, self._missing, self._desk = mlruns, serving, missing, desk
        self._read: dict[str, BundleManifest | None] = {}

    async def show(self, request: Request) -> Response:
        """GET /v1/models."""
        return answer_json(await self._desk.run(self._all))

    def _all(self) -> dict[str, Any]:
        used = {model.label for model in self._serving().values()}
        models = [self._view(model, serving=model.label in used) for model in registered_models(self._mlruns)]
        return {"models": models, "missing": list(self._missing())}

    def _view(self, model: RegisteredModel, *, serving: bool) -> dict[str, Any]:
        manifest = self._manifest(model)
        figures, baselines = recorded_figures(self._mlruns, model)
        return {
            "name": model.name,
            "version": model.version,
            "aliases": list(model.aliases),
            "serving": serving,
            "usable": manifest is not None,
            "kind": manifest.kind if manifest else None,
            "engine": manifest.engine if manifest else None,
            "features": len(manifest.features) if manifest else None,
            "contract_hash": manifest.contract_hash if manifest else None,
            "bundle_sha256": model.sha256,
            "definition": manifest.definition if manifest else None,
            "lineage": {name: manifest.lineage[name] for name in LINEAGE if name in manifest.lineage} if manifest else None,
            "figures": _finite(figures),
            "baselines": {name: _finite(values) for name, values in baselines.items()},
        }

    def _manifest(self, model: RegisteredModel) -> BundleManifest | None:
        """The manifest of a version; read once for each registered hash, as reading it hashes every file."""
        if model.sha256 not in self._read:
            try:
                self._read[model.sha256] = read_manifest(model.bundle, sha256=model.sha256)
            except BundleRefused:
                return None
        return self._read[model.sha256]


def _finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures as JSON has them: NaN and infinity, which it has not, are null."""
    return {name: value if math.isfinite(value) else None for name, value in sorted(figures.items())}
