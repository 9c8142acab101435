"""An erasure asked for over HTTP, honoured by the nightly run, and held when an old file brings the member in again."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mapped_shops import HEAD, PURCHASES

from commands.nightly import NightlyJob
from commands.publish import PublishJobs
from features.erase_files import members_in
from features.erasures import Erasures
from features.member_index import unpack_ids
from features.member_store import MemberStore
from features.screen import Screen
from features.settings import Settings
from features.sources.mapped import import_mapped
from serving.api import Api
from serving.job_folder import JobFolders
from tests.serving.asgi import Client

SALES = "card,total,at\n" + "".join(f"m{n % 9},{n}.50,2024-05-{1 + n % 28:02d} 10:00\n" for n in range(60))
NIGHT, LATER = "2024-05-29", datetime(2024, 5, 29, 8, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, store_url: str) -> Settings:
    """A corner shop whose first night is over."""
    (tmp_path / "shop.toml").write_text(HEAD + PURCHASES)
    (tmp_path / "sales.csv").write_text(SALES)
    import_mapped(tmp_path / "data" / "facts", tmp_path / "shop.toml")
    settings = Settings(
        data_dir=tmp_path / "data",
        mlruns_dir=tmp_path / "mlruns",
        redis_url=store_url,
        redis_timeout_ms=2000,
        key_prefix="test-erasure",
        now=LATER,
    )
    assert NightlyJob(settings, as_json=True).run(NIGHT)["exit_code"] == 0
    return settings


def online(settings: Settings) -> set[str]:
    """Members whom the store knows, in keys of their own or in the index of tags."""
    store = MemberStore(settings.redis_url, prefix=settings.key_prefix)
    found = {member.decode() for members in store.stored_members() for member in members.tolist()}
    stamp = store.read_tag_stamp()
    assert stamp is not None
    found |= set(unpack_ids(store._client.get(store._keys.tag_index(stamp.index, 0))))
    store.close()
    return {member for member in found if member.startswith("m")}


def test_an_erased_member_stays_erased(settings: Settings, tmp_path: Path) -> None:
    everybody = {f"m{n}" for n in range(9)}
    assert online(settings) == everybody
    client = Client(Api(settings))
    assert client.send("DELETE", "/v1/members/m3").status == 202
    client.close()
    assert online(settings) == everybody - {"m3"}
    assert "m3" in members_in(settings.data_dir / "facts")

    job, _ = JobFolders(settings.data_dir).create({"members": {"ids": ["m3"]}}, key="k", at=LATER)
    job.write("failed", {"code": "internal", "detail": "long ago"})
    os.utime(job.folder / "failed.json", (0, 0))

    report = NightlyJob(settings, as_json=True).run(NIGHT)
    assert report["exit_code"] == 0
    assert not job.folder.exists(), "results whose time is over go at night, whether or not jobs run"
    assert "erasures" in [step["name"] for step in report["steps"]]
    assert online(settings) == set(members_in(settings.data_dir / "facts")) == everybody - {"m3"}
    (receipt,) = Erasures(settings.data_dir).all()
    assert receipt.files_at
    assert not receipt.member_id

    import_mapped(settings.data_dir / "facts", tmp_path / "shop.toml", again=True)
    assert "m3" in members_in(settings.data_dir / "facts")
    PublishJobs(settings, Screen(as_json=True)).run(NIGHT)
    assert online(settings) == everybody - {"m3"}, "a publish by hand brings nobody back either"
    assert NightlyJob(settings, as_json=True).run(NIGHT)["exit_code"] == 0
    assert set(members_in(settings.data_dir / "facts")) == online(settings) == everybody - {"m3"}
