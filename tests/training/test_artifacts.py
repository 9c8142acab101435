"""Bundles: what was written is what is read, and anything else is refused before a model library sees it."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from features.contract import CONTRACT
from features.errors import BundleRefused
from training.artifacts import GOLDEN, MANIFEST, check_golden, read_arrays, read_manifest, sha256_of, write_bundle
from training.datasets import Examples
from training.predictors import (
    BgNbdPredictor,
    ChurnPredictor,
    Recommender,
    SegmentPredictor,
    TierPredictor,
    ValuePredictor,
    load_bundle,
)
from training.predictors.histories import bought_once
from training.predictors.trees import MODEL_FILES

KINDS = ("churn-xgboost", "churn-lightgbm", "churn-bgnbd", "tier", "value-xgboost", "value-lightgbm", "segments", "recommender")
FLIPS = 40

AnyPredictor = ChurnPredictor | BgNbdPredictor | TierPredictor | ValuePredictor | SegmentPredictor | Recommender
Predictors = dict[str, AnyPredictor]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of predictor and engine."""
    return str(request.param)


@pytest.fixture
def saved(predictors: Predictors, kind: str, tmp_path: Path) -> tuple[Path, str]:
    """A bundle, and the hash it was registered with."""
    folder = tmp_path / "bundle"
    return folder, predictors[kind].save(folder)


def answers(predictor: AnyPredictor, made_up: Examples) -> bytes:
    """Every number a predictor gives on rows it has not been checked by."""
    if isinstance(predictor, Recommender):
        generator = np.random.default_rng(5)
        drawn = [generator.integers(0, len(predictor.item_ids), 4).astype(np.int32) for _ in range(40)]
        histories = bought_once(drawn, day=90)
        ranked = predictor.lists(histories, k=9)
        return predictor.taste(histories).tobytes() + ranked.items.tobytes() + ranked.scores.tobytes()
    return predictor.score(made_up.matrix[600:]).tobytes()


def test_a_loaded_bundle_gives_the_same_bits(
    saved: tuple[Path, str], predictors: Predictors, kind: str, made_up: Examples
) -> None:
    loaded = load_bundle(saved[0], sha256=saved[1])

    assert type(loaded) is type(predictors[kind])
    assert answers(loaded, made_up) == answers(predictors[kind], made_up)
    found, written = (json.loads(json.dumps(asdict(p.manifest))) for p in (loaded, predictors[kind]))
    assert found | {"files": {}} == written


def test_saving_a_loaded_bundle_writes_the_same_files(saved: tuple[Path, str], tmp_path: Path) -> None:
    load_bundle(saved[0]).save(tmp_path / "again")

    model_files = set(read_manifest(saved[0]).files) - {GOLDEN}
    for name in model_files:
        assert (tmp_path / "again" / name).read_bytes() == (saved[0] / name).read_bytes()
    first, second = (read_arrays(folder / GOLDEN) for folder in (saved[0], tmp_path / "again"))
    for name in first:
        assert first[name].tobytes() == second[name].tobytes()


def test_a_flipped_bit_anywhere_is_refused_before_the_model_is_read(saved: tuple[Path, str]) -> None:
    folder, sha256 = saved
    generator = np.random.default_rng(8)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for offset in generator.integers(0, len(whole), FLIPS):
            altered = bytearray(whole)
            altered[offset] ^= 1 << int(generator.integers(0, 8))
            path.write_bytes(bytes(altered))
            with pytest.raises(BundleRefused, match=r"was altered after|is not the one that was registered"):
                load_bundle(folder, sha256=sha256)
        path.write_bytes(whole)
    load_bundle(folder, sha256=sha256)


def test_a_file_cut_short_or_emptied_is_refused(saved: tuple[Path, str]) -> None:
    folder, sha256 = saved
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for length in (0, 1, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(BundleRefused):
                load_bundle(folder, sha256=sha256)
        path.write_bytes(whole)


def test_a_missing_file_is_refused(saved: tuple[Path, str]) -> None:
    folder, sha256 = saved
    for path in sorted(folder.iterdir()):
        hidden = path.rename(folder.parent / path.name)
        with pytest.raises(BundleRefused, match=path.name):
            load_bundle(folder, sha256=sha256)
        hidden.rename(path)


@pytest.mark.parametrize("add", [lambda f: (f / "extra.py").write_text("1"), lambda f: (f / "__pycache__").mkdir()])
def test_a_file_that_is_not_listed_is_refused(saved: tuple[Path, str], add: Callable[[Path], object]) -> None:
    add(saved[0])

    with pytest.raises(BundleRefused, match=r"extra.py|__pycache__"):
        load_bundle(saved[0], sha256=saved[1])


def test_another_manifest_than_the_registered_one_is_refused(saved: tuple[Path, str]) -> None:
    folder, sha256 = saved
    content = json.loads((folder / MANIFEST).read_text())
    content["lineage"]["seed"] = 999
    (folder / MANIFEST).write_text(json.dumps(content))

    with pytest.raises(BundleRefused, match="not the one that was registered") as caught:
        load_bundle(folder, sha256=sha256)
    assert "rapport train" in caught.value.remedy
    assert load_bundle(folder).manifest.lineage["seed"] == 999  # its own hash is all that gave it away


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"features": []}', '{"features": 1}', "\udcff"])
def test_a_manifest_that_is_none_is_refused(saved: tuple[Path, str], text: str) -> None:
    (saved[0] / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(BundleRefused, match="cannot be read"):
        load_bundle(saved[0])


@pytest.mark.parametrize(("entry", "value", "message"), [("format", 2, "format 2"), ("kind", "fortune", "kind fortune")])
def test_what_this_version_does_not_know_is_refused(saved: tuple[Path, str], entry: str, value: object, message: str) -> None:
    content = json.loads((saved[0] / MANIFEST).read_text()) | {entry: value}
    (saved[0] / MANIFEST).write_text(json.dumps(content))

    with pytest.raises(BundleRefused, match=message):
        load_bundle(saved[0])


def test_golden_rows_that_disagree_are_refused(saved: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = saved
    manifest, golden = read_manifest(folder), read_arrays(folder / GOLDEN)
    files = {name: (folder / name).read_bytes() for name in manifest.files if name != GOLDEN}

    unit = manifest.parameters.get("unit_cents", 1.0)  # amounts agree to a millionth of a usual one

    off = {"rows": golden["rows"], "scores": golden["scores"] + np.float32(1e-4) * unit}
    sha256 = write_bundle(tmp_path / "off", manifest, files, off)
    close = {"rows": golden["rows"], "scores": golden["scores"].astype(np.float64) + 5e-7 * unit}
    close_sha256 = write_bundle(tmp_path / "close", manifest, files, close)

    with pytest.raises(BundleRefused, match="golden rows"):
        load_bundle(tmp_path / "off", sha256=sha256)
    load_bundle(tmp_path / "close", sha256=close_sha256)


def test_another_model_under_the_right_hashes_is_found_by_its_golden_rows(predictors: Predictors, tmp_path: Path) -> None:
    churn = predictors["churn-xgboost"]
    assert isinstance(churn, ChurnPredictor)
    recalibrated = replace(churn.manifest, parameters=churn.manifest.parameters | {"calibrator": {"slope": 1.0, "offset": 0.3}})
    sha256 = write_bundle(
        tmp_path / "bundle",
        recalibrated,
        {MODEL_FILES["xgboost"]: churn.model.to_bytes()},
        {"rows": churn.golden, "scores": churn.score(churn.golden)},
    )

    with pytest.raises(BundleRefused, match="churn: golden rows"):
        load_bundle(tmp_path / "bundle", sha256=sha256)


def test_golden_scores_of_another_shape_or_that_are_missing_disagree() -> None:
    scores = np.array([0.1, np.nan])

    check_golden("m", scores, scores.copy())
    for other in (scores[:1], np.array([0.1, 0.2]), np.array([np.nan, np.nan]), scores.reshape(1, 2)):
        with pytest.raises(BundleRefused, match="golden"):
            check_golden("m", scores, other)


def test_every_file_is_plain_text_or_numbers(saved: tuple[Path, str], kind: str) -> None:
    expected = {
        "churn-xgboost": {"model.json"},
        "churn-lightgbm": {"model.txt"},
        "churn-bgnbd": {"bgnbd.json"},
        "tier": {"model.json"},
        "segments": {"model.json"},
        "value-xgboost": {"model.json"},
        "value-lightgbm": {"model.txt"},
        "recommender": {"catalogue.npz", "model.json"},
    }

    assert {path.name for path in saved[0].iterdir()} == {MANIFEST, GOLDEN, *expected[kind]}
    for path in saved[0].iterdir():
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                assert all(arrays[name].dtype.kind in "fiuU" for name in arrays.files)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        else:
            assert path.read_text().startswith("tree\n")


def test_pickled_arrays_are_neither_written_nor_read(predictors: Predictors, tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match=r"[Oo]bject arrays"):
        write_bundle(tmp_path / "bundle", predictors["tier"].manifest, {}, {"rows": objects})

    np.savez(tmp_path / "pickled.npz", rows=objects)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_arrays(tmp_path / "pickled.npz")


def test_the_manifest_names_contract_features_and_hashes(saved: tuple[Path, str], predictors: Predictors, kind: str) -> None:
    folder, sha256 = saved
    manifest = read_manifest(folder, sha256=sha256)

    assert sha256 == sha256_of(folder / MANIFEST)
    assert manifest.contract_hash == CONTRACT.hash
    assert manifest.features == predictors[kind].manifest.features
    assert manifest.files == {path.name: sha256_of(path) for path in folder.iterdir() if path.name != MANIFEST}
    assert json.loads((folder / MANIFEST).read_text()) == json.loads(json.dumps(asdict(manifest)))


def test_a_bundle_is_never_written_over_another(saved: tuple[Path, str], predictors: Predictors, kind: str) -> None:
    with pytest.raises(FileExistsError):
        predictors[kind].save(saved[0])
