"""Evidence kept as one npz file beside the run, so that a later challenger is compared on the very same rows."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from features.errors import BundleRefused
from training.evidence import Evidence, Judged
from training.periods import Period

EVIDENCE = "evidence.npz"
_OWN = ("member_ids", "truth", "answer")
_REMEDY = "evaluate the model again, or promote by hand with a reason"


def evidence_bytes(evidence: Evidence) -> bytes:
    """The whole evidence as one npz file; equal evidence gives equal bytes. Nothing in it is pickled."""
    arrays = _arrays(evidence, "")
    for number, other in enumerate(evidence.further):
        arrays |= _arrays(other, f"further{number}/")
    told = _told(evidence) | {"further": [_told(other) for other in evidence.further]}
    buffer = BytesIO()
    text = np.array(json.dumps(told, sort_keys=True, default=_plain))
    np.savez_compressed(buffer, allow_pickle=False, told=text, **arrays)
    return buffer.getvalue()


def _arrays(evidence: Evidence, before: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for number, judged in enumerate(evidence.judged):
        named = {name: getattr(judged, name) for name in _OWN}
        named |= {name: end for name, end in (("low", judged.low), ("high", judged.high)) if end is not None}
        named |= {f"other/{name}": answer for name, answer in judged.others.items()}
        named |= {f"slice/{name}": labels.astype(np.str_) for name, labels in judged.slices.items()}
        arrays |= {f"{before}{number}/{name}": values for name, values in named.items()}
    return arrays


def _told(evidence: Evidence) -> dict[str, Any]:
    return {
        "model": evidence.model,
        "engine": evidence.engine,
        "definition": dict(evidence.definition),
        "parameters": dict(evidence.parameters),
        "periods": [asdict(judged.period) for judged in evidence.judged],
        "notes": [dict(judged.notes) for judged in evidence.judged],
    }


def read_evidence(path: Path) -> Evidence:
    """Evidence from its file.

    Raises
    ------
    BundleRefused
        The file is damaged.
    """
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            told = json.loads(str(arrays["told"]))
            further = tuple(_evidence(arrays, one, f"further{number}/") for number, one in enumerate(told.get("further", ())))
            return replace(_evidence(arrays, told, ""), further=further)
    except (ValueError, KeyError, TypeError, EOFError, OSError, IndexError, BadZipFile) as error:
        raise BundleRefused(f"the evidence {path.name} cannot be read", remedy=_REMEDY) from error


def _evidence(arrays: Any, told: Mapping[str, Any], before: str) -> Evidence:
    parts = [
        _judged(arrays, f"{before}{number}", period, told["notes"][number]) for number, period in enumerate(told["periods"])
    ]
    return Evidence(told["model"], told["engine"], told["definition"], tuple(parts), told["parameters"])


def _judged(arrays: Any, before: str, period: dict[str, Any], notes: dict[str, Any]) -> Judged:
    mine = {name.removeprefix(f"{before}/"): arrays[name] for name in arrays.files if name.startswith(f"{before}/")}
    inside = {
        kind: {name.removeprefix(f"{kind}/"): values for name, values in mine.items() if name.startswith(f"{kind}/")}
        for kind in ("other", "slice")
    }
    return Judged(
        Period(**period | {"train": tuple(period["train"])}),
        mine["member_ids"],
        mine["truth"],
        mine["answer"],
        inside["other"],
        inside["slice"],
        mine.get("low"),
        mine.get("high"),
        notes,
    )


def _plain(value: object) -> object:
    """Numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"evidence cannot keep a {type(value).__name__}")
