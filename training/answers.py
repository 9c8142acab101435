"""Everyone's answers from every champion: numbers to keep and to pack, and the texts that people read of them.

How one kind of model answers stands in `ANSWERING`: adding a kind is adding a line. Members are scored some at a time, two
such blocks side by side, in memory that does not grow with the shop.
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
from training.predictors import AnyPredictor, Matrix
from training.registry import CHAMPION, RegisteredModel, load, registered_models, require_contract

BLOCK = 20_000
"""Members scored together: more gain nothing, and two such blocks take a few hundred megabytes."""
WORKERS = 2
Columns = Mapping[str, NDArray[Any]]
Texts = Mapping[str, NDArray[np.bytes_]]
DIGITS = np.frombuffer(b"0123456789", dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Answering:
    """How one kind of model answers for everyone.

    Attributes
    ----------
    numbers
        From predictor, rows and their model matrix to columns: floats with NaN for no answer, int16 codes with -1.
    texts
        From predictor and these columns to fields of the readable profile, empty where there is no answer.
    labels
        What the codes stand for.
    """

    numbers: Callable[[Any, FeatureRows, Matrix], Columns]
    texts: Callable[[Any, Columns], Texts]
    labels: Callable[[Any], tuple[str, ...]] = lambda predictor: ()


@dataclass(frozen=True, slots=True)
class Champion:
    """A model that answers, loaded and found right."""

    registered: RegisteredModel
    predictor: AnyPredictor

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
    """Answers for some members. Row i of each column belongs to member_ids[i]; columns begin with their model's name."""

    member_ids: Members
    columns: Columns

    def of(self, champion: Champion) -> Columns:
        """The columns of one model, without its name."""
        start = f"{champion.name}."
        return {name.removeprefix(start): values for name, values in self.columns.items() if name.startswith(start)}


class NotANumber(BundleRefused):
    """A model answers with something that is no number."""


def champions(mlruns: Path, *, skip_refused: bool = False) -> Champions:
    """Every champion of a kind that answers for everyone, in order of name.

    Parameters
    ----------
    skip_refused
        Leave a champion out that cannot be used and say why, instead of raising.

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
                    able.append(Champion(registered, predictor))
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
    columns: dict[str, NDArray[Any]] = {}
    for champion in models:
        for name, values in champion.answering.numbers(champion.predictor, rows, matrix).items():
            columns[f"{champion.name}.{name}"] = values
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
        texts.update(champion.answering.texts(champion.predictor, block.of(champion)))
        texts[_model_field(champion)] = np.full(rows, champion.registered.label.encode())
    return texts


def column_dtype(values: NDArray[Any]) -> str:
    """How a column is packed."""
    return CODE if values.dtype.kind == "i" else NUMBER


def fixed(values: NDArray[np.floating[Any]], decimals: int = 6) -> NDArray[np.bytes_]:
    """Numbers from 0 to 9 with so many decimals as text, empty for NaN; a hundred times as fast as formatting each."""
    known = ~np.isnan(values)
    scaled = np.rint(np.where(known, values, 0).astype(np.float64) * 10**decimals).astype(np.int64)
    texts = np.empty((len(values), decimals + 2), dtype=np.uint8)
    texts[:, 1] = ord(".")
    for place in range(decimals + 1, 1, -1):
        scaled, digit = np.divmod(scaled, 10)
        texts[:, place] = DIGITS[digit]
    texts[:, 0] = DIGITS[scaled]
    found: NDArray[np.bytes_] = texts.view(f"S{decimals + 2}")[:, 0]
    return np.where(known, found, b"")


def _model_field(champion: Champion) -> str:
    return f"{champion.name}_model"


def _numbers(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values, found to be numbers."""
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise NotANumber(
            f"{wrong:,} of {values.size:,} answers of {name} are no numbers",
            remedy=f'promote another version of {name}, or train it again: "rapport retrain --models {name}"',
        )
    return values


def _churn(predictor: Any, rows: FeatureRows, matrix: Matrix) -> Columns:
    probability = _numbers(predictor.manifest.name, predictor.score(matrix))
    active = rows.column("days_since_last_purchase") <= predictor.manifest.definition["active_days"]
    return {"probability": np.where(active, probability, np.nan)}


def _churn_texts(predictor: Any, columns: Columns) -> Texts:
    probability, name = columns["probability"], predictor.manifest.name
    bands = sorted(predictor.manifest.parameters["bands"].items(), key=lambda band: band[1])
    names = np.array([band.encode() for band, _ in bands] + [b"lapsed"])
    edges = np.array([edge for _, edge in bands], dtype=np.float64)
    place = np.maximum(np.searchsorted(edges, probability, side="right") - 1, 0)
    place[np.isnan(probability)] = len(bands)
    return {f"{name}_probability": fixed(probability), f"{name}_band": names[place]}


def _tier(predictor: Any, rows: FeatureRows, matrix: Matrix) -> Columns:
    chances = predictor.score(matrix)
    by_tier = _numbers(predictor.manifest.name, chances).T
    found: dict[str, NDArray[Any]] = dict(zip(predictor.tiers, by_tier, strict=True))
    found["likely"] = predictor.likely_tier(chances).astype(np.int16)
    return found


def _tier_texts(predictor: Any, columns: Columns) -> Texts:
    return {f"next_{predictor.manifest.name}": np.array([tier.encode() for tier in predictor.tiers])[columns["likely"]]}


ANSWERING: Mapping[str, Answering] = {
    "churn": Answering(_churn, _churn_texts),
    "tier": Answering(_tier, _tier_texts, lambda predictor: predictor.tiers),
}
"""By kind of predictor. Kinds that are not here answer nobody at night."""


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
