"""The image, the compose file and the Kubernetes objects of the server: what they name exists, fits together and is bounded."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.settings import Settings, variable_of
from serving.auth import OPEN_PATHS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SETTINGS = {variable_of(name) for name in Settings.__dataclass_fields__} | {"REDIS_URL"}
KINDS = {
    "ConfigMap": "v1", "PersistentVolumeClaim": "v1", "ServiceAccount": "v1", "Service": "v1", "Secret": "v1",
    "Deployment": "apps/v1", "CronJob": "batch/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2", "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}  # fmt: skip
SERVE = ["bentoml", "serve", "serving.service:RapportService", "--host", "0.0.0.0", "--port", "3000"]

Object = dict[str, Any]


def documents(name: str) -> list[Object]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()))


@pytest.fixture(scope="module")
def objects() -> dict[str, Object]:
    """Objects of server.yaml by kind; there is one of each."""
    found = {document["kind"]: document for document in documents("server.yaml")}
    assert len(found) == len(documents("server.yaml"))
    return found


@pytest.fixture(scope="module")
def compose() -> Object:
    loaded: Object = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


def pod(objects: dict[str, Object]) -> Object:
    spec: Object = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


def container(objects: dict[str, Object]) -> Object:
    (only,) = pod(objects)["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize("path", sorted((DEPLOY / "kubernetes").glob("*.yaml")), ids=lambda path: path.name)
def test_objects_have_the_version_of_their_kind_and_a_name(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        assert document["apiVersion"] == KINDS[document["kind"]]
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", document["metadata"]["name"])


def test_selectors_find_the_pods_of_the_deployment(objects: dict[str, Object]) -> None:
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for selector in (
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        pod(objects)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels
    jobs = documents("cronjobs.yaml")[0]["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"].items()
    assert objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= jobs, "jobs reach nothing else either"
    assert not objects["Service"]["spec"]["selector"].items() <= jobs, "and are asked nothing"


def test_probes_ask_open_paths_on_the_port_that_is_served(objects: dict[str, Object]) -> None:
    server = container(objects)
    (port,) = server["ports"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert server[probe]["httpGet"]["path"] in OPEN_PATHS
        assert server[probe]["httpGet"]["port"] == port["name"]
    assert server["livenessProbe"]["httpGet"]["path"] == "/health/live", "a store that is away restarts no server"
    assert server["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert server["command"] == SERVE
    assert str(port["containerPort"]) == SERVE[-1] == objects["ConfigMap"]["data"]["RAPPORT_PORT"]
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert objects["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"] == port["containerPort"]


def test_the_service_that_is_started_exists() -> None:
    module, _, name = SERVE[2].partition(":")
    assert f"class {name}:" in (ROOT / f"{module.replace('.', '/')}.py").read_text()


def test_pods_are_bounded_and_without_rights(objects: dict[str, Object]) -> None:
    server = container(objects)
    assert {"cpu", "memory"} <= server["resources"]["requests"].keys()
    assert "memory" in server["resources"]["limits"]
    assert pod(objects)["securityContext"]["runAsNonRoot"] is True
    assert pod(objects)["automountServiceAccountToken"] is False
    assert server["securityContext"]["readOnlyRootFilesystem"] is True
    assert server["securityContext"]["allowPrivilegeEscalation"] is False
    written = {mount["mountPath"] for mount in server["volumeMounts"]}
    settings = objects["ConfigMap"]["data"]
    assert settings["RAPPORT_DATA_DIR"] in written
    assert Path(settings["RAPPORT_MLRUNS_DIR"]).is_relative_to(settings["RAPPORT_DATA_DIR"])


def test_there_are_never_fewer_than_two_and_one_goes_at_a_time(objects: dict[str, Object]) -> None:
    scaler = objects["HorizontalPodAutoscaler"]["spec"]
    target = objects["Deployment"]
    assert scaler["scaleTargetRef"] == {
        "apiVersion": target["apiVersion"], "kind": "Deployment", "name": target["metadata"]["name"],
    }  # fmt: skip
    assert 2 <= scaler["minReplicas"] <= target["spec"]["replicas"] <= scaler["maxReplicas"]
    assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert target["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert pod(objects)["terminationGracePeriodSeconds"] > 30


def test_what_pods_refer_to_is_there(objects: dict[str, Object]) -> None:
    (secret,) = documents("secret.example.yaml")
    names = {"configMapRef": objects["ConfigMap"], "secretRef": secret}
    for source in container(objects)["envFrom"]:
        for kind, reference in source.items():
            assert reference["name"] == names[kind]["metadata"]["name"]
    claim = pod(objects)["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == objects["PersistentVolumeClaim"]["metadata"]["name"]
    assert "ReadWriteMany" in objects["PersistentVolumeClaim"]["spec"]["accessModes"], "several servers and the jobs share it"
    assert pod(objects)["serviceAccountName"] == objects["ServiceAccount"]["metadata"]["name"]


def test_settings_exist_and_no_secret_is_written_down(objects: dict[str, Object]) -> None:
    (secret,) = documents("secret.example.yaml")
    assert objects["ConfigMap"]["data"].keys() | secret["stringData"].keys() <= SETTINGS
    assert not {"RAPPORT_API_KEYS", "REDIS_URL", "RAPPORT_IDENTITY_KEY"} & objects["ConfigMap"]["data"].keys()
    assert not secret["stringData"]["RAPPORT_API_KEYS"]
    lines = [line for line in (DEPLOY / "rapport.env.example").read_text().splitlines() if line and not line.startswith("#")]
    assert {line.partition("=")[0] for line in lines} <= SETTINGS | {"REDIS_PASSWORD"}
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"deploy/rapport.env", "deploy/kubernetes/secret.yaml"} <= set(ignored)


def test_compose_has_every_part_and_nothing_listens_outside(compose: Object) -> None:
    services = compose["services"]
    assert {"server", "redis", "mlflow", "import", "nightly"} <= services.keys()
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source.startswith(".") or source in compose["volumes"], name
        assert set(service.get("networks", [])) <= compose["networks"].keys()
        assert set(service.get("depends_on", {})) <= services.keys()
        if "build" in service:
            context = (DEPLOY / service["build"]["context"]).resolve()
            assert (context / service["build"]["dockerfile"]).exists(), name
    assert "noeviction" in services["redis"]["command"][-1], "anything else is refused"
    assert services["server"]["healthcheck"]["test"][-1].count("/health/ready") == 1
    assert services["nightly"]["profiles"] == ["jobs"], "not started with the others: cron runs it"


def test_the_image_copies_what_is_there_and_runs_as_nobody() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    context = (ROOT / ".dockerignore").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in line.split():
            assert list(ROOT.glob(name)), name
            assert f"!{name}" in context, f"{name} is not in the context"
    extras = re.findall(r"EXTRAS=(\w+)", text)
    assert set(extras) == {"bulk", "train"}
    assert all(f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text() for extra in extras)
    assert re.search(r"^USER 1000$", text, re.MULTILINE)
    assert str(SERVE).replace("'", '"') in text
    assert set(re.findall(r"(RAPPORT_\w+)=", text)) <= SETTINGS
    assert "requirements.lock" in text


def test_images_have_a_version(compose: Object, objects: dict[str, Object]) -> None:
    images = [service["image"] for service in compose["services"].values()] + [container(objects)["image"]]
    images += re.findall(r"image: (\S+)", (DEPLOY / "kubernetes" / "cronjobs.yaml").read_text())
    assert all(re.search(r":\d[\w.-]*$", image) for image in images)
