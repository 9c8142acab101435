"""The models' answers for every member into the online store: scores into profiles, recommendation lists with their sources."""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.answers import AnswerEdition, AnswerStamp, pack_answers
from features.build import FeatureRows
from features.bulk_load import utf8
from features.errors import CorruptRecord, ModelMissing
from features.facts import Facts
from features.narrow import Members
from features.night import buckets_of
from features.online_store import ListStamp, OnlineStore, RecommendationList
from features.publish import Progress
from training.answers import STAGE, Champion, ScoreBlock, blocks_of, champions, column_dtype, profile_texts, scored
from training.lists.behaviour import Behaviour, behaviour_with
from training.lists.cutoffs import in_stores_of
from training.lists.windows import catalogue_positions, histories_of
from training.predictors import Histories, Recommender
from training.predictors.list_facts import as_stored
from training.predictors.nightly_lists import NightlyBlock, nightly_blocks
from training.predictors.packed_history import fingerprints, hash_of, pack
from training.prior_means import PriorMeans
from training.registry import RegisteredModel, load, resolve

LIST_LENGTH = 50
LIST_THREADS = min(os.cpu_count() or 1, 4)
"""How many blocks of members' lists are made at once; each takes some hundred megabytes where there are 20,000 items."""


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
    lists = champion_of(mlruns, "recommender")
    if models:
        as_of, contract = rows.as_of.isoformat(), rows.contract.hash
        publish_scores(scored(blocks_of(rows), models), models, store, as_of=as_of, contract=contract)
    used = {champion.name: champion.registered.label for champion in models}
    if lists is not None:
        as_of = rows.as_of.isoformat()
        publish_lists(rows.member_ids, facts, lists, store, day=rows.day, as_of=as_of, progress=progress)
        store.write_list_stamp(ListStamp(lists.label, as_of, rows.day))
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


def member_histories(
    seen: Behaviour, recommender: Recommender, members: Sequence[str] | NDArray[np.str_], *, day: int
) -> Histories:
    """What each member bought and looked at of the catalogue before `day`, in the order given; nothing for strangers."""
    catalogue = recommender.catalogue
    rows_known, listed = catalogue_positions(seen, catalogue)
    at = _positions(np.asarray(members, dtype=np.str_), seen.bought.member_ids)
    known = np.unique(at[at >= 0])
    found = histories_of(seen.until(day), known, listed, day=day)
    found = replace(found, items=rows_known[found.items].astype(found.items.dtype))
    rows = np.where(at >= 0, np.searchsorted(known, at), -1)
    return in_stores_of(catalogue, found, seen).taken(rows)


def lists_of(
    recommender: Recommender, histories: Histories, *, model: str, as_of: str, k: int = LIST_LENGTH
) -> Iterator[RecommendationList]:
    """One list a member, as `list_facts.as_stored` has it."""
    return as_stored(recommender.lists(histories, k=k), recommender.catalogue, histories, model=model, as_of=as_of)


def champion_of(mlruns: Path, name: str) -> RegisteredModel | None:
    """The champion of a name; None where there is none."""
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
) -> int:
    """Make and write the list of each member as of the midnight at which a local day begins; returns how many changed.

    What they did is read one bucket of the facts after the other, so that memory does not grow with them; blocks of a bucket's
    members are made by several threads at once.
    """
    recommender = load(champion)
    if not isinstance(recommender, Recommender):
        return 0
    changed = 0
    with threadpool_limits(limits=1, user_api="blas"):  # the threads share the processors already
        for batch, block in _blocks(facts, recommender, np.sort(member_ids), day):
            changed += _write_block(batch, block, recommender, champion.label, as_of, store)
            progress(len(batch))
    return changed


def _blocks(facts: Facts, recommender: Recommender, ids: Members, day: int) -> Iterator[tuple[list[str], NightlyBlock]]:
    """Lists of some members after the other, with their ids; `ids` are sorted."""
    bucket_of = buckets_of(facts, ids)
    for bucket in facts.buckets:
        members = ids[bucket_of == bucket].tolist()
        if not members:
            continue
        with facts.within(bucket):
            seen = behaviour_with(facts, recommender.item_ids)
        histories = member_histories(seen, recommender, members, day=day)
        for block in nightly_blocks(recommender, histories, k=LIST_LENGTH, threads=LIST_THREADS):
            batch, members = members[: len(block.histories)], members[len(block.histories) :]
            yield batch, block


def _write_block(
    member_ids: Sequence[str], block: NightlyBlock, recommender: Recommender, model: str, as_of: str, store: OnlineStore
) -> int:
    """The lists of a block, and what they are made anew from; returns how many lists changed."""
    lists = as_stored(block.lists, recommender.catalogue, block.histories, model=model, as_of=as_of)
    changed = store.write_lists(member_ids, list(lists))
    _write_pasts(member_ids, block, recommender, model, store)
    return changed


def _write_pasts(
    member_ids: Sequence[str], block: NightlyBlock, recommender: Recommender, model: str, store: OnlineStore
) -> None:
    """What lists are made anew from as the day goes on: histories, and the best candidates of the night."""
    stamp = hash_of(recommender.catalogue)
    prints = fingerprints(block.histories, catalogue_hash=stamp, model=model)

    def record(row: int) -> bytes:
        return pack(block.histories.of(row, row + 1), stamp, kept=block.kept(row), fingerprint=prints[row])

    store.write_list_pasts(member_ids, prints, record)


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
