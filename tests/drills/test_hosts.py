"""Two hosts that share PostgreSQL, Redis and S3: pictures, index and work are those of both, and one may die."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import demo
from tests.deployment import outside
from tests.drills.hosts import KEY, Host, Hosts, must_be_possible
from tests.drills.searching import InBackground, wait_until
from tests.stack import ROOT, free_port

QUERIES, ASKERS = 500, 16
PATIENCE_S = 180
PROMISED_S = 5  # from the embedding of a picture to the last search of the other host that does not know it
SWAPS, USED_WITHIN_S = 20, 15
WRONG_PASSWORDS = 5  # of one client in a minute

SWAP = f"""
import time
from gallery.index import generations
from tasks.indexing.build import build_generation
model_id = generations.active().model_id
for _ in range({SWAPS // 2}):
    number = build_generation(model_id, lambda _: None).number
    print("swapped", time.time(), number, flush=True)
    time.sleep(2)
    print("swapped", time.time(), generations.roll_back().number, flush=True)
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    must_be_possible()
    settings = {"SIMSEARCH_UPLOADS_PER_MINUTE": "1000000", "SIMSEARCH_BATCH": "8", "SIMSEARCH_SEARCH_CHILDREN": "1"}
    with Hosts(tmp_path_factory.mktemp("hosts"), FORWARDED_ALLOW_IPS="127.0.0.1", **settings) as both:
        both.wait_for(both.b, "opened generation", PATIENCE_S)
        yield both


def done_by(host: Host) -> int:
    """Return how many queries the host's workers say that they have finished, by the line of each batch."""
    log = (host.data_dir / "logs" / "search.log").read_text()
    return sum(map(int, re.findall(r"batch of \d+: (\d+) done", log)))


def faults(host: Host) -> str:
    """Return what the host's web processes say of a request that broke."""
    log = (host.data_dir / "logs" / "web.log").read_text()
    return log[log.find("Traceback") :][:6000] if "Traceback" in log else log[-1000:]


def ask_both(hosts: Hosts, pictures: list[bytes]) -> list[httpx.Response | None]:
    """Upload to one and the other in turns; None where the host was gone."""

    def ask(number: int) -> httpx.Response | None:
        host = (hosts.a, hosts.b)[number % 2]
        try:
            while (response := host.ask(pictures[number % len(pictures)])).status_code == 503:
                time.sleep(0.5)  # the S3 server was slow, and nothing was kept
        except httpx.TransportError:
            return None
        return response

    with ThreadPoolExecutor(ASKERS) as askers:
        return list(askers.map(ask, range(QUERIES)))


def test_a_new_host_fetched_the_index_once(hosts: Hosts) -> None:
    said = (hosts.b.data_dir / "logs" / "search.log").read_text()
    assert len(re.findall(r"fetched generation \d+", said)) == 1
    assert any(path.name.isdecimal() for path in (hosts.b.data_dir / "index").iterdir())


def test_five_hundred_queries_are_answered_once_by_both(hosts: Hosts) -> None:
    before = done_by(hosts.a) + done_by(hosts.b)
    accepted = ask_both(hosts, demo.jpegs(50))
    statuses = Counter(response and response.status_code for response in accepted)
    assert statuses == {202: QUERIES}, (statuses, faults(hosts.a), faults(hosts.b))
    ids = [response.json()["id"] for response in accepted if response]
    # Each host knows the queries of the other one.
    answers = [(hosts.b, hosts.a)[n % 2].answer(id_, PATIENCE_S) for n, id_ in enumerate(ids)]
    assert Counter((answer["state"], len(answer["matches"])) for answer in answers) == {("done", 10): QUERIES}
    by = hosts.a.claimed(*ids), hosts.b.claimed(*ids)
    print(f"answered by host-a and host-b: {by}")
    assert sum(by) == QUERIES
    assert min(by) > QUERIES / 20
    wait_until(lambda: done_by(hosts.a) + done_by(hosts.b) - before >= QUERIES, hosts.a, PATIENCE_S)
    assert done_by(hosts.a) + done_by(hosts.b) - before == QUERIES


def embedded_at(hosts: Hosts, title: str) -> float:
    question = (
        "SELECT extract(epoch FROM e.created_at) FROM gallery_embedding e "
        "JOIN gallery_image i ON i.content_hash = e.content_hash WHERE i.title = %s"
    )
    wait_until(lambda: bool(hosts.a.rows(question, title)), hosts.a, PATIENCE_S)
    return float(hosts.a.rows(question, title)[0][0])


def test_a_picture_added_on_one_host_is_found_by_a_search_of_the_other(hosts: Hosts) -> None:
    picture, title = demo.jpeg(demo.KINDS[0], 2000), "Added on host-a"
    searches: list[tuple[float, float, str]] = []

    def search(_: int) -> None:
        at = time.time()
        accepted = hosts.b.ask(picture)
        hosts.b.answer(accepted.json()["id"], PATIENCE_S)
        searches.append((at, time.time(), accepted.json()["id"]))

    def of_b() -> dict[str, bool]:
        """Return the searches that host-b answered, and whether each found the picture."""
        rows = hosts.b.rows("SELECT id, claimed_by, matches FROM gallery_query WHERE state = 'done'")
        found = hosts.a.rows("SELECT id FROM gallery_image WHERE title = %s", title)
        image = str(found[0][0]) if found else ""
        return {
            str(id_): _matches(matches)[0]["image"] == image for id_, by, matches in rows if by.startswith("host-b/")
        }

    form = {"title": title, "label": "added"}
    added = hosts.a.client.post(
        "/api/images", data=form, files={"image": ("new.jpg", picture)}, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert added.status_code == 201, added.text
    at = embedded_at(hosts, title)  # by a gallery worker that loads its model for it
    with InBackground(search, 2, 0.2):
        wait_until(lambda: any(of_b().values()), hosts.b, PATIENCE_S)
    answered = of_b()
    missed_s = [begun - at for begun, _, id_ in searches if id_ in answered and not answered[id_]]
    found_s = min(end - at for _, end, id_ in searches if answered.get(id_))
    print(
        f"found by host-b {found_s:.2f} s after its embedding; last search without it {max(missed_s, default=0):.2f} s"
    )
    assert max(missed_s, default=0) < PROMISED_S


def _matches(stored: Any) -> Any:
    return json.loads(stored) if isinstance(stored, str) else stored


def swap(host: Host) -> list[tuple[float, int]]:
    """Return when which generation became active, by a second terminal of this host."""
    command = [sys.executable, "manage.py", "shell", "-c", SWAP]
    done = subprocess.run(command, cwd=ROOT, env=host.environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return [(float(at), int(n)) for at, n in re.findall(r"^swapped (\S+) (\d+)$", done.stdout, re.MULTILINE)]


def test_twenty_generations_of_one_host_are_used_by_the_other_within_15_s(hosts: Hosts) -> None:
    images = [image["id"] for image in hosts.a.client.get("/api/images").json()["images"]]
    states: Counter[str] = Counter()
    ids: list[str] = []

    def search(turn: int) -> None:
        host = (hosts.a, hosts.b)[turn % 2]
        accepted = host.client.post("/api/queries", data={"like": images[turn % len(images)]})
        assert accepted.status_code == 202, accepted.text
        ids.append(accepted.json()["id"])
        states[host.answer(ids[-1], PATIENCE_S)["state"]] += 1

    first = hosts.a.client.get("/readyz").json()["checks"]["index"]["generation"]
    began = time.time()
    with InBackground(search, 4, 0.2):
        swaps = [(began, first), *swap(hosts.a)]
        last = swaps[-1][1]
        wait_until(lambda: last in {generation for _, generation in used(hosts.b, ids)}, hosts.b, USED_WITHIN_S)
    assert states == {"done": len(ids)}
    assert len(swaps) == SWAPS + 1
    late = [(at, number) for at, number in used(hosts.b, ids) if number not in active_within(swaps, at, USED_WITHIN_S)]
    print(f"{len(ids)} searches; host-b used {sorted({number for _, number in used(hosts.b, ids)})}")
    assert late == []
    assert "problem" not in hosts.b.client.get("/readyz").json()["checks"]["index"]


def used(host: Host, ids: list[str]) -> list[tuple[float, int]]:
    """Return which generations the host used for these queries, and when."""
    question = (
        "SELECT id, claimed_by, extract(epoch FROM claimed_at), generation FROM gallery_query WHERE state = 'done'"
    )
    mine = set(ids)
    return [
        (float(at), number)
        for id_, by, at, number in host.rows(question)
        if str(id_) in mine and by.startswith(f"{host.name}/")
    ]


def active_within(swaps: list[tuple[float, int]], at: float, seconds: float) -> set[int]:
    """Return what was active in the seconds before; a batch may notice a change after its claim."""
    ends = [later for later, _ in swaps[1:]] + [float("inf")]
    return {number for (begin, number), end in zip(swaps, ends, strict=True) if begin < at + 5 and end > at - seconds}


# --- Both behind one nginx --------------------------------------------------------------------------------------


@contextmanager
def nginx(hosts: Hosts, directory: Path) -> Iterator[str]:
    """Run an nginx with both web hosts in its upstream; its address."""
    if reason := outside.unavailable():
        pytest.skip(reason)
    directory.mkdir(exist_ok=True)
    given = hosts.a.environment | {
        "ALLOWED_HOSTS": "127.0.0.1",
        "SIMSEARCH_ACCEL_PREFIX": "/_pictures/",
        "SIMSEARCH_WEB_UPSTREAM": f"127.0.0.1:{hosts.a.port}",
        "SIMSEARCH_FLOWER_UPSTREAM": f"127.0.0.1:{free_port()}",
    }
    server = outside.Nginx(directory, given)
    server.render()
    site = directory / "etc" / "sites-enabled" / "simsearch"
    line = f"server 127.0.0.1:{hosts.a.port} max_fails=0;"
    assert line in site.read_text()
    site.write_text(site.read_text().replace(line, f"{line}\n    server 127.0.0.1:{hosts.b.port} max_fails=0;"))
    with server:
        yield f"http://127.0.0.1:{server.port}"


def requests(host: Host, words: str) -> int:
    """Return how many of these requests the host's log has."""
    return (host.data_dir / "logs" / "web.log").read_text().count(words)


def test_a_session_begun_on_one_web_host_goes_on_on_the_other(hosts: Hosts, tmp_path: Path) -> None:
    account = {"DJANGO_SUPERUSER_PASSWORD": "drawn-by-hand"}
    hosts.a.environment |= account
    made = hosts.a.manage("createsuperuser", "--noinput", "--username", "curator", "--email", "curator@example.org")
    assert made.returncode == 0, made.stderr
    with nginx(hosts, tmp_path) as url, httpx.Client(base_url=url, timeout=60, follow_redirects=True) as browser:
        browser.get("/admin/login/")
        form = {"username": "curator", "password": "drawn-by-hand", "next": "/admin/"}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        assert "Log out" in browser.post("/admin/login/", data=form, headers={"Referer": url}).text
        before = [requests(host, "GET admin") for host in (hosts.a, hosts.b)]
        pages = [browser.get("/admin/").text for _ in range(10)]
        assert all("Log out" in page for page in pages)
        after = [requests(host, "GET admin") for host in (hosts.a, hosts.b)]
    assert min(now - then for now, then in zip(after, before, strict=True)) >= 3, (before, after)


def test_wrong_passwords_are_counted_for_both_web_hosts(hosts: Hosts, tmp_path: Path) -> None:
    with nginx(hosts, tmp_path) as url, httpx.Client(base_url=url, timeout=60) as browser:
        browser.get("/admin/login/")
        form = {"username": "nobody", "password": "guessed", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        pages = [browser.post("/admin/login/", data=form, headers={"Referer": url}) for _ in range(WRONG_PASSWORDS + 3)]
    refused = ["Too many wrong passwords" in page.text or page.status_code == 429 for page in pages]
    assert refused == [False] * WRONG_PASSWORDS + [True] * 3


# --- The end of a host: the last test, for it leaves one alone --------------------------------------------------


def test_no_query_is_lost_when_a_host_is_killed_in_the_middle(hosts: Hosts, tmp_path: Path) -> None:
    with nginx(hosts, tmp_path) as url, ThreadPoolExecutor(1) as thread:
        count = hosts.a.rows("SELECT count(*) FROM gallery_query")[0][0]
        asking = thread.submit(ask_both, hosts, demo.jpegs(50))

        def is_in_the_middle() -> bool:
            answered = hosts.a.rows("SELECT count(*) FROM gallery_query WHERE state = 'done'")[0][0] - count
            running = hosts.a.rows(
                "SELECT count(*) FROM gallery_query WHERE state = 'running' AND claimed_by LIKE 'host-b/%%'"
            )
            return bool(answered > QUERIES / 10 and running[0][0])

        wait_until(is_in_the_middle, hosts.a, PATIENCE_S)
        hosts.b.kill()
        killed_at = time.time()
        ids = [response.json()["id"] for response in asking.result() if response and response.status_code == 202]
        left = hosts.b.claimed(*ids)
        with httpx.Client(base_url=url, timeout=60) as visitor:
            assert {visitor.get("/healthz").status_code for _ in range(20)} == {200}
    answers = [hosts.a.answer(id_, PATIENCE_S) for id_ in ids]
    print(f"{len(ids)} accepted, {left} claimed by host-b; all answered {time.time() - killed_at:.0f} s after its end")
    assert Counter((answer["state"], len(answer["matches"])) for answer in answers) == {("done", 10): len(ids)}
    assert len(ids) > QUERIES / 2
    assert hosts.a.claimed(*ids)
    assert left
    tried = dict(hosts.a.rows("SELECT attempts, count(*) FROM gallery_query GROUP BY 1"))
    assert max(tried) == 2, tried  # what host-b had in hand, once more
    hosts.b.start()
    before = (hosts.b.data_dir / "logs" / "search.log").read_text().count("opened generation")
    wait_until(
        lambda: (hosts.b.data_dir / "logs" / "search.log").read_text().count("opened generation") > before,
        hosts.b,
        PATIENCE_S,
    )
