"""TIFF of all kinds: what is decoded has the pixels of the picture that was written."""

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from engine.errors import BadImage
from engine.images.decoding import decode
from tests.engine.looks import colour_at
from tests.engine.pictures import WHITE
from tests.engine.truths import RIGHT, distance, given, grey, packed, tiff, truth

Numbers = NDArray[Any]
SIZES = [(320, 240), (97, 64), (64, 131)]
ORDERS = ["<", ">"]
PACKINGS: list[dict[str, Any]] = [
    {},
    {"compression": "lzw", "predictor": True},
    {"compression": "zlib"},
    {"compression": "zstd"},
    {"tile": (32, 64)},
    {"compression": "zlib", "predictor": True, "tile": (64, 32)},
    {"bigtiff": True},
    {"rowsperstrip": 7},
]
every_way = pytest.mark.parametrize(
    ("size", "order", "packing"),
    [(SIZES[n % len(SIZES)], order, packing) for n, packing in enumerate(PACKINGS) for order in ORDERS],
    ids=str,
)


def written(numbers: Numbers, photometric: str, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, numbers, photometric=photometric, **options)
    return file.getvalue()


def colours(picture: Image.Image) -> Numbers:
    return np.asarray(picture)


def lightness(picture: Image.Image) -> Numbers:
    return np.asarray(picture.convert("L"))


@pytest.mark.parametrize("name", ["rgb16_planar.tif", "l16_whiteiszero.tif", "float_peak2.tif"])
def test_the_given_files_show_the_truth(name: str) -> None:
    shown = Image.open(given("truth.png")).convert("RGB")
    decoded = decode(given(name).read_bytes())
    assert distance(decoded, shown if name.startswith("rgb") else grey(shown)) < RIGHT


@every_way
@pytest.mark.parametrize("alpha", [False, True])
def test_planes_of_16_bits(size: tuple[int, int], order: str, packing: dict[str, Any], alpha: bool) -> None:
    picture = truth(*size)
    planes = np.moveaxis(colours(picture).astype(np.uint16) * 257, 2, 0)
    if alpha:
        planes = np.concatenate([planes, np.full_like(planes[:1], 65535)])
    extra = {"extrasamples": ["unassalpha"]} if alpha else {}
    data = written(np.ascontiguousarray(planes), "rgb", planarconfig="separate", byteorder=order, **packing, **extra)
    decoded = decode(data)
    assert decoded.size == size
    assert distance(decoded, picture) < RIGHT


@every_way
def test_white_is_zero_over_8_bits(size: tuple[int, int], order: str, packing: dict[str, Any]) -> None:
    picture = truth(*size)
    numbers = 65535 - lightness(picture).astype(np.uint16) * 257
    assert distance(decode(written(numbers, "miniswhite", byteorder=order, **packing)), grey(picture)) < RIGHT


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", SIZES)
def test_packed_bits(size: tuple[int, int], order: str, bits: int) -> None:
    picture = truth(*size)
    most = 2**bits - 1
    rows = [[int(value) * most // 255 for value in row] for row in lightness(picture)]
    fields = {258: (bits,), 259: (1,), 262: (1,), 277: (1,)}
    assert distance(decode(tiff(size, order, fields, packed(rows, bits))), grey(picture)) < RIGHT


@pytest.mark.parametrize("order", ORDERS)
def test_packed_bits_of_colours(order: str) -> None:
    picture = truth(96, 64)
    rows = [[int(value) * 4095 // 255 for value in row.ravel()] for row in colours(picture)]
    fields = {258: (12, 12, 12), 259: (1,), 262: (2,), 277: (3,)}
    assert distance(decode(tiff((96, 64), order, fields, packed(rows, 12))), picture) < RIGHT


INTEGERS = {
    "32 bits, full range": ("u4", 2**24 + 2**16 + 257),
    "32 bits, 16 of them used": ("u4", 257),
    "32 bits, 8 of them used": ("u4", 1),
    "signed 32 bits": ("i4", 257),
    "signed 16 bits": ("i2", 128),
    "64 bits": ("u8", 257),
}


@pytest.mark.parametrize(("kind", "factor"), INTEGERS.values(), ids=INTEGERS)
@pytest.mark.parametrize("order", ORDERS)
def test_integers_of_other_kinds(kind: str, factor: int, order: str) -> None:
    picture = truth()
    numbers = lightness(picture).astype(np.uint64) * factor
    assert distance(decode(written(numbers.astype(kind), "minisblack", byteorder=order)), grey(picture)) < RIGHT


FLOATS = {
    "0 to 1": (1.0, 0.0),
    "0 to 255": (255.0, 0.0),
    "0 to 4095": (4095.0, 0.0),
    "0 to 65535": (65535.0, 0.0),
    "-1 to 1": (2.0, -1.0),
    "-4095 to 4095": (8190.0, -4095.0),
}


@pytest.mark.parametrize(("factor", "offset"), FLOATS.values(), ids=FLOATS)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("is_grey", [True, False])
def test_floating_point(kind: str, factor: float, offset: float, is_grey: bool) -> None:
    if kind == "f2" and factor > 65504:
        pytest.skip("a half float reaches 65504")
    picture = truth(97, 64)
    numbers = (lightness(picture) if is_grey else colours(picture)) / 255 * factor + offset
    data = written(numbers.astype(kind), "minisblack" if is_grey else "rgb", compression="zlib")
    assert distance(decode(data), grey(picture) if is_grey else picture) < RIGHT


@every_way
def test_half_floats_in_every_way(size: tuple[int, int], order: str, packing: dict[str, Any]) -> None:
    picture = truth(*size)
    numbers = (lightness(picture) / 255).astype(np.float16)
    assert distance(decode(written(numbers, "minisblack", byteorder=order, **packing)), grey(picture)) < RIGHT


@pytest.mark.parametrize("peak", [1.5, 2.0, 100.0, np.inf])
def test_highlights_above_white_leave_the_rest_alone(peak: float) -> None:
    picture = truth()
    numbers = (lightness(picture) / 255).astype(np.float32)
    bright = numbers.copy()
    bright[:6] = peak
    picture.paste("white", (0, 0, picture.width, 6))
    assert distance(decode(written(bright, "minisblack")), grey(picture)) < RIGHT


def test_a_few_negative_numbers_are_black() -> None:
    picture = truth()
    numbers = (lightness(picture) / 255).astype(np.float32)
    numbers[:6] = -0.3
    picture.paste("black", (0, 0, picture.width, 6))
    assert distance(decode(written(numbers, "minisblack")), grey(picture)) < RIGHT


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_what_is_no_number_shows_white(kind: str) -> None:
    picture = truth()
    numbers = (lightness(picture) / 255).astype(kind)
    numbers[:30] = np.nan
    picture.paste("white", (0, 0, picture.width, 30))
    assert distance(decode(written(numbers, "minisblack")), grey(picture)) < RIGHT


@pytest.mark.parametrize("kind", ["u2", "u1", "i4", "f4"])
def test_the_number_that_stands_for_no_value_shows_white(kind: str) -> None:
    picture = truth()
    factor = {"u1": 1, "u2": 257, "i4": 257, "f4": 1}[kind]
    numbers = (np.maximum(lightness(picture), 1).astype(np.float64) * factor).astype(kind)
    numbers[:, :40] = 0
    picture.paste("white", (0, 0, 40, picture.height))
    data = written(numbers, "minisblack", extratags=[(42113, 2, 2, "0", True)])
    assert distance(decode(data), grey(picture)) < RIGHT


@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("is_grey", [True, False])
@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_deep_alpha(kind: str, is_grey: bool, alpha: str) -> None:
    picture = truth()
    opaque = 65535 if kind == "u2" else 1.0
    numbers = (lightness(picture)[..., None] if is_grey else colours(picture)) / 255
    share = np.ones_like(numbers[..., :1])
    share[:, :100] = 0.25
    stored = numbers * share if alpha == "assocalpha" else numbers
    whole = (np.concatenate([stored, share], axis=2) * opaque).astype(kind)
    shown = Image.fromarray(((numbers * share + 1 - share) * 255).round().astype(np.uint8).squeeze()).convert("RGB")
    data = written(whole, "minisblack" if is_grey else "rgb", extrasamples=[alpha])
    assert distance(decode(data), shown) < RIGHT


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_come_out_upright(orientation: int) -> None:
    picture = truth(97, 64)
    turns = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM}
    turns |= {5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE}
    turns |= {8: Image.Transpose.ROTATE_270}
    stored = picture.transpose(turns[orientation]) if orientation > 1 else picture
    numbers = (colours(stored) / 255).astype(np.float32)
    decoded = decode(written(numbers, "rgb", extratags=[(274, 3, 1, orientation, True)]))
    assert decoded.size == picture.size
    assert distance(decoded, picture) < RIGHT


def test_a_reduced_picture_shows_the_same() -> None:
    picture = truth(1601, 1203)
    data = written((colours(picture) / 255).astype(np.float32), "rgb", compression="zlib", predictor=True)
    decoded = decode(data, within_px=400)
    assert decoded.size == (400, 300)
    assert distance(decoded, picture) < RIGHT


@pytest.mark.parametrize("kind", ["cielab", "ycbcr", "palette", "cfa"])
def test_a_kind_that_nothing_reads_right_is_refused_with_its_name(kind: str) -> None:
    picture = truth(64, 48)
    deep = (colours(picture) if kind in ("cielab", "ycbcr") else lightness(picture)).astype(np.uint16)
    colormap = {"colormap": np.zeros((3, 65536), np.uint16)} if kind == "palette" else {}
    with pytest.raises(BadImage, match=rf"of this kind \({kind.upper()} with 16 bits") as caught:
        decode(written(deep, kind, **colormap))
    assert caught.value.code == "unsupported_format"


def test_a_dark_picture_of_16_bits_stays_dark() -> None:
    numbers = (lightness(truth()).astype(np.uint16)) * 16
    assert colour_at(decode(written(numbers, "minisblack")), 319, 0) < (30, 30, 30)


def test_a_cut_file_is_corrupt() -> None:
    data = written((lightness(truth()) / 255).astype(np.float32), "minisblack", compression="zlib")
    with pytest.raises(BadImage) as caught:
        decode(data[: len(data) // 2])
    assert caught.value.code == "corrupt"
    assert colour_at(decode(data), 10, 10) != WHITE
