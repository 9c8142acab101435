"""The models' answers for every member into the online store: scores into profiles, recommendation lists with their sources."""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.answers import AnswerEdition, AnswerStamp, pack_answers
from features.build import FeatureRows
from features.bulk_load import utf8
from features.errors import CorruptRecord, ModelMissing
from features.facts import Facts
from features.narrow import Members
from features.online_store import OnlineStore, RecommendationList, RecommendedItem
from features.publish import BATCH, Progress
from training.answers import STAGE, Champion, ScoreBlock, blocks_of, champions, column_dtype, profile_texts, scored
from training.interactions import PurchaseDays, purchase_days
from training.predictors import SOURCES, Recommender
from training.prior_means import PriorMeans
from training.registry import RegisteredModel, load, resolve

LIST_LENGTH = 50


def publish_answers(
    rows: FeatureRows, facts: Facts, mlruns: Path, store: OnlineStore, *, progress: Progress = lambda done: None
) -> dict[str, str]:
    """Score every member with each champion there is and write the answers: scores, then lists.

    Returns
    -------
    Name and version of each champion used, by model; a model without a champion is not among them.

    Raises
    ------
    BundleRefused, ContractMismatch
        A champion's files are not right, or it was trained on other features. Nothing was written.
    """
    models = champions(mlruns).able
    lists = _champion(mlruns, "recommender")
    if models:
        as_of, contract = rows.as_of.isoformat(), rows.contract.hash
        publish_scores(scored(blocks_of(rows), models), models, store, as_of=as_of, contract=contract)
    used = {champion.name: champion.registered.label for champion in models}
    if lists is not None:
        publish_lists(rows.member_ids, facts, lists, store, day=rows.day, as_of=rows.as_of.isoformat(), progress=progress)
        used["recommender"] = lists.label
    return used


def publish_scores(
    blocks: Iterable[ScoreBlock],
    models: Sequence[Champion],
    store: OnlineStore,
    *,
    as_of: str,
    contract: str,
    made_from: str = "",
    progress: Progress = lambda done: None,
) -> AnswerEdition | None:
    """Write everyone's answers as one run: the stamp that announces it, packed answers and profiles, the stamp that ends it.

    Readers tell answers of this run from those of the one before by the run in each record; profiles name version and moment.
    Fields of models that answered before and no longer do are emptied. Running it again is no harm, killed or not.

    Returns
    -------
    The run that ended; None if there was nobody to write.

    Raises
    ------
    StoreUnavailable
        The store stopped answering or refused: the run before stays the current one.
    """
    standing = _standing_answers(store)
    edition: AnswerEdition | None = None
    members, means = 0, PriorMeans()
    for block in blocks:
        means.add(block)
        texts = dict(profile_texts(block, models, as_of=as_of))
        if edition is None:
            edition = replace(_edition(block, models, texts, as_of=as_of, contract=contract), made_from=made_from)
            store.write_answer_stamp(standing.begun(edition))
        texts.update(dict.fromkeys(standing.fields - texts.keys(), np.full(len(block.member_ids), b"")))
        ids = utf8(block.member_ids)
        store.load_answers(ids, pack_answers(edition, block.columns))
        store.load_profiles(ids, _fields(texts))
        members += len(ids)
        progress(len(ids))
    if edition is None:
        return None
    ended = replace(edition, members=members, priors=means.found())
    store.write_answer_stamp(AnswerStamp(ended))
    return ended


def published_already(store: OnlineStore, made_from: str) -> bool:
    """Whether the run that ended last, and no other since, wrote what was made from this."""
    standing = _standing_answers(store)
    return standing.current is not None and standing.current.made_from == made_from and not standing.pending


def _standing_answers(store: OnlineStore) -> AnswerStamp:
    """The stamp in the store; one that cannot be read is about to be replaced."""
    try:
        return store.read_answer_stamp() or AnswerStamp()
    except CorruptRecord:
        return AnswerStamp()


def _edition(
    block: ScoreBlock, models: Sequence[Champion], texts: Mapping[str, object], *, as_of: str, contract: str
) -> AnswerEdition:
    return AnswerEdition(
        run=secrets.randbits(63),
        as_of=as_of,
        published_at=datetime.now(UTC).isoformat(),
        contract=contract,
        members=0,
        models=tuple(champion.described for champion in models),
        columns=tuple((name, column_dtype(values)) for name, values in block.columns.items() if name != STAGE),
        fields=tuple(texts),
    )


def member_weights(bought: PurchaseDays, recommender: Recommender, members: Sequence[str], *, day: int) -> sparse.csr_matrix:
    """What each member bought of the catalogue before `day`, purchases fading with age; shape (members, items)."""
    half_life: float = recommender.manifest.definition["half_life_days"]
    row_of = _positions(bought.member_ids, np.asarray(members, dtype=np.str_))
    column_of = _positions(bought.item_ids, recommender.item_ids)
    row, column = row_of[bought.members], column_of[bought.items]
    kept = (row >= 0) & (column >= 0) & (bought.days < day)
    weight = np.exp2(-(day - bought.days[kept]).astype(np.float64) / half_life).astype(np.float32)
    shape = (len(members), len(recommender.item_ids))
    weights = sparse.csr_matrix((weight, (row[kept], column[kept])), shape=shape)
    weights.sort_indices()
    return weights


def lists_of(
    recommender: Recommender, weights: sparse.csr_matrix, *, model: str, as_of: str, k: int = LIST_LENGTH
) -> Iterator[RecommendationList]:
    """One list a row of weights. The score of an item is 1 / its place in the list, so that a Sorted Set keeps the order."""
    ranked = recommender.rank(weights, k=k)
    for items, sources in zip(ranked.items, ranked.sources, strict=True):
        yield RecommendationList(
            model,
            as_of,
            tuple(
                RecommendedItem(str(recommender.item_ids[item]), 1 / place, SOURCES[source])
                for place, (item, source) in enumerate(zip(items, sources, strict=True), start=1)
                if item >= 0
            ),
        )


def _champion(mlruns: Path, name: str) -> RegisteredModel | None:
    try:
        return resolve(mlruns, name)
    except ModelMissing:
        return None


def publish_lists(
    member_ids: Members,
    facts: Facts,
    champion: RegisteredModel,
    store: OnlineStore,
    *,
    day: int,
    as_of: str,
    progress: Progress = lambda done: None,
) -> None:
    """Make and write the list of each member as of the midnight at which a local day begins."""
    recommender = load(champion)
    if not isinstance(recommender, Recommender):
        return
    bought = purchase_days(facts)
    members = member_ids.tolist()
    for start in range(0, len(members), BATCH):
        batch = members[start : start + BATCH]
        weights = member_weights(bought, recommender, batch, day=day)
        store.write_lists(batch, list(lists_of(recommender, weights, model=champion.label, as_of=as_of)))
        progress(len(batch))


def _fields(texts: Mapping[str, NDArray[np.bytes_]]) -> NDArray[np.void]:
    """Columns of text as one structured array, row by row."""
    fields = np.empty(len(next(iter(texts.values()))), dtype=[(name, column.dtype) for name, column in texts.items()])
    for name, column in texts.items():
        fields[name] = column
    return fields


def _positions(all_ids: NDArray[np.str_], chosen: NDArray[np.str_]) -> NDArray[np.int64]:
    """For each of all ids its position among the chosen ones, -1 if it is not there."""
    position = {identifier: place for place, identifier in enumerate(chosen.tolist())}
    return np.array([position.get(identifier, -1) for identifier in all_ids.tolist()], dtype=np.int64)
