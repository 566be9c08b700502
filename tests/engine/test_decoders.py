"""Pictures are decoded in confined processes: what a file does there costs its decoder and nothing else."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from engine.decoders.pool import Bounds, Decoded, Decoders, Jpeg, Request, TakesLong
from engine.errors import BadImage
from engine.images import decoding
from engine.images.headers import Crop, Limits
from tests.engine.bombs import BOMBS, slow_png
from tests.engine.pictures import FORMATS, encoded, scene
from tests.engine.test_images_memory import FAST, LARGEST, largest
from tests.stack import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")

SQUARE = (224, 256)
REQUEST = Request(
    16 * 2**20, 50_000_000, within_px=1000, jpegs=(Jpeg(85), Jpeg(82, within_px=320, ratio=4)), square=SQUARE
)
PATIENCE_S = 60
MOST_MB = 250


@contextmanager
def bounded(**bounds: float) -> Iterator[Decoders]:
    """Make decoders with other limits than usual."""
    pool = Decoders(Bounds(**bounds))  # type: ignore[arg-type]
    yield pool
    pool.close()


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with bounded() as pool:
        yield pool


def servers(of: psutil.Process | None = None) -> list[psutil.Process]:
    """Return the processes below this one that fork decoders."""
    below = (of or psutil.Process()).children()
    return [process for process in below if "engine.decoders.confined" in " ".join(process.cmdline())]


def server() -> psutil.Process:
    """Return the one of the pool that was made last."""
    return max(servers(), key=lambda server: server.create_time())


def processes() -> list[psutil.Process]:
    """Return its decoders."""
    return list(server().children())


def one(decoders: Decoders) -> psutil.Process:
    """Return the only decoder of this pool, at rest."""
    decoders.warm_up()
    [process] = processes()
    return process


def refusal(decoders: Decoders, data: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decoders.decode(data, REQUEST)
    return caught.value.code


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def status(process: psutil.Process) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def peak_mb() -> float:
    """Return the most memory that the only decoder has taken, with what it takes at rest."""
    [process] = processes()
    return int(status(process)["VmHWM"].split()[0]) * 1024 / 1e6


# What comes of a picture


@pytest.mark.parametrize("name", FORMATS)
def test_a_decoder_makes_what_this_process_would_make(decoders: Decoders, name: str) -> None:
    data = encoded(scene(1600, 1200), name)
    decoded, here = decoders.decode(data, REQUEST), decoding.decode(data, Limits(), within_px=1000)
    assert (decoded.width_px, decoded.height_px) == here.size
    assert decoded.jpegs == (decoding.to_jpeg(here, 1000), decoding.to_jpeg(here, 320, quality=82))
    assert decoded.pixels == decoding.square(here, *SQUARE).tobytes()


def test_a_part_of_a_picture_is_what_the_model_sees(decoders: Decoders) -> None:
    data, part = encoded(scene(900, 600), "PNG"), (0.5, 0.25, 0.25, 0.5)
    decoded = decoders.decode(data, Request(10**7, 10**7, crop=part, square=SQUARE))
    assert decoded.pixels == decoding.square(decoding.crop(scene(900, 600), Crop(*part)), *SQUARE).tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_whole_picture_is_its_rows_of_rgb(decoders: Decoders, mode: str) -> None:
    picture = scene(90, 60).convert(mode)
    decoded = decoders.decode(encoded(picture, "PNG"), Request(10**7, 10**7, whole=True))
    assert (decoded.width_px, decoded.height_px) == (90, 60)
    assert decoded.pixels == picture.convert("RGB").tobytes()


def test_a_refused_picture_keeps_its_decoder(decoders: Decoders) -> None:
    before = one(decoders)
    assert refusal(decoders, b"text") == "unsupported_format"
    assert refusal(decoders, encoded(scene(), "JPEG")[:400]) == "corrupt"
    assert processes() == [before]


def test_a_file_that_is_gone_is_an_error_of_this_process(decoders: Decoders, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decoders.decode(tmp_path / "gone", REQUEST)


def test_threads_have_a_decoder_each(decoders: Decoders) -> None:
    data = encoded(scene(800, 600), "PNG")
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: decoders.decode(data, REQUEST).pixels, range(40)))
    assert len(set(made)) == 1
    assert 1 <= len(processes()) <= 4


# Bombs


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_stays_within_what_a_picture_may_take(decoders: Decoders, name: str) -> None:
    process, data = one(decoders), BOMBS[name]()
    assert len(data) <= REQUEST.max_bytes
    try:
        assert decoders.decode(data, REQUEST).jpegs
    except BadImage as error:
        assert error.code in {"too_costly", "too_many_pixels"}  # noqa: PT017 (either is fine)
    assert processes() == [process]
    assert peak_mb() < MOST_MB


def test_exif_of_16_mb_is_ignored(decoders: Decoders) -> None:
    for name in ("png, rationals", "jpeg, rationals", "webp, rationals"):
        assert decoders.decode(BOMBS[name](), REQUEST).cpu_s < 2


def test_more_memory_than_allowed_is_too_costly_and_costs_no_other_picture() -> None:
    with bounded(address_space_bytes=40 * 10**6) as decoders:
        good = encoded(scene(300, 200), "JPEG")
        assert refusal(decoders, encoded(Image.new("RGB", (6000, 4000)), "PNG")) == "too_costly"
        assert decoders.decode(good, REQUEST).width_px == 300


@pytest.mark.parametrize("name", ["WEBP", "AVIF", "HEIF", "TIFF", "GIF"])
def test_no_codec_is_left_without_a_code_when_memory_runs_out(name: str) -> None:
    quick: dict[str, dict[str, Any]] = {"TIFF": {"compression": "tiff_lzw"}, "HEIF": FAST}
    with bounded(address_space_bytes=25 * 10**6) as decoders:
        assert refusal(decoders, encoded(Image.new("RGB", (3400, 3400)), name, **quick.get(name, {}))) in {
            "too_costly",
            "corrupt",
        }
        assert decoders.decode(encoded(scene(300, 200), "JPEG"), REQUEST).width_px == 300


def test_more_time_than_allowed_is_too_costly_and_costs_no_other_picture() -> None:
    with bounded(picture_s=0.1) as decoders:
        before = one(decoders)
        assert refusal(decoders, slow_png()) == "too_costly"
        assert decoders.decode(encoded(scene(300, 200), "JPEG"), REQUEST).width_px == 300
        wait_until(lambda: before not in processes())


def test_a_decoder_that_hangs_is_too_costly() -> None:
    with bounded(picture_s=0.5) as decoders:
        one(decoders).suspend()
        assert refusal(decoders, encoded(scene(), "JPEG")) == "too_costly"


def test_a_caller_without_patience_goes_on_and_may_ask_in_the_background(decoders: Decoders) -> None:
    before = one(decoders)
    with pytest.raises(TakesLong):
        decoders.decode(slow_png(), REQUEST, 0.05)
    wait_until(lambda: before not in processes())
    assert decoders.decode(slow_png(), REQUEST, in_background=True).width_px == 1000


# Killed decoders


def test_a_decoder_killed_at_rest_is_replaced(decoders: Decoders) -> None:
    one(decoders).kill()
    assert decoders.decode(encoded(scene(), "JPEG"), REQUEST).width_px == 120


def decoded_while(decoders: Decoders, data: bytes, act: Callable[[], None]) -> Decoded | BadImage:
    """Return what comes of a picture while something happens to its decoder."""
    results: list[Decoded | BadImage] = []

    def decode() -> None:
        try:
            results.append(decoders.decode(data, REQUEST))
        except BadImage as error:
            results.append(error)

    thread = threading.Thread(target=decode)
    thread.start()
    act()
    thread.join(PATIENCE_S)
    return results[0]


def kill_at_work(times: int) -> None:
    for _ in range(times):
        wait_until(lambda: any(process.cpu_times().user >= 0.05 for process in processes()))
        for process in processes():
            process.kill()
        wait_until(
            lambda: not any(process.is_running() and process.cpu_times().user >= 0.05 for process in processes())
        )


def test_a_decoder_killed_at_work_costs_no_picture(decoders: Decoders) -> None:
    decoders.warm_up()
    result = decoded_while(decoders, slow_png(), lambda: kill_at_work(1))
    assert isinstance(result, Decoded)


def test_a_picture_that_kills_its_decoder_twice_is_too_costly(decoders: Decoders) -> None:
    decoders.warm_up()
    result = decoded_while(decoders, slow_png(), lambda: kill_at_work(2))
    assert isinstance(result, BadImage)
    assert result.code == "too_costly"
    assert decoders.decode(encoded(scene(), "JPEG"), REQUEST).width_px == 120


def test_a_killed_server_is_replaced(decoders: Decoders) -> None:
    one(decoders)
    server().kill()
    assert decoders.decode(encoded(scene(), "JPEG"), REQUEST).width_px == 120


# Confinement


def limits(process: psutil.Process) -> dict[str, list[str]]:
    """Return the soft and the hard limit of each kind."""
    rows = Path(f"/proc/{process.pid}/limits").read_text().splitlines()[1:]
    return {row[:26].strip(): row[26:].split()[:2] for row in rows}


def test_a_decoder_is_confined(decoders: Decoders) -> None:
    process = one(decoders)
    has = limits(process)
    assert [has[f"Max {name}"] for name in ("core file size", "file size", "open files")] == [
        ["0", "0"],
        ["0", "0"],
        ["16", "16"],
    ]
    assert int(has["Max address space"][1]) - process.memory_info().vms <= 450e6
    assert status(process)["NoNewPrivs"] == "1"
    decoders.decode(encoded(scene(), "JPEG"), REQUEST)
    assert int(limits(process)["Max cpu time"][0]) in {5, 6}  # whole seconds, beyond what it has used


def test_the_processes_that_decode_know_no_secret_and_have_no_network_or_database(decoders: Decoders) -> None:
    one(decoders)
    assert "SECRET_KEY" in os.environ
    assert set(server().environ()) <= {"PATH", "MALLOC_ARENA_MAX", "OPENBLAS_NUM_THREADS", "LC_CTYPE"}
    mapped = {Path(entry.path).name for entry in server().memory_maps()}
    assert any("pillow_heif" in name or "_imaging" in name for name in mapped)
    assert [name for name in mapped if any(word in name for word in ("torch", "numpy", "sqlite", "ssl"))] == []


PARENT = """
import os, sys, time
from engine.decoders.pool import DECODERS
DECODERS.start()
if os.fork():  # the child has the server, and a decoder of its own
    os.wait()
DECODERS.warm_up()
print("ready", flush=True)
time.sleep(600)
"""


def test_decoders_end_with_the_processes_that_use_them() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"  # of the child
        [forking] = servers(psutil.Process(parent.pid))
        [decoder] = forking.children()
        for process in psutil.Process(parent.pid).children():
            if process != forking:
                process.kill()
        wait_until(lambda: not decoder.is_running())
        assert parent.stdout.readline() == b"ready\n"  # of the parent, by the same server
        assert len(forking.children()) == 1
        parent.kill()
        wait_until(lambda: not forking.is_running() or forking.status() == psutil.STATUS_ZOMBIE)


def test_a_stop_of_the_whole_group_leaves_the_decoders_to_the_batch(decoders: Decoders) -> None:
    process = one(decoders)
    for name in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(name)
        server().send_signal(name)
    assert decoders.decode(encoded(scene(), "JPEG"), REQUEST).width_px == 120
    assert processes() == [process]


def test_a_memory_file_carries_what_has_no_path(decoders: Decoders) -> None:
    with io.BytesIO(encoded(scene(), "PNG")) as file:
        assert decoders.decode(file.read(), REQUEST).height_px == 80


# The largest pictures that the headers allow


@pytest.mark.parametrize("kind", LARGEST)
def test_the_largest_of_each_kind_takes_at_most_250_mb(decoders: Decoders, kind: str) -> None:
    one(decoders)
    at_rest_mb = peak_mb()
    assert decoders.decode(largest(kind), REQUEST).jpegs
    assert peak_mb() - at_rest_mb < MOST_MB


@pytest.mark.parametrize("kind", LARGEST)
def test_large_gallery_pictures_take_no_more_memory(decoders: Decoders, kind: str) -> None:
    """What is kept up to 4,096 px is refused, and then kept smaller, where that would take more."""
    data = largest(kind)
    for within_px, pixels in ((4096, 50_000_000), (3072, 50_000_000), (1638, 40_000_000)):
        with suppress(BadImage):
            wanted = replace(REQUEST, max_pixels=pixels, within_px=within_px, jpegs=(Jpeg(85),), square=None)
            decoders.decode(data, wanted)
            assert peak_mb() < MOST_MB, within_px


def test_a_large_file_of_an_import_has_the_memory_that_it_needs(decoders: Decoders) -> None:
    data = encoded(Image.new("RGB", (6000, 8000)), "TIFF") + bytes(350 * 10**6)
    assert decoders.decode(data, replace(REQUEST, max_bytes=512 * 2**20)).width_px == 750
