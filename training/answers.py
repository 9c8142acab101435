"""Everyone's answers from every champion, block by block of members.

How one kind of model answers stands in `training.answering`. Members are scored some at a time, two such blocks side by
side, in memory that does not grow with the shop.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.answers import CODE, NUMBER, AnsweringModel
from features.build import FeatureRows
from features.derive import model_columns
from features.errors import BundleRefused, ContractMismatch
from features.narrow import Members
from training.answering import ANSWERING, Answering, Columns, NotANumber, Texts, reason_texts, reasons
from training.predictors import AnyPredictor
from training.predictors.reasons import prepare
from training.registry import CHAMPION, RegisteredModel, load, registered_models, require_contract

BLOCK = 20_000
"""Members scored together: more gain nothing, and two such blocks take a few hundred megabytes."""
WORKERS = 2
STAGE = "lifecycle_stage"
"""The one column that is no model's: code of the member's stage, -1 for none, so that means can be given by stage."""


@dataclass(frozen=True, slots=True)
class Champion:
    """A model that answers, loaded and found right. `explained` says that reasons come with its scores."""

    registered: RegisteredModel
    predictor: AnyPredictor
    explained: bool = False

    @property
    def name(self) -> str:
        """The model's name."""
        return self.registered.name

    @property
    def answering(self) -> Answering:
        """How its kind answers."""
        return ANSWERING[self.predictor.kind]

    @property
    def described(self) -> AnsweringModel:
        """What readers of its answers need to know."""
        manifest = self.predictor.manifest
        labels = self.answering.labels(self.predictor)
        return AnsweringModel(
            self.name, manifest.kind, self.registered.label, self.registered.sha256, manifest.definition, labels
        )


@dataclass(frozen=True, slots=True)
class Champions:
    """The champions that can answer, by name, and why others cannot."""

    able: tuple[Champion, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoreBlock:
    """Answers for some members. Row i of each column belongs to member_ids[i]; all but `STAGE` begin with a model's name."""

    member_ids: Members
    columns: Columns

    def of(self, champion: Champion) -> Columns:
        """The columns of one model, without its name."""
        start = f"{champion.name}."
        return {name.removeprefix(start): values for name, values in self.columns.items() if name.startswith(start)}


def champions(mlruns: Path, *, skip_refused: bool = False, explained: bool = True) -> Champions:
    """Every champion of a kind that answers for everyone, in order of name.

    Parameters
    ----------
    skip_refused
        Leave a champion out that cannot be used and say why, instead of raising.
    explained
        With reasons, where the kind has them and the trees are shallow enough to give them at the price of a score.

    Raises
    ------
    BundleRefused, ContractMismatch
        A champion's files are not right, or it was trained on other features.
    """
    able: list[Champion] = []
    refused: dict[str, str] = {}
    for registered in registered_models(mlruns):
        if CHAMPION in registered.aliases:
            try:
                predictor = load(registered)
                require_contract(predictor)
            except (BundleRefused, ContractMismatch) as error:
                if not skip_refused:
                    raise
                refused[registered.name] = f"{error} ({error.remedy})"
            else:
                if predictor.kind in ANSWERING:
                    told = explained and ANSWERING[predictor.kind].explained and prepare(predictor)  # type: ignore[arg-type]
                    able.append(Champion(registered, predictor, explained=told))
    return Champions(tuple(able), refused)


def blocks_of(rows: FeatureRows, *, block: int = BLOCK) -> Iterator[Callable[[], FeatureRows]]:
    """Feature rows that are in memory already, some members at a time."""
    for start in range(0, len(rows.member_ids), block):
        part = slice(start, start + block)
        cut = replace(rows, member_ids=rows.member_ids[part], records=rows.records[part], matrix=rows.matrix[part])
        yield lambda cut=cut: cut  # type: ignore[misc] # mypy sees no default argument in a lambda


def scored(
    blocks: Iterable[Callable[[], FeatureRows]], models: Sequence[Champion], *, workers: int = WORKERS
) -> Iterator[ScoreBlock]:
    """Answers block by block, in the order given.

    Raises
    ------
    NotANumber
        A model gives NaN or infinity for a member.
    """
    return _in_order(lambda make: score_block(make(), models), blocks, workers=workers)


def score_block(rows: FeatureRows, models: Sequence[Champion]) -> ScoreBlock:
    """Answers for the members of some rows; NotANumber names the model that gives something else."""
    matrix = rows.matrix[:, model_columns(rows.contract)]
    columns: dict[str, NDArray[Any]] = {STAGE: np.nan_to_num(rows.column(STAGE), nan=-1).astype(np.int16)}
    for champion in models:
        found = dict(champion.answering.numbers(champion.predictor, rows, matrix))
        if champion.explained:
            among = ~np.isnan(found["probability"]) if "probability" in found else None
            found.update(reasons(champion.predictor, matrix, among=among))
        columns.update({f"{champion.name}.{name}": values for name, values in found.items()})
    return ScoreBlock(rows.member_ids, columns)


def able_to_score(rows: FeatureRows, models: Champions) -> Champions:
    """The champions whose answers for some rows are numbers; the others are refused, each by name.

    A model that fails is found on the first rows, before anything is written; one that fails later stops the run.
    """
    able, refused = [], dict(models.refused)
    for champion in models.able:
        try:
            score_block(rows, [champion])
        except NotANumber as error:
            refused[champion.name] = f"{champion.registered.label}: {error} ({error.remedy})"
        else:
            able.append(champion)
    return Champions(tuple(able), refused)


def profile_texts(block: ScoreBlock, models: Sequence[Champion], *, as_of: str) -> Texts:
    """Fields of readable profiles: what each model says, which version says it, and as of when."""
    rows = len(block.member_ids)
    texts: dict[str, NDArray[np.bytes_]] = {"scores_as_of": np.full(rows, as_of.encode())}
    for champion in models:
        columns = block.of(champion)
        kept = {name: values for name, values in columns.items() if not name.startswith("reason_")}
        texts.update(champion.answering.texts(champion.predictor, kept))
        if champion.explained:
            texts[f"{champion.name}_reasons"] = reason_texts(columns)
        texts[_model_field(champion)] = np.full(rows, champion.registered.label.encode())
    return texts


def column_dtype(values: NDArray[Any]) -> str:
    """How a column is packed."""
    return CODE if values.dtype.kind == "i" else NUMBER


def _model_field(champion: Champion) -> str:
    return f"{champion.name}_model"


def _in_order(work: Callable[[Any], Any], things: Iterable[Any], *, workers: int) -> Iterator[Any]:
    """What work makes of each thing, in order, some at a time side by side; no more are begun than are soon taken."""
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[Any]] = deque()
        try:
            for thing in things:
                running.append(pool.submit(work, thing))
                if len(running) > workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
