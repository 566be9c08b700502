"""Colours by profiles and by what files say without one: what is decoded is sRGB."""

import io
import math
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

from engine.images import colours
from engine.images.decoding import decode
from tests.engine.looks import colour_at, near
from tests.engine.pictures import GREEN, RED, WHITE, encoded, noise, png, swapped_profile
from tests.engine.truths import RIGHT, distance, given, grey, truth, with_chunks, with_code_points

Curve = Callable[[np.ndarray], np.ndarray]

P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
BT2020 = (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
SRGB = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
# From linear sRGB to linear light of other primaries (ITU-R BT.2087, SMPTE EG 432-1).
TO_P3 = [[0.822462, 0.177538, 0.0], [0.033194, 0.966806, 0.0], [0.017083, 0.072397, 0.910520]]
TO_BT2020 = [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
AS_IT_IS = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def linear(picture: Image.Image) -> np.ndarray:
    """Return the light of an sRGB picture."""
    code = np.asarray(picture) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def pq(light: np.ndarray, white_nits: float = 203) -> np.ndarray:
    root = (light * white_nits / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)


def hlg(light: np.ndarray, white_nits: float = 203) -> np.ndarray:
    scene = (light * white_nits / 1000) ** (1 / 1.2)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def recoded(picture: Image.Image, matrix: list[list[float]], curve: Curve) -> Image.Image:
    """Return the same colours in other primaries, with another transfer."""
    light = np.clip(linear(picture) @ np.array(matrix).T, 0, None)
    return Image.fromarray((np.clip(curve(light), 0, 1) * 255).round().astype(np.uint8))


def gamma(exponent: float) -> Curve:
    return lambda light: light ** (1 / exponent)


# --- Code points: PNG cICP, HEIC and AVIF nclx -----------------------------------------------------------------

SPACES: dict[str, tuple[int, int, list[list[float]], Curve]] = {
    "Display P3": (12, 13, TO_P3, srgb),
    "BT.2020 with sRGB's transfer": (9, 13, TO_BT2020, srgb),
    "BT.709, linear": (1, 8, AS_IT_IS, gamma(1)),
    "P3, gamma 2.2": (12, 4, TO_P3, gamma(2.2)),
    "BT.2020, PQ": (9, 16, TO_BT2020, pq),
    "BT.2020, HLG": (9, 18, TO_BT2020, hlg),
    "P3, PQ": (12, 16, TO_P3, pq),
    "sRGB": (1, 13, AS_IT_IS, srgb),
}
every_space = pytest.mark.parametrize(("primaries", "transfer", "matrix", "curve"), SPACES.values(), ids=SPACES)


@pytest.mark.parametrize(("name", "bound"), [("icc_srgb_linear.png", RIGHT), ("nclx_p3.heic", RIGHT)])
def test_the_given_files_show_the_truth(name: str, bound: float) -> None:
    assert distance(decode(given(name).read_bytes()), Image.open(given("truth.png"))) < bound


@every_space
@pytest.mark.parametrize("size", [(320, 240), (97, 64)])
def test_code_points_of_a_png(
    primaries: int, transfer: int, matrix: list[list[float]], curve: Curve, size: tuple[int, int]
) -> None:
    picture = truth(*size)
    chunk = (b"cICP", bytes([primaries, transfer, 0, 1]))
    data = with_chunks(encoded(recoded(picture, matrix, curve), "PNG"), chunk)
    assert distance(decode(data), picture) < RIGHT


@every_space
@pytest.mark.parametrize("name", ["HEIF", "AVIF"])
def test_code_points_of_heic_and_avif(
    name: str, primaries: int, transfer: int, matrix: list[list[float]], curve: Curve
) -> None:
    picture = truth(256, 192)
    data = with_code_points(encoded(recoded(picture, matrix, curve), name, quality=100), primaries, transfer)
    assert distance(decode(data), picture) < (4 if transfer == 16 else 2 * RIGHT)  # PQ magnifies the codec's rounding


@pytest.mark.parametrize("name", ["HEIF", "AVIF"])
@pytest.mark.parametrize("transfer", [1, 2, 6, 14, 15])
def test_video_s_transfers_in_heic_and_avif_mean_srgb(name: str, transfer: int) -> None:
    data = with_code_points(encoded(truth(), name), 1, transfer)
    assert distance(decode(data), truth()) < RIGHT


@pytest.mark.parametrize("points", [(2, 2), (1, 2), (1, 12), (0, 0), (255, 255)])
def test_code_points_that_say_nothing_change_no_pixel(points: tuple[int, int]) -> None:
    data = encoded(noise(), "PNG")
    assert decode(with_chunks(data, (b"cICP", bytes([*points, 0, 1])))).tobytes() == noise().tobytes()


def test_grey_with_code_points() -> None:
    picture = grey(truth())
    data = with_chunks(
        encoded(recoded(picture, AS_IT_IS, gamma(1)).convert("L"), "PNG"), (b"cICP", bytes([1, 8, 0, 1]))
    )
    assert distance(decode(data), picture) < RIGHT


def test_deep_grey_with_code_points() -> None:
    picture = grey(truth())
    deep = Image.fromarray((linear(picture)[..., 0] * 65535).round().astype(np.uint16))
    data = with_chunks(encoded(deep, "PNG"), (b"cICP", bytes([1, 8, 0, 1])))
    assert distance(decode(data), picture) < RIGHT


# --- HDR ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("transfer", "curve"), [(16, pq), (18, hlg)])
def test_highlights_are_distinguished_and_what_is_darker_keeps_its_order(
    transfer: int, curve: Callable[..., np.ndarray]
) -> None:
    nits = np.array([0, 20, 100, 203, 400, 700, 1000])
    codes = curve(np.repeat(nits[None, :, None] / 203, 3, axis=2).repeat(8, axis=0).repeat(8, axis=1))
    stored = Image.fromarray((np.clip(codes, 0, 1) * 255).round().astype(np.uint8))
    decoded = decode(with_chunks(encoded(stored, "PNG"), (b"cICP", bytes([9, transfer, 0, 1]))))
    shown = [colour_at(decoded, 8 * n + 4, 4)[0] for n in range(len(nits))]
    assert shown == sorted(set(shown))
    assert near((shown[3],), (188,), 4)  # half of the light: room above for the highlights
    assert near((shown[-1],), (255,), 3)


# --- ICC profiles, by their content ---------------------------------------------------------------------------


def profile(chromaticities: tuple[float, ...], exponent: float, name: str) -> bytes:
    """Return a matrix profile that calls itself that."""
    made = bytearray(colours._profile(chromaticities, lambda code: code**exponent))
    text = name.encode() + b"\0"
    tag = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(12 + 67)
    count = int.from_bytes(made[128:132])
    entries = bytes(made[132 : 132 + 12 * count])
    moved = b"".join(
        entries[at : at + 4]
        + struct.pack(">I", int.from_bytes(entries[at + 4 : at + 8]) + 12)
        + entries[at + 8 : at + 12]
        for at in range(0, len(entries), 12)
    )
    body = bytes(made[132 + 12 * count :])
    entry = b"desc" + struct.pack(">II", 132 + 12 * count + 12 + len(body), len(tag))
    whole = bytes(made[:128]) + struct.pack(">I", count + 1) + moved + entry + body + tag
    return len(whole).to_bytes(4) + whole[4:]


def grey_profile(exponent: float) -> bytes:
    """Return a profile of one channel."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags = ((b"wtpt", white), (b"kTRC", curve))
    at, entries = 132 + 12 * len(tags), b""
    for name, value in tags:
        entries += name + struct.pack(">II", at, len(value))
        at += len(value)
    head = struct.pack(">II4s4s4s4s", at, 0, b"\2\x10\0\0", b"mntr", b"GRAY", b"XYZ ") + bytes(12) + b"acsp"
    head = (head + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0")
    return head + struct.pack(">I", len(tags)) + entries + b"".join(value for _, value in tags)


@pytest.mark.parametrize("name", ["sRGB IEC61966-2.1", "sRGB", "anything"])
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "WEBP", "HEIF", "AVIF"])
def test_a_linear_profile_is_linear_whatever_its_name(format_: str, name: str) -> None:
    picture = truth()
    data = encoded(recoded(picture, AS_IT_IS, gamma(1)), format_, icc_profile=profile(SRGB, 1.0, name), quality=99)
    assert name in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile(SRGB, 1.0, name))))
    assert distance(decode(data), picture) < 2 * RIGHT


def test_a_profile_that_calls_itself_srgb_is_judged_by_its_content() -> None:
    data = encoded(Image.new("RGB", (16, 16), RED), "PNG", icc_profile=swapped_profile("sRGB"))
    assert near(colour_at(decode(data)), GREEN, 2)


@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP"])
def test_the_profile_of_srgb_changes_no_pixel_whatever_its_name(name: str) -> None:
    real = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = real.replace("sRGB".encode("utf-16-be"), "gRRB".encode("utf-16-be"))
    for content in (real, renamed):
        assert decode(encoded(noise(), name, icc_profile=content)).tobytes() == noise().tobytes()


@pytest.mark.parametrize("exponent", [1.0, 1.8])
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_grey_profile(mode: str, exponent: float) -> None:
    picture = grey(truth())
    stored = recoded(picture, AS_IT_IS, gamma(exponent)).convert("L")
    if mode == "I;16":
        codes = linear(picture)[..., 0] ** (1 / exponent)
        stored = Image.fromarray((codes * 65535).round().astype(np.uint16))
    elif mode == "LA":
        stored = stored.convert("LA")
    data = encoded(stored, "PNG", icc_profile=grey_profile(exponent))
    assert distance(decode(data), picture) < RIGHT


def test_a_grey_profile_with_alpha_is_put_on_white() -> None:
    stored = Image.new("LA", (16, 16), (55, 255))
    stored.paste((55, 0), (0, 0, 8, 16))
    decoded = decode(encoded(stored, "PNG", icc_profile=grey_profile(1.0)))
    assert colour_at(decoded) == WHITE
    assert near(colour_at(decoded, 12, 4), (128, 128, 128), 2)


def test_colours_with_alpha_are_converted_before_they_are_put_on_white() -> None:
    stored = Image.new("RGBA", (16, 16), (55, 55, 55, 128))
    decoded = decode(encoded(stored, "PNG", icc_profile=profile(SRGB, 1.0, "linear")))
    assert near(colour_at(decoded), (191, 191, 191), 2)


def test_grey_pixels_with_a_profile_for_colours() -> None:
    picture = grey(truth())
    stored = recoded(picture, AS_IT_IS, gamma(1)).convert("L")
    data = encoded(stored, "JPEG", icc_profile=profile(SRGB, 1.0, "linear"), quality=99)
    assert distance(decode(data), picture) < 2 * RIGHT


# --- gAMA and cHRM of PNG ------------------------------------------------------------------------------------------


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100000))


def chrm(chromaticities: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(value * 100000) for value in chromaticities))


@pytest.mark.parametrize("exponent", [1.0, 1.4, 1.8, 2.6])
@pytest.mark.parametrize("size", [(320, 240), (97, 64)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_gamma(exponent: float, size: tuple[int, int], mode: str) -> None:
    picture = grey(truth(*size)) if mode in ("L", "P") else truth(*size)
    stored = recoded(picture, AS_IT_IS, gamma(exponent))
    stored = stored.convert("L").convert("P") if mode == "P" else stored.convert(mode)
    assert distance(decode(with_chunks(encoded(stored, "PNG"), gama(1 / exponent))), picture) < RIGHT


@pytest.mark.parametrize(("chromaticities", "matrix"), [(P3, TO_P3), (BT2020, TO_BT2020)])
def test_gamma_with_primaries(chromaticities: tuple[float, ...], matrix: list[list[float]]) -> None:
    picture = truth()
    data = encoded(recoded(picture, matrix, gamma(2.2)), "PNG")
    assert distance(decode(with_chunks(data, gama(1 / 2.2), chrm(chromaticities))), picture) < RIGHT


UNCHANGED = {
    "gamma of sRGB": [gama(0.45455)],
    "gamma and primaries of sRGB": [gama(0.45455), chrm(SRGB)],
    "primaries alone": [chrm(P3)],
    "gamma 0": [gama(0)],
    "sRGB": [(b"sRGB", b"\0"), gama(1.0)],
    "cICP before gamma": [(b"cICP", bytes([1, 13, 0, 1])), gama(1.0)],
}


@pytest.mark.parametrize("chunks", UNCHANGED.values(), ids=UNCHANGED)
def test_what_changes_no_pixel(chunks: list[tuple[bytes, bytes]]) -> None:
    assert decode(with_chunks(encoded(noise(), "PNG"), *chunks)).tobytes() == noise().tobytes()


def test_senseless_primaries_do_not_cost_the_picture() -> None:
    data = with_chunks(encoded(truth(), "PNG"), gama(1 / 1.8), chrm((0.3127, 0.0, *[0.5] * 6)))
    assert decode(data).size == truth().size


# --- A transparent value ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 1, 257, 30000, 65535])
@pytest.mark.parametrize("reduce", [None, 8])
def test_deep_grey_with_a_transparent_value_shows_white(value: int, reduce: int | None) -> None:
    other = 20000
    row = struct.pack(">16H", *([value] * 8 + [other] * 8))
    data = png((16, 16), 16, 0, (b"\0" + row) * 16, (b"tRNS", struct.pack(">H", value)))
    decoded = decode(data, at_least_px=reduce)
    assert colour_at(decoded) == WHITE
    assert near(colour_at(decoded, decoded.width - 1), (math.floor(other / 257),) * 3, 1)


def test_a_transparent_value_is_one_value_and_not_its_neighbours() -> None:
    row = struct.pack(">4H", 999, 1000, 1001, 1000)
    data = png((4, 1), 16, 0, b"\0" + row, (b"tRNS", struct.pack(">H", 1000)))
    assert [colour_at(decode(data), x)[0] for x in range(4)] == [4, 255, 4, 255]


def test_deep_colours_with_a_transparent_colour_show_white() -> None:
    row = struct.pack(">6H", 257 * 9, 257 * 8, 257 * 7, 257 * 9, 257 * 8, 257 * 6)
    data = png((2, 1), 16, 2, b"\0" + row, (b"tRNS", struct.pack(">3H", 257 * 9, 257 * 8, 257 * 7)))
    assert [colour_at(decode(data), x) for x in range(2)] == [WHITE, (9, 8, 6)]
