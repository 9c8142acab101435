"""Erased members taken out of what training leaves behind: evidence beside the runs, and the work of a run that was killed.

Their rows are taken out of the evidence, as a challenger's evidence, made from facts without them, has none of them either: two
sets of evidence are compared where they are of the same members. Figures that were logged stay as they were, and bundles hold
no ids.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features.errors import BundleRefused
from features.private_files import write_private
from training.evidence import Evidence
from training.evidence_files import EVIDENCE, evidence_bytes, read_evidence
from training.kept_work import KeptWork


@dataclass(frozen=True, slots=True)
class ErasedEvidence:
    """Rows that were taken out, files that cannot be read and so may hold anything, and runs whose work was dropped."""

    rows: int
    unreadable: tuple[Path, ...]
    dropped: int


def erase_from_evidence(mlruns: Path, retrain: Path, members: Collection[str]) -> ErasedEvidence:
    """Take members out of all evidence below `mlruns`, and drop work that runs below `retrain` left. Again is no harm.

    No training may run meanwhile. Each file is the old one or the new one, whenever this is killed.
    """
    rows, unreadable = 0, []
    for path in sorted(mlruns.rglob(EVIDENCE)):
        try:
            rows += _rewrite(path, members)
        except BundleRefused:
            unreadable.append(path)
    return ErasedEvidence(rows, tuple(unreadable), _drop_work(retrain))


def without(evidence: Evidence, members: Collection[str]) -> Evidence:
    """The same evidence on everybody else's rows."""
    gone = np.array(sorted(members), dtype=np.str_)
    judged = tuple(each.where(~np.isin(each.member_ids, gone)) for each in evidence.judged)
    return replace(evidence, judged=judged)


def _rewrite(path: Path, members: Collection[str]) -> int:
    before = read_evidence(path)
    after = without(before, members)
    gone = sum(map(len, before.judged)) - sum(map(len, after.judged))
    if gone:
        mode = path.stat().st_mode & 0o777
        write_private(path, evidence_bytes(after))
        path.chmod(mode)
    return gone


def _drop_work(retrain: Path) -> int:
    """Snapshots and examples of a killed run: it goes by facts that are no more, so that no run will take them up."""
    left = [KeptWork(folder) for folder in retrain.glob("*") if folder.is_dir()]
    left = [work for work in left if work.anything_left()]
    for work in left:
        work.drop_work()
    return len(left)
