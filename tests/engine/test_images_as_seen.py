"""Upright, on white, in sRGB: the pixels are what a person would see."""

import pytest
from PIL import Image

from engine.images.decoding import decode
from tests.engine.looks import Colour, colour_at, difference, near
from tests.engine.pictures import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    encoded,
    oriented,
    png,
    scene,
    swapped_profile,
    ycck_red,
)


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
