"""`compose.yaml` and what is laid over it: valid, closed to the outside, and the same programs as elsewhere."""

import importlib
import inspect
import re
import shlex
from typing import Any

import pytest

from simsearch.launch import health
from tests.docker import files
from tests.docker.files import DOCKER, ROOT

SERVICES = files.services()
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("simsearch-")]
SIMSEARCH = [name for name in OURS if name != "nginx"]
STAYING = [name for name in SERVICES if name != "migrate"]


@pytest.mark.parametrize("file", files.COMPOSE_FILES, ids=lambda file: str(file.name))
def test_the_files_follow_the_compose_specification(file: Any) -> None:
    checked = files.tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(file))
    assert checked.returncode == 0, checked.stdout


# --- Who is reachable -----------------------------------------------------------------------------------------


def test_nginx_alone_publishes_a_port() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


def test_the_stores_and_the_site_have_no_way_out() -> None:
    assert files.compose()["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in SERVICES.items() if service["networks"] != ["inside"]}
    assert outside == {"nginx", "search", "gallery"}


def test_nginx_sees_the_pictures_alone_and_changes_nothing() -> None:
    assert SERVICES["nginx"]["volumes"] == ["pictures:/data/pictures:ro"]
    assert "secrets" not in SERVICES["nginx"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_locked_in(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert name in OURS or service["user"] not in ("root", "0")
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


# --- Secrets --------------------------------------------------------------------------------------------------


def test_secrets_come_from_files_that_git_and_the_images_never_see() -> None:
    secrets = files.compose()["secrets"]
    assert {secret["file"] for secret in secrets.values()} == {f"secrets/{name}" for name in secrets}
    assert {"/docker/secrets/", "/docker/.env"} <= set((ROOT / ".gitignore").read_text().splitlines())
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert used == secrets.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_given_the_secrets_that_it_names_and_no_others(name: str) -> None:
    named = set(re.findall(r"/run/secrets/(\w+)", str(SERVICES[name])))
    assert named == set(SERVICES[name].get("secrets", []))


def test_no_secret_stands_in_a_file() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|SECRET|KEY|_URL", key)
            assert not secret or (key.endswith("_FILE") and value.startswith("/run/secrets/")), f"{name}: {key}"
    for path in DOCKER.iterdir():
        if path.is_file() and path.name not in (".env", "make-secrets.sh"):
            assert not re.search(r"://[^\s/]*:[^\s/$]+@", path.read_text()), path.name


# --- What runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["search", "gallery", "flower", "web"])
def test_a_container_runs_supervisors_own_command(name: str) -> None:
    own = shlex.split(files.supervisor(name)["command"].replace("%(ENV_SIMSEARCH_BIN)s/", "").replace("%%", "%"))
    places = {"--address=127.0.0.1": "--address=0.0.0.0", "--port=%(ENV_SIMSEARCH_FLOWER_PORT)s": "--port=5555"}
    places["--db=%(ENV_SIMSEARCH_DATA_DIR)s/run/flower"] = "--db=/data/run/flower"
    assert SERVICES[name]["command"] == [places.get(word, word) for word in own]


@pytest.mark.parametrize(("image", "name"), [("web", "web"), ("worker", "search")])
def test_an_image_alone_runs_its_containers_command(image: str, name: str) -> None:
    assert f"CMD {SERVICES[name]['command']}".replace("'", '"') in files.stages()[image]


@pytest.mark.parametrize("name", ["web", "search", "gallery", "flower", "redis"])
def test_stopping_takes_as_long_as_supervisor_grants(name: str) -> None:
    seconds = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert seconds == int(files.supervisor(name)["stopwaitsecs"])


def test_redis_is_set_as_supervisor_sets_it() -> None:
    settings = SERVICES["redis"]["command"][-1]
    words = shlex.split(files.supervisor("redis")["command"])
    for key in ("appendonly", "appendfsync", "save", "maxmemory-policy"):
        value = words[words.index(f"--{key}") + 1]
        assert re.search(rf"^{key} {value or re.escape(chr(34) * 2)}$", settings, re.MULTILINE)
    assert "requirepass" in settings


def test_each_image_of_ours_has_one_builder_and_is_never_pulled_from_a_registry() -> None:
    builders = [name for name, service in SERVICES.items() if "build" in service]
    assert builders == ["nginx", "web", "search"]
    for name in builders:
        build = SERVICES[name]["build"]
        assert SERVICES[name]["image"] == f"simsearch-{build['target']}"
        assert (DOCKER / build["context"]).resolve() == ROOT
        assert build["target"] in files.stages()
    assert {SERVICES[name]["image"] for name in OURS} == {SERVICES[name]["image"] for name in builders}
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}


def test_what_runs_comes_back_and_what_is_done_does_not() -> None:
    assert {SERVICES[name]["restart"] for name in STAYING} == {"unless-stopped"}
    assert SERVICES["migrate"]["restart"] == "no"


# --- Start order ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STAYING)
def test_everything_that_stays_says_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", health.CHECKS)
def test_our_containers_are_requested_by_their_own_names(name: str) -> None:
    expected = ["CMD", "python", "-m", "simsearch.launch.health", name]
    assert SERVICES[name]["healthcheck"]["test"] == expected


def test_nothing_of_ours_starts_before_the_tables_are_there_and_the_stores_are_well() -> None:
    stores = {"postgres": "service_healthy", "redis": "service_healthy", "migrate": "service_completed_successfully"}
    for name in set(SIMSEARCH) - {"migrate"}:
        waits = {other: rule["condition"] for other, rule in SERVICES[name]["depends_on"].items()}
        assert waits == stores, name
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["nginx"]["depends_on"]["web"]["condition"] == "service_healthy"


# --- Variables and volumes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIMSEARCH)
def test_every_variable_is_read_by_something(name: str) -> None:
    sources = [*(ROOT / "simsearch").rglob("*.py"), DOCKER / "gunicorn.conf.py", DOCKER / "supervisord.conf"]
    texts = [path.read_text() for path in sources] + [inspect.getsource(importlib.import_module("gunicorn.config"))]
    text = "\n".join(texts)
    for variable in SERVICES[name]["environment"]:
        assert re.search(rf"\b(ENV_)?{variable.removesuffix('_FILE')}\b", text), variable


def test_nginx_is_given_every_variable_of_its_template_and_no_other() -> None:
    template = (DOCKER / "nginx.conf.template").read_text()
    assert set(re.findall(r"\$\{(\w+)\}", template)) == SERVICES["nginx"]["environment"].keys()


def test_what_is_written_is_on_a_volume() -> None:
    volumes = files.compose()["volumes"]
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert mounted == volumes.keys()
    made = " ".join(files.stages()["base"])
    for name in SIMSEARCH:
        for mount in SERVICES[name].get("volumes", []):
            assert mount.split(":")[1] in made.split()  # an empty volume takes over the owner from the image


# --- GPUs -----------------------------------------------------------------------------------------------------


def test_the_second_worker_is_the_first_with_another_gpu() -> None:
    second = files.compose("compose.gpus.yaml")["services"]["search-1"]
    first = dict(SERVICES["search"])
    first.pop("build")
    assert {key: value for key, value in second.items() if key != "deploy"} == first


def test_the_watched_folder_is_imported_by_supervisors_own_command_in_a_container_like_the_site() -> None:
    watch = files.compose("compose.watch.yaml")["services"]["watch"]
    own = files.supervisor("watch")
    assert watch["command"] == shlex.split(own["command"].replace("%(ENV_SIMSEARCH_BIN)s/", ""))
    assert watch["stop_signal"] == f"SIG{own['stopsignal']}"
    assert watch["stop_grace_period"] == f"{own['stopwaitsecs']}s"
    web = dict(SERVICES["web"])
    web["volumes"] = [*web["volumes"], "${SIMSEARCH_WATCH:?set it in docker/.env to the folder}:/watched:ro"]
    environment = {key: value for key, value in web["environment"].items() if key in SERVICES["gallery"]["environment"]}
    web["environment"] = environment | {"SIMSEARCH_WATCH": "/watched"}
    different = {"build", "command", "healthcheck", "stop_grace_period"}
    like_the_site = {key: value for key, value in web.items() if key not in different}
    assert {key: watch[key] for key in like_the_site} == like_the_site


@pytest.mark.parametrize("file", ["compose.cuda.yaml", "compose.gpus.yaml"])
def test_each_search_worker_has_a_gpu_of_its_own(file: str) -> None:
    services = files.compose(file)["services"]
    gpus = {name: _gpus(service) for name, service in services.items()}
    searching = [gpu for name, found in gpus.items() if name.startswith("search") for gpu in found]
    assert len(searching) == len(set(searching)) == len([name for name in gpus if name.startswith("search")])
    assert gpus["gallery"] == gpus["search"]


def _gpus(service: dict[str, Any]) -> list[str]:
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    ids: list[str] = device["device_ids"]
    return ids


# --- A bucket, Milvus and several search workers --------------------------------------------------------------

CLUSTER = files.compose("compose.cluster.yaml")
ADDED = {name: service for name, service in CLUSTER["services"].items() if "image" in service}
CHANGED = {name: service for name, service in CLUSTER["services"].items() if "image" not in service}


def test_the_cluster_file_changes_services_that_there_are() -> None:
    assert CHANGED.keys() == set(SIMSEARCH)
    assert not ADDED.keys() & SERVICES.keys()
    assert CHANGED["search"]["deploy"]["replicas"] > 1


@pytest.mark.parametrize("name", SIMSEARCH)
def test_every_program_has_the_bucket_and_milvus(name: str) -> None:
    environment = CHANGED[name]["environment"]
    assert set(CHANGED[name]["secrets"]) >= set(SERVICES[name]["secrets"])
    assert (environment["SIMSEARCH_STORAGE"], environment["SIMSEARCH_INDEX"]) == ("s3", "milvus")
    settings = (ROOT / "simsearch" / "settings.py").read_text() + (ROOT / "simsearch" / "launch" / "gpu.py").read_text()
    for variable in environment:
        assert f'"{variable.removesuffix("_FILE")}"' in settings, variable
    for address in (environment["SIMSEARCH_S3_ENDPOINT"], environment["SIMSEARCH_MILVUS_URI"]):
        assert re.fullmatch(r"http://(\w+):\d+", address).group(1) in ADDED  # type: ignore[union-attr]


def test_the_bucket_is_made_by_the_names_that_the_programs_use() -> None:
    environment, make = CHANGED["web"]["environment"], ADDED["bucket"]["entrypoint"][-1]
    assert f"store/{environment['SIMSEARCH_S3_BUCKET']}" in make.split()
    assert environment["SIMSEARCH_S3_ACCESS_KEY"] == ADDED["minio"]["environment"]["MINIO_ROOT_USER"]
    assert environment["SIMSEARCH_S3_ACCESS_KEY"] == ADDED["milvus"]["environment"]["MINIO_ACCESS_KEY_ID"]
    for name in ("minio", "bucket", "milvus"):
        assert ADDED[name]["secrets"] == ["s3_secret_key"]
        assert environment["SIMSEARCH_S3_SECRET_KEY_FILE"] in str(ADDED[name])


def test_milvus_is_the_version_that_the_tests_run() -> None:
    [pinned] = re.findall(r"^milvus==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert ADDED["milvus"]["image"] == f"milvusdb/milvus:v{pinned}"


@pytest.mark.parametrize("name", ADDED)
def test_a_store_of_the_cluster_is_locked_in(name: str) -> None:
    service = ADDED[name]
    assert service["read_only"] is (name != "milvus")
    assert (service["cap_drop"], service["init"]) == (["ALL"], True)
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert ("ports" in service) == (service["networks"] != ["inside"]) == (name == "minio")
    assert name == "bucket" or service["healthcheck"]["test"][0] == "CMD"


def test_what_the_stores_of_the_cluster_write_is_on_a_volume() -> None:
    mounted = {mount.split(":")[0] for service in ADDED.values() for mount in service.get("volumes", [])}
    assert mounted == CLUSTER["volumes"].keys()
    assert not mounted & files.compose()["volumes"].keys()


def test_workers_start_when_the_stores_of_the_cluster_are_there() -> None:
    waits = {"bucket": {"condition": "service_completed_successfully"}, "milvus": {"condition": "service_healthy"}}
    assert CHANGED["search"]["depends_on"] == CHANGED["gallery"]["depends_on"] == waits
    assert CHANGED["web"]["depends_on"] == {"bucket": waits["bucket"]}
