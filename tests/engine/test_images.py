import io
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageFile, ImageStat

from engine.errors import BadImage
from engine.images import ALLOWED, Crop, Limits, crop, decode, to_jpeg
from tests.engine.pictures import (
    BLUE,
    FORMATS,
    GREEN,
    RED,
    WHITE,
    damaged,
    encoded,
    gif_without_width,
    noise,
    oriented,
    png,
    scene,
    swapped_profile,
    with_metadata,
    ycck_red,
)

# engine.images silences Pillow when it is imported, but pytest sets its own filters for every test.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

every_format = pytest.mark.parametrize("name", FORMATS)
LOSSLESS = ("PNG", "WEBP", "BMP", "TIFF")
Colour = tuple[int, ...]


def refusal(data: bytes, limits: Limits = Limits()) -> str:  # noqa: B008 - frozen
    """The code a file is refused with."""
    with pytest.raises(BadImage) as caught:
        decode(data, limits)
    message = str(caught.value)
    assert message.endswith(".")
    assert "; " in message
    return caught.value.code


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures of one size, in steps of 255."""
    assert one.size == other.size
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def colour_at(picture: Image.Image, x: int = 0, y: int = 0) -> Colour:
    colour = picture.getpixel((x, y))
    assert isinstance(colour, tuple)
    return colour


def near(one: Colour, other: Colour, tolerance: int = 4) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


# Formats


@every_format
def test_every_accepted_format_gives_the_picture(name: str) -> None:
    picture = decode(encoded(scene(), name))
    assert difference(picture, scene()) < (0.001 if name in LOSSLESS else 3)


def test_the_tests_draw_every_accepted_format() -> None:
    assert set(FORMATS) == set(ALLOWED)


@every_format
def test_what_comes_out_is_plain(name: str) -> None:
    picture = decode(with_metadata(name) if name != "GIF" else encoded(scene(), name, comment="secret"))
    assert picture.mode == "RGB"
    assert picture.info == {}
    assert not isinstance(picture, ImageFile.ImageFile)


@every_format
def test_decoding_twice_gives_the_same_pixels(name: str) -> None:
    data = encoded(noise(), name)
    assert decode(data).tobytes() == decode(data).tobytes()


@pytest.mark.parametrize("name", ["AVIF", "HEIF"])
def test_the_brand_that_avif_and_heic_share_is_read(name: str) -> None:
    data = encoded(scene(), name)
    assert data[4:8] == b"ftyp"
    assert decode(data[:8] + b"mif1" + data[12:]).size == scene().size


def test_a_phone_s_mpo_gives_its_first_picture() -> None:
    data = encoded(scene(), "MPO", save_all=True, append_images=[noise()], quality=95)
    assert difference(decode(data), scene()) < 4


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_only_the_first_frame_is_read(name: str) -> None:
    data = encoded(scene(), name, save_all=True, append_images=[noise(seed=seed) for seed in range(50)])
    assert difference(decode(data), scene()) < 3


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"optimize": True}, {"subsampling": 2}, {"restart_marker_blocks": 1}]
)
def test_all_kinds_of_jpeg_are_read(options: dict[str, int]) -> None:
    assert difference(decode(encoded(scene(), "JPEG", **options)), scene()) < 4


def test_an_interlaced_png_is_read() -> None:
    data = png((1, 1), 8, 2, b"\0\xff\0\0")
    header = data[12:28] + b"\1"
    interlaced = data[:12] + header + zlib.crc32(header).to_bytes(4) + data[33:]
    assert colour_at(decode(interlaced)) == RED


# Refusals


def test_an_empty_file_is_empty() -> None:
    assert refusal(b"") == "empty"


def test_a_file_over_the_limit_is_too_large_and_one_at_the_limit_is_not() -> None:
    data = encoded(scene(), "PNG")
    assert refusal(data, Limits(max_bytes=len(data) - 1)) == "too_large"
    assert decode(data, Limits(max_bytes=len(data))).size == scene().size


def test_the_message_names_the_limit() -> None:
    with pytest.raises(BadImage, match=r"^The file is larger than 16 MB; send a smaller one\.$"):
        decode(bytes(16 * 2**20 + 1))


@pytest.mark.parametrize(
    "data",
    [
        b"just text in a file named .jpg",
        b"\0" * 1000,
        b"<html><script>alert(1)</script></html>",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.7\n",
        b"8BPS\0\1" + bytes(100),
        b"P6 1 1 255 \xff\xff\xff",
        b"\0\0\0\x18ftypisom" + bytes(100),
        encoded(scene(), "ICO"),
        encoded(scene(), "TGA"),
        encoded(scene(), "JPEG2000"),
    ],
    ids=["text", "zeros", "html", "svg", "eps", "pdf", "psd", "ppm", "mp4", "ico", "tga", "jpeg2000"],
)
def test_anything_else_is_an_unsupported_format(data: bytes) -> None:
    assert refusal(data) == "unsupported_format"


@pytest.mark.parametrize("part", [0.02, 0.1, 0.25, 0.5, 0.75, 0.9])
@every_format
def test_a_truncated_file_is_corrupt(name: str, part: float) -> None:
    data = encoded(noise(), name)
    assert refusal(data[: max(20, int(len(data) * part))]) == "corrupt"


@pytest.mark.parametrize("at", [8, 12, 18, 24, 30])
def test_a_png_with_a_damaged_header_is_corrupt(at: int) -> None:
    data = bytearray(encoded(scene(), "PNG"))
    data[at] ^= 0x55
    assert refusal(bytes(data)) == "corrupt"


def test_a_png_whose_text_unpacks_to_gigabytes_is_corrupt() -> None:
    bomb = (b"zTXt", b"k\0\0" + zlib.compress(bytes(2**24)))
    assert refusal(png((1, 1), 8, 2, b"\0\xff\0\0", bomb)) == "corrupt"


@pytest.mark.parametrize("data", [gif_without_width(), png((0, 1), 8, 2, b"\0")], ids=["GIF", "PNG"])
def test_a_picture_without_width_is_corrupt(data: bytes) -> None:
    assert refusal(data) == "corrupt"


@pytest.mark.parametrize(("width", "height"), [(30000, 30000), (12000, 9000), (8000, 7000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_from_the_header_alone(width: int, height: int) -> None:
    data = png((width, height), 8, 2, bytes(1000))
    begin = time.perf_counter()
    assert refusal(data) == "too_many_pixels"
    assert time.perf_counter() - begin < 1


@every_format
def test_the_pixels_of_every_format_are_limited(name: str) -> None:
    data = encoded(scene(), name)
    pixels = scene().width * scene().height
    assert refusal(data, Limits(max_pixels=pixels - 1)) == "too_many_pixels"
    assert refusal(data, Limits(max_side_px=scene().width - 1)) == "too_many_pixels"
    assert decode(data, Limits(max_pixels=pixels, max_side_px=scene().width)).size == scene().size


def test_a_picture_long_and_thin_is_refused_by_its_side_and_read_within_it() -> None:
    assert refusal(encoded(Image.new("L", (65500, 1)), "JPEG")) == "too_many_pixels"
    thin = decode(encoded(Image.new("RGBA", (20000, 1), RED), "PNG"), at_least_px=1)
    assert thin.size == (20000, 1)


def test_a_jpeg_of_hundreds_of_scans_is_refused_at_once() -> None:
    data = encoded(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    assert decode(data, at_least_px=500).size == (500, 500)
    scan = data[data.rindex(b"\xff\xda") : -2]
    begin = time.perf_counter()
    assert refusal(data[:-2] + scan * 200 + data[-2:]) == "corrupt"
    assert time.perf_counter() - begin < 2


def test_a_jpeg_of_a_million_exif_segments_is_refused_at_once() -> None:
    data = encoded(scene(), "JPEG")
    begin = time.perf_counter()
    assert refusal(data[:2] + b"\xff\xe1\x00\x09Exif\0\0x" * 1_000_000 + data[2:]) == "corrupt"
    assert time.perf_counter() - begin < 2


@every_format
def test_a_damaged_file_is_a_picture_or_is_refused_and_nothing_else(name: str) -> None:
    data = encoded(scene(48, 32), name)
    codes = set()
    for bad in damaged(data, seed=len(name), count=300):
        try:
            assert decode(bad, Limits(max_pixels=10**6), at_least_px=16).mode == "RGB"
        except BadImage as error:
            codes.add(error.code)
    assert "corrupt" in codes
    assert codes <= {"corrupt", "unsupported_format", "too_many_pixels"}


# Upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_picture_comes_out_upright(name: str, orientation: int) -> None:
    assert difference(decode(oriented(scene(), name, orientation)), scene()) < 3


@pytest.mark.parametrize("orientation", [6, 7])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "HEIF"])
def test_a_reduced_picture_comes_out_upright(name: str, orientation: int) -> None:
    upright = decode(oriented(scene(960, 640), name, orientation), at_least_px=80)
    assert upright.size == (120, 80)
    assert difference(upright, scene()) < 6


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0nonsense" * 9,
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\1\3\0",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
    ],
    ids=["empty", "nonsense", "cut", "astray"],
)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_broken_exif_does_not_cost_the_picture(name: str, exif: bytes) -> None:
    assert difference(decode(encoded(scene(), name, exif=exif)), scene()) < 3


def test_an_orientation_that_does_not_exist_is_ignored() -> None:
    exif = Image.Exif()
    exif[274] = 99
    assert decode(encoded(scene(), "PNG", exif=exif)).tobytes() == scene().tobytes()


# Colours


def _palette(transparent: bool) -> bytes:
    picture = Image.new("P", (8, 8), 0 if transparent else 1)
    picture.putpalette([*BLUE, *RED])
    return encoded(picture, "PNG", transparency=0)


TRANSPARENT = {
    "rgba-clear": (encoded(Image.new("RGBA", (8, 8), (*RED, 0)), "PNG"), WHITE),
    "rgba": (encoded(Image.new("RGBA", (8, 8), (*RED, 128)), "PNG"), (255, 127, 127)),
    "webp": (encoded(Image.new("RGBA", (8, 8), (*RED, 128)), "WEBP"), (255, 127, 127)),
    "avif": (encoded(Image.new("RGBA", (64, 64), (*RED, 128)), "AVIF"), (255, 127, 127)),
    "heic": (encoded(Image.new("RGBA", (64, 64), (*RED, 128)), "HEIF"), (255, 127, 127)),
    "tiff": (encoded(Image.new("RGBA", (8, 8), (*RED, 128)), "TIFF"), (255, 127, 127)),
    "la": (encoded(Image.new("LA", (8, 8), (0, 128)), "PNG"), (127, 127, 127)),
    "p-clear": (_palette(transparent=True), WHITE),
    "p": (_palette(transparent=False), RED),
    "gif": (encoded(Image.new("P", (8, 8), 0), "GIF", transparency=0), WHITE),
    "rgb-trns-hit": (png((1, 1), 8, 2, b"\0\xff\0\0", (b"tRNS", b"\0\xff\0\0\0\0")), WHITE),
    "rgb-trns-miss": (png((1, 1), 8, 2, b"\0\xff\0\0", (b"tRNS", b"\0\xff\0\0\0\1")), RED),
    "l-trns": (png((1, 1), 8, 0, b"\0\x10", (b"tRNS", b"\0\x10")), WHITE),
    "1-trns": (png((1, 1), 1, 0, b"\0\x00", (b"tRNS", b"\0\0")), WHITE),
}


@pytest.mark.parametrize(("data", "colour"), TRANSPARENT.values(), ids=TRANSPARENT)
def test_what_is_transparent_shows_white(data: bytes, colour: Colour) -> None:
    assert near(colour_at(decode(data)), colour)


COLOURS = {
    "cmyk-tiff": (encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF"), RED),
    "cmyk-jpeg": (encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), RED),
    "ycck-jpeg": (ycck_red(), RED),
    "ycbcr": (encoded(Image.new("YCbCr", (16, 16), (76, 84, 255)), "TIFF"), RED),
    "lab": (encoded(Image.new("LAB", (16, 16), (255, 128, 128)), "TIFF"), WHITE),
    "grey": (encoded(Image.new("L", (16, 16), 77), "JPEG"), (77, 77, 77)),
    "bilevel": (encoded(Image.new("1", (16, 16), 1), "PNG"), WHITE),
    "fax": (encoded(Image.new("1", (16, 16), 1), "TIFF", compression="group4"), WHITE),
    "rgb16": (png((1, 1), 16, 2, b"\0\xff\xff\x80\x00\x00\xff"), (255, 128, 0)),
    "rgba16": (png((1, 1), 16, 6, b"\0\xff\xff\x00\x00\x00\xff\x00\x00"), WHITE),
    "grey2": (png((1, 1), 2, 0, b"\0\x80"), (170, 170, 170)),
}


@pytest.mark.parametrize(("data", "colour"), COLOURS.values(), ids=COLOURS)
def test_every_colour_model_becomes_rgb(data: bytes, colour: Colour) -> None:
    assert near(colour_at(decode(data)), colour)


@pytest.mark.parametrize("reduce", [None, 4])
@pytest.mark.parametrize(
    ("mode", "grey", "name"),
    [
        ("I;16", 128 * 257, "PNG"),
        ("I;16", 128 * 257, "TIFF"),
        ("I;16B", 128 * 257, "TIFF"),
        ("I", 128 * 257, "TIFF"),
        ("F", 128 / 255, "TIFF"),
        ("F", 128.0, "TIFF"),
    ],
)
def test_deep_grey_is_scaled_and_not_clipped(mode: str, grey: float, name: str, reduce: int | None) -> None:
    white = {128: 255, 128 * 257: 65535}.get(int(grey), 1)
    picture = Image.new("I" if mode == "I;16B" else mode, (8, 8), grey)
    picture.paste(white, (0, 0, 4, 8))
    if mode == "I;16B":
        picture = Image.frombytes(mode, (8, 8), picture.tobytes("raw", "I;16B"))
    out = decode(encoded(picture, name), at_least_px=reduce)
    assert colour_at(out, 0) == WHITE
    assert near(colour_at(out, out.width - 1), (128, 128, 128), 1)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_colours_are_what_the_profile_says(name: str) -> None:
    data = encoded(Image.new("RGB", (64, 64), RED), name, icc_profile=swapped_profile())
    assert near(colour_at(decode(data), 32, 32), GREEN, 12)


@pytest.mark.parametrize("profile", [b"nonsense", bytes(200), swapped_profile()[:400]])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_broken_or_foreign_profile_does_not_cost_the_picture(mode: str, profile: bytes) -> None:
    plain = Image.new(mode, (16, 16))
    assert difference(decode(encoded(plain, "JPEG", icc_profile=profile)), plain.convert("RGB")) < 1


def test_a_profile_that_calls_itself_srgb_is_believed_and_changes_no_pixel() -> None:
    data = encoded(noise(), "PNG", icc_profile=swapped_profile("sRGB"))
    assert decode(data).tobytes() == noise().tobytes()


# Reduced decoding


@pytest.mark.parametrize("at_least_px", [100, 333, 450, 899, 900, 5000])
@every_format
def test_a_reduced_picture_is_large_enough_and_looks_the_same(name: str, at_least_px: int) -> None:
    data = encoded(scene(1200, 900), name, **({"quality": 60} if name in ("AVIF", "HEIF") else {}))
    full, reduced = decode(data), decode(data, at_least_px=at_least_px)
    assert min(reduced.size) >= min(at_least_px, 900)
    assert max(reduced.size) <= 1200
    assert difference(full.resize((32, 24), Image.Resampling.BOX), reduced.resize((32, 24))) < 8


@pytest.mark.parametrize(("name", "shorter"), [("JPEG", 113), ("PNG", 100), ("HEIF", 100)])
def test_a_picture_is_reduced_as_far_as_it_may_be(name: str, shorter: int) -> None:
    assert min(decode(encoded(scene(1200, 900), name), at_least_px=100).size) == shorter


def test_a_thumbnail_inside_a_heic_is_not_taken_for_the_picture() -> None:
    data = encoded(scene(1200, 900), "HEIF", thumbnails=[256])
    assert min(decode(data, at_least_px=100).size) == 100


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK"])
def test_bands_leave_no_seam(mode: str) -> None:
    picture = scene(1501, 1999).convert(mode)
    whole = picture.convert("RGB")
    assert decode(encoded(picture, "TIFF")).tobytes() == whole.tobytes()
    third = decode(encoded(picture, "TIFF"), at_least_px=500)
    assert difference(third, whole.reduce(3)) < 0.5


_PEAK = """
import pathlib, re, sys
sys.path.insert(0, ".")
from engine.images import decode
def peak_mb():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) / 1000
data = sys.stdin.buffer.read()
before = peak_mb()
decode(data, at_least_px=512)
print(peak_mb() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells the peak of a process")
def test_fifty_megapixels_with_alpha_take_at_most_250_mb() -> None:
    data = png((10000, 5000), 8, 6, bytes(5000 * (1 + 4 * 10000)))
    done = subprocess.run([sys.executable, "-c", _PEAK], input=data, capture_output=True, check=True)
    assert 100 < float(done.stdout) < 250


# Files made from the pixels


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_no_metadata_survives_in_the_new_file(name: str) -> None:
    data = with_metadata(name)
    assert b"secret" in data
    new = to_jpeg(decode(data), 2000)
    assert b"secret" not in new
    assert b"s\0e\0c\0r\0e\0t" not in new
    assert b"Exif" not in new
    with Image.open(io.BytesIO(new)) as reopened:
        assert set(reopened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_to_jpeg_takes_only_the_pixels_of_whatever_it_is_given() -> None:
    with Image.open(io.BytesIO(with_metadata("JPEG"))) as picture:
        assert b"secret" not in to_jpeg(picture, 2000)
        assert b"secret" not in to_jpeg(picture, 20)


@pytest.mark.parametrize("name", ["JPEG", "GIF", "PNG"])
def test_what_is_hidden_behind_a_picture_is_left_behind(name: str) -> None:
    polyglot = encoded(scene(), name) + b"<script>alert('payload')</script>"
    assert b"payload" not in to_jpeg(decode(polyglot), 2000)


@pytest.mark.parametrize(
    ("size", "max_side_px", "expected"),
    [
        ((400, 300), 200, (200, 150)),
        ((300, 400), 200, (150, 200)),
        ((40, 30), 200, (40, 30)),
        ((4000, 1), 10, (10, 1)),
    ],
)
def test_to_jpeg_shrinks_and_never_enlarges(size: tuple[int, int], max_side_px: int, expected: tuple[int, int]) -> None:
    picture = scene(*size)
    assert decode(to_jpeg(picture, max_side_px)).size == expected
    assert picture.size == size


def test_a_better_quality_is_nearer_to_the_picture() -> None:
    rough, fine = (decode(to_jpeg(noise(), 2000, quality)) for quality in (30, 95))
    assert difference(fine, noise()) < difference(rough, noise())


# Crops


@pytest.mark.parametrize(
    ("part", "colour", "size"),
    [
        (Crop(0, 0, 0.05, 0.05), RED, (6, 4)),
        (Crop(0.75, 0, 0.25, 0.25), GREEN, (30, 20)),
        (Crop(0, 0.9, 0.1, 0.1), BLUE, (12, 8)),
        (Crop(0, 0, 1, 1), RED, (120, 80)),
        (Crop(0.999, 0, 0.001, 0.001), GREEN, (1, 1)),
        (Crop(0.33333334, 0.9, 0.66666667, 0.1), BLUE, (80, 8)),
    ],
)
def test_a_crop_is_that_part_of_the_picture(part: Crop, colour: Colour, size: tuple[int, int]) -> None:
    piece = crop(scene(), part)
    assert colour_at(piece) == colour
    assert piece.size == size


@pytest.mark.parametrize(
    "part",
    [
        (-0.1, 0, 0.5, 0.5),
        (0, 0, 0, 0.5),
        (0, 0, 1.1, 1),
        (0.6, 0, 0.5, 1),
        (1, 0, 0.5, 1),
        (0, 0, float("nan"), 1),
    ],
)
def test_a_crop_outside_the_picture_cannot_be_made(part: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="crop"):
        Crop(*part)


@pytest.mark.parametrize("part", [Crop(0, 0, 1e-9, 1e-9), Crop(0.999999, 0.999999, 1e-6, 1e-6)])
def test_a_crop_has_at_least_one_pixel(part: Crop) -> None:
    assert crop(scene(3, 2), part).size == (1, 1)


# The process around it


def test_threads_get_what_one_thread_gets() -> None:
    files = [encoded(noise(seed=seed), name) for name in FORMATS for seed in range(4)]
    alone = [decode(data).tobytes() for data in files]
    with ThreadPoolExecutor(8) as threads:
        assert [picture.tobytes() for picture in threads.map(decode, files)] == alone


_QUIET = """
import sys
sys.path.insert(0, ".")
from engine.images import decode
decode(sys.stdin.buffer.read())
print(sorted({"numpy", "torch", "django"} & set(sys.modules)))
"""


def test_pillow_s_warnings_are_neither_printed_nor_errors_and_nothing_heavy_is_imported() -> None:
    cut = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\1\3\0"
    command = [sys.executable, "-W", "error", "-c", _QUIET]
    done = subprocess.run(command, input=encoded(scene(), "JPEG", exif=cut), capture_output=True)
    assert (done.stderr, done.stdout.strip()) == (b"", b"[]")
