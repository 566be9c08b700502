"""`docker/kubernetes/`: valid, locked in, the same programs as elsewhere. No cluster has run it."""

import importlib
import inspect
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
from django.test import Client
from django.urls import resolve
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from simsearch.launch import health
from tests import fresh
from tests.docker import files, manifests
from tests.docker.files import DOCKER, ROOT
from tests.docker.manifests import KUBERNETES, OVERLAYS, Resource
from tests.monitoring.promtool import promtool

VERSIONS = ("1.30", "1.37")
BASE = manifests.resources(KUBERNETES / "base")
PODS = manifests.pods(BASE)
SETTINGS = manifests.one(BASE, "ConfigMap", "settings")["data"]
SERVICES = files.services()
OURS = [name for name in PODS if name != "nginx"]
DEPLOYMENTS = [name for name in PODS if name != "migrate"]
WAIT = ["sh", "-c", "until python manage.py migrate --check; do sleep 2; done"]


def container(name: str) -> Resource:
    [only] = PODS[name]["containers"]
    assert only["name"] == name
    found: Resource = only
    return found


def every_container() -> list[Resource]:
    return [one for pod in PODS.values() for one in (*pod.get("initContainers", []), *pod["containers"])]


# --- Files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_every_resource_follows_the_schemas_of_kubernetes(name: str, version: str) -> None:
    for resource in manifests.overlay(name):
        kubernetes_validate.validate(resource, version, strict=True)


def test_a_wrong_resource_would_be_noticed() -> None:
    wrong = manifests.one(manifests.overlay("cpu"), "Deployment", "web")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_file_is_used() -> None:
    used = set(manifests.kustomization(KUBERNETES / "base")["resources"]) | {"kustomization.yaml", "settings.env"}
    assert used == {path.name for path in (KUBERNETES / "base").iterdir()}


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_names_each_image(name: str) -> None:
    images = {image["name"] for image in manifests.kustomization(KUBERNETES / "overlays" / name)["images"]}
    assert images == {one["image"] for one in every_container()}


@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_makes_the_same_of_it(name: str) -> None:
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("there is no kubectl on the PATH")
    command = [kubectl, "kustomize", str(KUBERNETES / "overlays" / name)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [suffix] = set(re.findall(r"(?<=name: settings)-\w+", text))
    text = re.sub(rf"registry.example.org/(simsearch-\w+):1|(settings){suffix}", r"\1\2", text)
    theirs = list(YAML(typ="safe").load_all(text))
    for resource in theirs:
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)
    made = {(r["kind"], r["metadata"]["name"]): r.get("spec") for r in theirs}
    assert made == {(r["kind"], r["metadata"]["name"]): r.get("spec") for r in manifests.overlay(name)}


# --- What runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["web", "search", "gallery", "flower", "migrate"])
def test_a_pod_runs_what_the_container_of_compose_runs(name: str) -> None:
    assert container(name)["command"] == SERVICES[name]["command"]  # which are supervisor's
    assert container(name)["image"] == SERVICES[name]["image"]


def test_an_image_runs_as_the_user_that_the_dockerfile_names() -> None:
    stages = files.stages()
    for name, pod in PODS.items():
        user = [
            line for line in stages[container(name)["image"].removeprefix("simsearch-")] if line.startswith("USER ")
        ]
        context = pod["securityContext"]
        assert user[-1] == f"USER {context['runAsUser']}:{context['runAsGroup']}"


def test_ports_are_those_of_the_images() -> None:
    for name, stage in (("web", "web"), ("nginx", "nginx")):
        [port] = container(name)["ports"]
        assert f"EXPOSE {port['containerPort']}" in files.stages()[stage]
    [port] = container("flower")["ports"]
    assert f"--port={port['containerPort']}" in container("flower")["command"]


def test_a_service_leads_to_its_pods() -> None:
    for service in [r for r in BASE if r["kind"] == "Service"]:
        name = service["metadata"]["name"]
        labels = manifests.one(BASE, "Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"] == labels
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    environment = {variable["name"]: variable["value"] for variable in container("nginx")["env"]}
    for name in ("web", "flower"):
        [port] = manifests.one(BASE, "Service", name)["spec"]["ports"]
        assert environment[f"SIMSEARCH_{name.upper()}_UPSTREAM"] == f"{name}:{port['port']}"


def test_nothing_starts_before_the_tables_are_there() -> None:
    for name in ("web", "search", "gallery"):
        [waiting] = PODS[name]["initContainers"]
        assert waiting["command"] == WAIT
        assert waiting["image"] == container(name)["image"]


@pytest.mark.parametrize("name", ["web", "search", "gallery", "flower", "nginx"])
def test_stopping_takes_as_long_as_supervisor_grants(name: str) -> None:
    command = container(name).get("lifecycle", {}).get("preStop", {"exec": {"command": ["sleep", "0"]}})
    left = PODS[name]["terminationGracePeriodSeconds"] - int(command["exec"]["command"][-1])
    assert left == int(SERVICES[name]["stop_grace_period"].removesuffix("s"))


def test_the_periodic_tasks_are_sent_by_one() -> None:
    gallery = manifests.one(BASE, "Deployment", "gallery")["spec"]
    assert (gallery["replicas"], gallery["strategy"]) == (1, {"type": "Recreate"})


# --- Variables and secrets ------------------------------------------------------------------------------------


def variables(name: str) -> dict[str, str]:
    """Return what the pod is given, and what it is made of, which nobody else reads."""
    own = {variable["name"]: variable.get("value", "") for variable in container(name).get("env", [])}
    parts = {part for value in own.values() for part in re.findall(r"\$\((\w+)\)", value)}
    assert parts <= own.keys()
    settings = SETTINGS if "envFrom" in container(name) else {}
    return settings | {key: value for key, value in own.items() if key not in parts}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_read_by_something(name: str) -> None:
    sources = [*(ROOT / "simsearch").rglob("*.py"), DOCKER / "gunicorn.conf.py"]
    texts = [path.read_text() for path in sources] + [inspect.getsource(importlib.import_module("gunicorn.config"))]
    text = "\n".join(texts)
    patched = [
        o for o in OVERLAYS for c in manifests.pods(manifests.overlay(o))[name]["containers"] for o in c.get("env", [])
    ]
    for variable in [*variables(name), *(one["name"] for one in patched if "value" in one)]:
        assert re.search(rf"\b{variable.removesuffix('_FILE')}\b", text), variable


def test_nginx_is_given_every_variable_of_its_template_and_no_other() -> None:
    assert variables("nginx").keys() == SERVICES["nginx"]["environment"].keys()


def test_the_web_answers_to_the_address_of_its_pod() -> None:
    """Probes and Prometheus have no other name for it."""
    environment = {variable["name"]: variable for variable in container("web")["env"]}
    assert environment["POD_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    reference = {"configMapKeyRef": {"name": "settings", "key": "ALLOWED_HOSTS"}}
    assert environment["SITE_NAMES"]["valueFrom"] == reference
    assert environment["ALLOWED_HOSTS"]["value"].split(",") == ["$(SITE_NAMES)", "$(POD_IP)"]


def test_secrets_are_references_to_one_that_the_documentation_makes() -> None:
    named = {Path(value).name for key, value in SETTINGS.items() if key.endswith("_FILE")}
    for key, value in SETTINGS.items():
        secret = re.search(r"PASSWORD|SECRET|_KEY|TOKEN|DATABASE_URL|REDIS_URL", key)
        assert bool(secret) == key.endswith("_FILE"), key
        assert not secret or value.startswith("/etc/simsearch/")
    for name in OURS:
        [volume] = [volume for volume in PODS[name]["volumes"] if "secret" in volume]
        assert volume["secret"]["secretName"] == "simsearch"
        assert {"name": "secrets", "mountPath": "/etc/simsearch", "readOnly": True} in container(name)["volumeMounts"]
    documented = re.findall(r"--from-(?:literal|file)=(\w+)=", (ROOT / "docker" / "README.md").read_text())
    assert set(documented) == named
    assert not [r for r in BASE if r["kind"] == "Secret"]


def test_a_web_image_without_torch_and_pymilvus_accepts_these_settings(tmp_path: Path) -> None:
    for missing, problems in ((["torch", "pymilvus"], 0), (["pymilvus"], 1)):
        script = f"""
import os, sys
sys.modules |= dict.fromkeys({missing!r})
os.environ["DJANGO_SETTINGS_MODULE"] = "simsearch.settings"
import django
django.setup()
from django.core.checks import run_checks
print(len([message for message in run_checks() if message.is_serious()]))
"""
        settings = {key: value for key, value in SETTINGS.items() if not key.endswith("_FILE")}
        assert fresh.run(script, tmp_path, **settings).split() == [str(problems)]


# --- Locked in ------------------------------------------------------------------------------------------------


def test_every_pod_is_locked_in() -> None:
    for pod in PODS.values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # FLOWER_PORT would be an address
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in every_container():
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert one["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in one["resources"]["limits"]


def test_what_is_written_is_on_a_volume() -> None:
    for name in [name for name in PODS if name != "migrate"]:
        mounted = {mount["mountPath"] for mount in container(name)["volumeMounts"]} - {"/etc/simsearch"}
        written = {mount.split(":")[1] for mount in SERVICES[name].get("volumes", []) if not mount.endswith(":ro")}
        written |= {mount.split(":")[0] for mount in SERVICES[name].get("tmpfs", [])}
        assert mounted == written - {"/data/pictures"}  # they are in the bucket


def test_nginx_alone_is_reached_by_everybody() -> None:
    policies = [r["spec"] for r in BASE if r["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress"]} in policies
    opened = {
        p["podSelector"]["matchLabels"]["app.kubernetes.io/name"]: p["ingress"] for p in policies if "ingress" in p
    }
    assert [name for name, rules in opened.items() if any("from" not in rule for rule in rules)] == ["nginx"]
    assert opened.keys() == {"nginx", "web", "flower"}


# --- Probes, scaling, GPUs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_is_asked_as_the_container_of_compose_is(name: str) -> None:
    for kind in ("readinessProbe", "livenessProbe"):
        probe = container(name)[kind]
        if name in ("search", "gallery"):
            assert ["CMD", *probe["exec"]["command"]] == SERVICES[name]["healthcheck"]["test"]
        elif name == "nginx":
            assert probe["tcpSocket"] == {"port": "http"}
        else:
            path = re.findall(r'"(/\S+)"', inspect.getsource(health.CHECKS[name]))
            assert probe["httpGet"] == {"path": path[-1], "port": "http"}


def test_the_address_that_the_web_is_asked_at_is_there(client: Client, settings: Resource) -> None:
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["10.1.2.3"], True  # type: ignore[attr-defined]
    path = container("web")["readinessProbe"]["httpGet"]["path"]
    assert resolve(path).url_name == "healthz"
    assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200


def hpa() -> Resource:
    found: Resource = manifests.one(BASE, "HorizontalPodAutoscaler", "search")["spec"]
    return found


def test_the_workers_are_scaled_by_a_metric_that_there_is(admin_client: Client) -> None:
    assert manifests.one(BASE, hpa()["scaleTargetRef"]["kind"], hpa()["scaleTargetRef"]["name"])
    assert "replicas" not in manifests.one(BASE, "Deployment", "search")["spec"]
    [metric] = [one["external"]["metric"] for one in hpa()["metrics"]]
    text = admin_client.get("/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    labels = metric["selector"]["matchLabels"]
    assert [sample for sample in samples if sample.name == metric["name"] and sample.labels == labels]


def test_the_adapter_offers_what_the_autoscaler_reads(tmp_path: Path) -> None:
    [metric] = [one["external"]["metric"] for one in hpa()["metrics"]]
    [rule] = manifests.documents(KUBERNETES / "prometheus" / "adapter.yaml")[0]["externalRules"]
    labels = {"namespace": "simsearch", **metric["selector"]["matchLabels"]}
    matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
    query = rule["metricsQuery"].replace("<<.Series>>", metric["name"]).replace("<<.LabelMatchers>>", matchers)
    for expression in (query, f"max({rule['seriesQuery']})"):
        series = [
            {"series": f'{metric["name"]}{{namespace="{namespace}",state="{state}",pod="{pod}"}}', "values": str(value)}
            for namespace, state, pod, value in (
                ("simsearch", "waiting", "a", 7),
                ("simsearch", "waiting", "b", 7),
                ("simsearch", "done", "a", 90),
            )
        ]
        tests = [
            {
                "input_series": series,
                "promql_expr_test": [{"expr": expression, "exp_samples": [{"value": 7, "labels": "{}"}]}],
            }
        ]
        file = tmp_path / "tests.yaml"
        YAML(typ="safe").dump({"tests": tests}, file)
        assert "SUCCESS" in promtool("test", "rules", str(file))


def test_prometheus_reads_the_web_pods(tmp_path: Path) -> None:
    path = KUBERNETES / "prometheus" / "scrape.yaml"
    [job] = manifests.documents(path)[0]["scrape_configs"]
    known = {key: value for key, value in job.items() if key != "kubernetes_sd_configs"}  # Debian's promtool lacks it
    file = tmp_path / "prometheus.yaml"
    YAML(typ="safe").dump({"scrape_configs": [known]}, file)
    promtool("check", "config", "--syntax-only", str(file))
    assert job["job_name"] == "simsearch"  # as the alerts and the dashboard expect
    [kept] = [rule for rule in job["relabel_configs"] if rule.get("action") == "keep"]
    [port] = container("web")["ports"]
    [label] = manifests.one(BASE, "Deployment", "web")["spec"]["template"]["metadata"]["labels"].values()
    assert kept["regex"] == f"{label};{port['name']}"


def test_a_search_child_for_each_core_or_gpu() -> None:
    cpu, gpu = (manifests.pods(manifests.overlay(name))["search"] for name in ("cpu", "gpu"))
    [on_cpu], [on_gpu] = cpu["containers"], gpu["containers"]
    assert on_cpu["env"] == [{"name": "SIMSEARCH_SEARCH_CHILDREN", "value": on_cpu["resources"]["requests"]["cpu"]}]
    assert on_gpu["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert gpu["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert gpu["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert "env" not in on_gpu
    assert "nvidia" not in str(cpu)
