"""Convert a picture's own colours to sRGB: by its ICC profile, or by what PNG, HEIC and AVIF say without one."""

import io
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from PIL import Image, ImageCms

from engine.images import isobmff
from engine.images.limits import MAX_HEADER_PARTS
from engine.images.rasters import Info

Convert = Callable[[Image.Image], Image.Image]
Curve = Callable[[float], float]  # from a code of 0 to 1 to linear light, 1 for white
Chromaticities = tuple[float, ...]  # x and y of white, red, green and blue

SDR_WHITE_NITS = 203.0  # ITU-R BT.2408
HLG_PEAK_NITS = 1000.0  # ITU-R BT.2100
PQ_PEAK_NITS = 10_000.0
# A profile is sRGB's when no colour differs by more: makers round its numbers in their own ways.
_SAME_COLOUR = 2
_GAMMA_OF_SRGB, _SAME_GAMMA = 1 / 2.2, 0.005
_CURVE_POINTS = 4096

_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_BT709: Chromaticities = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
# By ITU-T H.273, table 2.
_PRIMARIES: dict[int, Chromaticities] = {
    1: _BT709,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    10: (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_VIDEO, _UNSPECIFIED, _SRGB, _PQ, _HLG = {1, 6, 11, 14, 15}, 2, 13, 16, 18  # transfers, by table 3


@dataclass(frozen=True)
class CodePoints:
    """Primaries and transfer by ITU-T H.273."""

    primaries: int
    transfer: int


@dataclass(frozen=True)
class _Colours:
    """A colour space; `nits`: the brightness of codes, where they reach above white."""

    chromaticities: Chromaticities
    curve: Curve | None  # None: sRGB's
    nits: Curve | None = None


def converter(kind: str, data: bytes, info: Info, mode: str, brightest: Callable[[], float]) -> Convert:
    """Return what turns bands of `mode` (L, RGB or CMYK) into RGB in sRGB.

    `brightest` measures the code that few pixels exceed, of 0 to 1; it is only called for HDR.
    """
    colours = _colours(kind, data, info)
    if isinstance(colours, bytes):
        return _by_profile(colours, mode)
    if colours is None or (colours.chromaticities == _BT709 and colours.curve is None and colours.nits is None):
        return to_rgb
    curve = _tone_mapped(colours.nits, brightest()) if colours.nits else colours.curve or _srgb
    try:
        return _by_profile(_profile(colours.chromaticities, curve), mode)
    except (ArithmeticError, ValueError, struct.error):  # impossible colours
        return to_rgb


def to_rgb(band: Image.Image) -> Image.Image:
    """Return the band as it is, in RGB."""
    return band.convert("RGB")


# --- What the file says ---------------------------------------------------------------------------------------


def _colours(kind: str, data: bytes, info: Info) -> bytes | _Colours | None:
    """Return an ICC profile or a colour space, in the order of each format's specification; None for sRGB."""
    if kind == "PNG" and (chunk := _png_chunk(data, b"cICP")):
        points = CodePoints(*chunk[:2])
        if points.transfer in _VIDEO:  # as Chromium shows video: by the curve of its screens, ITU-R BT.1886
            return _Colours(_PRIMARIES.get(points.primaries, _BT709), lambda code: code**2.4)
        return _of_code_points(points)
    if profile := info.get("icc_profile"):
        return bytes(profile)
    if kind == "PNG" and "srgb" not in info and "gamma" in info:
        return _of_gamma(info["gamma"], info.get("chromaticity", _BT709))
    if kind == "HEIF" and (nclx := info.get("nclx_profile")):
        return _of_heif(CodePoints(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])))
    if kind == "AVIF" and (found := isobmff.code_points(io.BytesIO(data))):
        return _of_heif(CodePoints(*found))
    return None


def _png_chunk(data: bytes, wanted: bytes) -> bytes:
    """Return the content of the first chunk of that name before the pixels, or nothing."""
    at = 8
    for _ in range(MAX_HEADER_PARTS):
        length, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if name == wanted:
            return data[at + 8 : at + 8 + length]
        if name in (b"IDAT", b""):
            break
        at += 12 + length
    return b""


def _of_heif(points: CodePoints) -> _Colours | None:
    """Return the colours as Chromium shows AVIF: cameras write video's transfers and mean sRGB's."""
    if points.transfer in _VIDEO or points.transfer == _UNSPECIFIED:
        points = CodePoints(points.primaries, _SRGB)
    return _of_code_points(points)


def _of_code_points(points: CodePoints) -> _Colours | None:
    """Return the colours; None for a transfer that changes nothing, or is unknown."""
    chromaticities = _PRIMARIES.get(points.primaries, _BT709)
    if points.transfer in _NITS:
        return _Colours(chromaticities, None, _NITS[points.transfer])
    return _Colours(chromaticities, _CURVES[points.transfer]) if points.transfer in _CURVES else None


def _of_gamma(gamma: float, chromaticities: Sequence[float]) -> _Colours | None:
    if gamma <= 0:
        return None
    is_srgb = max(abs(a - b) for a, b in zip(chromaticities, _BT709, strict=True)) < 0.002
    if is_srgb and abs(gamma - _GAMMA_OF_SRGB) < _SAME_GAMMA:  # every program shows these unchanged
        return None
    return _Colours(tuple(chromaticities), lambda code: code ** (1 / gamma))


# --- Curves ---------------------------------------------------------------------------------------------------


def _srgb(code: float) -> float:
    return code / 12.92 if code <= 0.04045 else float(((code + 0.055) / 1.055) ** 2.4)


def _pq_nits(code: float) -> float:
    root = code ** (32 / 2523)
    return PQ_PEAK_NITS * float((max(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610))


def _hlg_nits(code: float) -> float:
    scene = code**2 / 3 if code <= 0.5 else (math.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return HLG_PEAK_NITS * float(scene**1.2)


_CURVES: dict[int, Curve | None] = {
    4: lambda code: code**2.2,
    5: lambda code: code**2.8,
    7: lambda code: code / 4 if code < 0.0912 else float(((code + 0.1115) / 1.1115) ** (1 / 0.45)),
    8: lambda code: code,
    _SRGB: None,
    17: lambda code: min(1.0, 52.37 / 48 * code**2.6),
}
_NITS: dict[int, Curve] = {_PQ: _pq_nits, _HLG: _hlg_nits}


def _tone_mapped(nits: Curve, brightest: float) -> Curve:
    """HDR into white and below, like Chromium's curve for a picture of that brightness.

    Up to 203 nits light stays in proportion: all of it where nothing is brighter, half of it from 1,000 nits on, and
    between these by the logarithm. The room above is for the highlights, by the logarithm of their brightness.
    """
    peak = max(1.0, nits(brightest) / SDR_WHITE_NITS)
    knee = 1 - 0.5 * min(1.0, math.log(peak) / math.log(HLG_PEAK_NITS / SDR_WHITE_NITS))

    def curve(code: float) -> float:
        light = nits(code) / SDR_WHITE_NITS
        if light <= 1:
            return knee * light
        return 1.0 if light >= peak else knee + (1 - knee) * math.log(light) / math.log(peak)

    return curve


# --- ICC profiles ---------------------------------------------------------------------------------------------


def _by_profile(profile: bytes, mode: str) -> Convert:
    """Return what converts by this profile. A broken one, or one for other colours, is ignored."""
    try:
        takes = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}[profile[16:20]]  # the mode of pictures it describes
        if takes == mode == "RGB" and _is_srgb(profile):
            return to_rgb
        if takes != mode and (takes, mode) != ("RGB", "L"):
            return to_rgb
        transform = _transform(profile, takes)
    except Exception:  # noqa: BLE001 - lcms raises whatever the bytes make it raise
        return to_rgb
    return lambda band: transform.apply(band if band.mode == takes else band.convert(takes))


@lru_cache(maxsize=16)
def _is_srgb(profile: bytes) -> bool:
    """Tell whether it changes no colour, whatever its name is."""
    steps = range(0, 256, 51)
    colours = Image.new("RGB", (len(steps), len(steps) ** 2))
    colours.putdata(list(product(steps, repeat=3)))
    made = _transform(profile, "RGB").apply(colours)
    return all(abs(a - b) <= _SAME_COLOUR for a, b in zip(colours.tobytes(), made.tobytes(), strict=True))


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def _profile(chromaticities: Chromaticities, curve: Curve) -> bytes:
    """Return a new ICC profile of primaries and one curve (ICC.1:2001-04)."""
    table = [round(65535 * min(1.0, max(0.0, curve(n / (_CURVE_POINTS - 1))))) for n in range(_CURVE_POINTS)]
    columns = zip(*_to_d50(chromaticities), strict=True)
    values = [b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in xyz)) for xyz in columns]
    values.append(b"curv\0\0\0\0" + struct.pack(f">I{_CURVE_POINTS}H", _CURVE_POINTS, *table))
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    at, body, entries = 128 + 4 + 12 * len(names), b"".join(values), b""
    for number, name in enumerate(names):
        value = values[min(number, 3)]
        entries += name + struct.pack(">2I", at + 20 * min(number, 3), len(value))
    head = struct.pack(
        ">2I4s4s4s4s12x4s28x3i",
        at + len(body),
        0,
        b"\2\x10\0\0",
        b"mntr",
        b"RGB ",
        b"XYZ ",
        b"acsp",
        *(round(value * 65536) for value in _D50),
    )
    return head.ljust(128, b"\0") + struct.pack(">I", len(names)) + entries + body


Matrix = Sequence[Sequence[float]]


def _to_d50(chromaticities: Chromaticities) -> Matrix:
    """From linear RGB to XYZ as ICC profiles have it: adapted to D50 by Bradford's method."""
    points = [(x, y, 1 - x - y) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)]
    white = [value / points[0][1] for value in points[0]]
    columns = list(zip(*points[1:], strict=True))
    scales = _times(_inverse(columns), white)
    cones = [b / a for a, b in zip(_times(_BRADFORD, white), _times(_BRADFORD, _D50), strict=True)]
    scaled = [[value * scale for value, scale in zip(row, scales, strict=True)] for row in columns]
    adapted = [[value * cone for value in row] for row, cone in zip(_product(_BRADFORD, scaled), cones, strict=True)]
    return _product(_inverse(_BRADFORD), adapted)


def _times(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _product(one: Matrix, other: Matrix) -> Matrix:
    return list(zip(*(_times(one, column) for column in zip(*other, strict=True)), strict=True))


def _inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    rows: Iterable[Iterable[float]] = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return [[value / determinant for value in row] for row in rows]
