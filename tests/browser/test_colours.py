"""Chromium is the reference: pictures are decoded to the pixels that it shows."""

import base64
import io
import struct

import pytest
from PIL import Image
from playwright.sync_api import Page

from engine.images.decoding import decode
from tests.engine.pictures import encoded
from tests.engine.test_images_colours import BT2020, P3, SRGB, chrm, gama, profile
from tests.engine.truths import distance, truth, with_chunks, with_code_points

SIZE = (256, 192)
PNG, AVIF = encoded(truth(*SIZE), "PNG"), encoded(truth(*SIZE), "AVIF")


def cicp(primaries: int, transfer: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes([primaries, transfer, 0, 1])


def hdr(transfer: int) -> bytes:
    """Return a picture that reaches 1,000 nits, and says so: Chromium assumes it of those that do not say it."""
    light = truth(*SIZE).point([round(value * (0.75 if transfer == 16 else 1)) for value in range(256)] * 3)
    brightest = struct.pack(">II", 10_000_000, 2_000_000)
    return with_chunks(encoded(light, "PNG"), cicp(1, transfer), (b"cLLI", brightest))


FILES = {
    "plain": (PNG, 0.1),
    "ICC, linear, called sRGB": (encoded(truth(*SIZE), "PNG", icc_profile=profile(SRGB, 1.0, "sRGB")), 0.5),
    "gAMA 1": (with_chunks(PNG, gama(1.0)), 0.5),
    "gAMA 1/1.8": (with_chunks(PNG, gama(1 / 1.8)), 0.5),
    "gAMA of sRGB": (with_chunks(PNG, gama(0.45455)), 0.5),
    "gAMA, cHRM: P3": (with_chunks(PNG, gama(0.45455), chrm(P3)), 0.5),
    "gAMA, cHRM: BT.2020": (with_chunks(PNG, gama(0.45455), chrm(BT2020)), 0.5),
    "cHRM alone": (with_chunks(PNG, chrm(P3)), 0.5),
    **{f"cICP {p}, {t}": (with_chunks(PNG, cicp(p, t)), 0.5) for p, t in ((12, 13), (9, 14), (1, 1), (1, 8), (4, 4))},
    "cICP, PQ": (hdr(16), 8),
    "cICP, HLG": (hdr(18), 8),
}
AVIFS = {f"{p}, {t}": with_code_points(AVIF, p, t) for p, t in ((1, 1), (2, 2), (12, 13), (9, 14), (9, 1), (1, 8))}


def shown(page: Page, kind: str, data: bytes) -> Image.Image:
    """Return what Chromium paints on white."""
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    page.set_content(f'<body style="margin:0;background:#fff"><img src="{address}">')
    page.wait_for_function("document.images[0].complete")
    width, height = page.evaluate("[document.images[0].naturalWidth, document.images[0].naturalHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")  # type: ignore[arg-type]


@pytest.mark.parametrize(("data", "bound"), FILES.values(), ids=FILES)
def test_png_as_chromium_shows_it(page: Page, data: bytes, bound: float) -> None:
    assert distance(decode(data), shown(page, "png", data)) < bound


@pytest.mark.parametrize("data", AVIFS.values(), ids=AVIFS)
def test_avif_as_chromium_shows_it(page: Page, data: bytes) -> None:
    assert distance(decode(data), shown(page, "avif", data)) < 0.5


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.9, 0.75])
def test_a_cut_jpeg_as_chromium_shows_it(page: Page, share: float, progressive: bool) -> None:
    data = encoded(truth(*SIZE), "JPEG", progressive=progressive)
    cut = data[: int(len(data) * share)]
    # Chromium leaves out the last stripe of eight or sixteen rows, which is there in part.
    assert distance(decode(cut), shown(page, "jpeg", cut)) < (1 if progressive else 10)
