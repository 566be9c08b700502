"""The main job on a running system: real Redis, real workers, real gunicorn, as `make run` starts them."""

import ast
import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from tests import demo
from tests.engine.pictures import oriented
from tests.stack import Stack


def test_a_picture_in_the_ten_most_like_it_out(stack: Stack) -> None:
    kind = demo.KINDS[0]
    own = next(stack.photos.glob(f"{kind.replace(' ', '-')}/*.jpg"))
    accepted = stack.ask(own.read_bytes())
    assert accepted.status_code == 202
    answer = stack.answer(accepted.json()["id"])
    assert answer["state"] == "done"
    assert len(answer["matches"]) == 10
    first = answer["matches"][0]
    assert first["image"]["label"] == kind.replace(" ", "-")
    assert first["similarity"] > 0.99
    picture = stack.client.get(first["image"]["thumbnail_url"])
    assert Image.open(io.BytesIO(picture.content)).format == "JPEG"


def test_the_eight_orientations_of_a_picture_have_the_same_matches(stack: Stack) -> None:
    picture = demo.picture(demo.KINDS[0], 100)
    answers = [stack.answer(stack.ask(oriented(picture, "PNG", number)).json()["id"]) for number in range(1, 9)]
    found = {tuple((match["image"]["id"], match["similarity"]) for match in answer["matches"]) for answer in answers}
    assert len(found) == 1
    assert len(found.pop()) == 10


def test_readiness_says_which_device_is_used(stack: Stack) -> None:
    checks = stack.client.get("/readyz").json()["checks"]
    assert checks["worker"]["model"] == ["efficientnet_lite0"]
    assert checks["worker"]["device"] in (["cpu"], ["cuda:0"])
    assert checks["index"]["generation"] >= 1  # tests that delete many pictures have it built again


def test_many_uploads_at_once_are_answered_in_batches(stack: Stack) -> None:
    pictures = demo.jpegs(64)
    with ThreadPoolExecutor(16) as threads:
        accepted = list(threads.map(stack.ask, pictures))
    assert {response.status_code for response in accepted} == {202}
    answers = [stack.answer(response.json()["id"]) for response in accepted]
    assert {answer["state"] for answer in answers} == {"done"}
    seen = tasks_seen_by_flower(stack)
    assert max(size for task in seen for size in task["batches"]) > 1
    assert {response.json()["id"] for response in accepted} <= {query for task in seen for query in task["queries"]}


def test_flower_shows_no_housekeeping(stack: Stack) -> None:
    stack.answer(stack.ask(demo.jpegs(1)[0]).json()["id"])
    tasks = httpx.get(f"{stack.flower_url}/api/tasks", params={"limit": 500}).json()
    names = {task["name"] for task in tasks.values()}
    assert "tasks.answer" in names
    assert not names & {"tasks.sweep", "tasks.expire"}


def tasks_seen_by_flower(stack: Stack) -> list[dict[str, Any]]:
    """Return the results of the answer runs, as the dashboard shows them."""
    tasks = httpx.get(f"{stack.flower_url}/api/tasks", params={"taskname": "tasks.answer", "limit": 500}).json()
    return [ast.literal_eval(task["result"]) for task in tasks.values() if task["state"] == "SUCCESS"]


def test_flower_shows_the_workers(stack: Stack) -> None:
    deadline = time.monotonic() + 30
    while True:
        names = httpx.get(f"{stack.flower_url}/api/workers", params={"refresh": "1"}, timeout=30).json()
        if {name.split("@")[0] for name in names} == {"search", "gallery"}:
            break
        assert time.monotonic() < deadline, names
        time.sleep(0.5)


def test_a_picture_added_while_serving_is_found(stack: Stack) -> None:
    folder = stack.directory / "more" / "newcomers"
    folder.mkdir(parents=True)
    picture = demo.jpeg(demo.KINDS[0], 999)
    (folder / "new.jpg").write_bytes(picture)
    done = stack.manage("import_images", str(folder.parent))
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 20
    while True:
        first = stack.answer(stack.ask(picture).json()["id"])["matches"][0]
        if first["image"]["label"] == "newcomers":
            break
        assert time.monotonic() < deadline, stack.output()
        time.sleep(0.5)
    assert first["similarity"] > 0.99


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which memory processes share")
def test_the_children_of_the_search_worker_share_the_memory_of_torch(stack: Stack) -> None:
    if any(device != "cpu" for device in stack.client.get("/readyz").json()["checks"]["worker"]["device"]):
        pytest.skip("each child imports torch after it chose its GPU")
    parent = psutil.Process(min(stack.pids("--queues search")))
    children = [child for child in parent.children() if "celery" in " ".join(child.cmdline())]
    assert children
    for process in [parent, *children]:
        assert any("libtorch_cpu" in library.path for library in process.memory_maps())
    # Of what a child has in memory at least half is its parent's: torch takes some 300 MB of it.
    for memory in (child.memory_full_info() for child in children):
        assert memory.uss < 0.5 * memory.rss
