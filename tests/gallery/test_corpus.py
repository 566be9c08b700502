"""A corpus of good, damaged and hostile files: every one ends as a JPEG of ours or as a refusal with a code."""

import io
import zipfile
from collections.abc import Iterator

import PIL.Image
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from engine.errors import BadImage
from gallery.curation import pictures
from gallery.errors import STATUS_OF_CODE, Refusal
from gallery.models import Query
from gallery.queries import uploads
from tests.engine.pictures import FORMATS, damaged, encoded, noise, oriented, png, scene, with_metadata
from tests.gallery.rows import files_kept

MUTATIONS = 1250  # of each of the eight formats: 10,000
POSTED = 30  # of each format, over HTTP as well
FILE_CODES = {"empty", "too_large", "unsupported_format", "corrupt", "too_many_pixels", "too_costly"}
every_format = pytest.mark.parametrize("name", FORMATS)


def outcome(data: bytes) -> str:
    """Return `accepted`, or the code of the refusal. Anything else that is raised is a defect."""
    try:
        uploads.check(SimpleUploadedFile("picture", data))
        made = pictures.reencode(data)
    except (Refusal, BadImage) as refusal:
        return refusal.code
    for kept in (made.picture, made.thumbnail):
        with PIL.Image.open(io.BytesIO(kept)) as picture:
            assert (picture.format, picture.mode) == ("JPEG", "RGB")
    return "accepted"


# Damaged


@every_format
def test_a_file_truncated_at_every_twentieth_is_refused(name: str) -> None:
    data = encoded(noise(), name)
    outcomes = [outcome(data[: len(data) * part // 20]) for part in range(20)]
    assert outcomes[0] == "empty"
    # From 0.7 of its rows on such a file is read; a JPEG has them in stripes of eight.
    refused, read = (13, 15) if name in ("JPEG", "PNG") else (20, 20)
    assert set(outcomes[1:refused]) <= {"corrupt", "unsupported_format"}, outcomes
    assert set(outcomes[read:]) <= {"accepted"}, outcomes
    assert outcome(data) == "accepted"


@every_format
def test_every_byte_of_a_header_may_be_wrong(name: str) -> None:
    data = encoded(scene(48, 32), name)
    for at in range(min(len(data), 120)):
        for value in (0, 0x7F, 0xFF, data[at] ^ 0x80):
            assert outcome(data[:at] + bytes([value]) + data[at + 1 :]) in FILE_CODES | {"accepted"}


@every_format
def test_mutations_end_as_a_picture_or_as_a_refusal(settings: Settings, name: str) -> None:
    settings.SIMSEARCH_MAX_PIXELS = (
        2_000_000  # so that a mutated size costs no time; the limit itself is tested elsewhere
    )
    data = encoded(scene(48, 32), name)
    outcomes = [outcome(bad) for bad in damaged(data, seed=1000 + len(name), count=MUTATIONS)]
    assert len(outcomes) == MUTATIONS
    assert "corrupt" in outcomes
    assert set(outcomes) <= {"accepted", "corrupt", "unsupported_format", "too_many_pixels", "too_costly", "empty"}


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/api/queries"])
@every_format
def test_over_http_each_has_its_status_and_none_is_500(
    client: Client, settings: Settings, name: str, address: str
) -> None:
    settings.SIMSEARCH_MAX_PIXELS = 2_000_000
    data = encoded(scene(48, 32), name)
    for number, bad in enumerate(damaged(data, seed=2000 + len(name), count=POSTED)):
        code = outcome(bad)
        form = {"image": SimpleUploadedFile("picture.jpg", bad, "image/jpeg")}
        response = client.post(address, form, REMOTE_ADDR=f"203.0.113.{number}")  # two costly ones are one too many
        accepted = 303 if address == "/" else 202
        # Damaged pixels are for a worker to find, and what only it can know of the size.
        later = {accepted} if code in {"corrupt", "too_many_pixels", "too_costly"} else set()
        assert response.status_code in {STATUS_OF_CODE.get(code, accepted)} | later
    assert len(files_kept()) == Query.objects.count()


# Good


GOOD = {
    "cmyk": encoded(PIL.Image.new("CMYK", (60, 40)), "JPEG"),
    "grey": encoded(PIL.Image.new("L", (60, 40)), "JPEG"),
    "16 bit": png((2, 1), 16, 2, b"\0" + bytes(12)),
    "palette": encoded(scene().quantize(16), "PNG"),
    "bilevel": encoded(scene().convert("1"), "TIFF"),
    "alpha": encoded(scene().convert("RGBA"), "WEBP"),
    "grey with alpha": encoded(scene().convert("LA"), "PNG"),
    "progressive": encoded(scene(), "JPEG", progressive=True),
    "icc": with_metadata("JPEG"),
    "one pixel": encoded(scene(1, 1), "PNG"),
    "long": encoded(PIL.Image.new("RGB", (20000, 1)), "PNG"),
    "gif of 2000 frames": encoded(
        PIL.Image.new("P", (8, 8)),
        "GIF",
        save_all=True,
        append_images=[PIL.Image.new("P", (8, 8), n % 9) for n in range(2000)],
    ),
    "png of 500 frames": encoded(scene(8, 8), "PNG", save_all=True, append_images=[noise(8, 8, n) for n in range(500)]),
    "webp of 500 frames": encoded(
        scene(8, 8), "WEBP", save_all=True, append_images=[noise(8, 8, n) for n in range(500)]
    ),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_all_kinds_of_good_files_are_accepted(data: bytes) -> None:
    assert outcome(data) == "accepted"


# Hostile


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("payload.js", "PAYLOAD")
    return file.getvalue()


APPENDED = {
    "html": b"<html><script>PAYLOAD</script></html>",
    "javascript": b"*/;PAYLOAD()/*",
    "zip": _zip(),
    "php": b"<?php PAYLOAD ?>",
}


@pytest.mark.parametrize("payload", APPENDED.values(), ids=APPENDED)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_picture_that_is_something_else_as_well_is_only_a_picture_afterwards(name: str, payload: bytes) -> None:
    data = encoded(scene(), name) + payload
    assert b"PAYLOAD" in data
    kept = pictures.reencode(data)
    for file in (kept.picture, kept.thumbnail):
        assert file.startswith(b"\xff\xd8")
        assert file.endswith(b"\xff\xd9")
        assert not any(word in file for word in (b"PAYLOAD", b"PK\3\4", b"<?php", b"<html"))
        assert not zipfile.is_zipfile(io.BytesIO(file))


@pytest.mark.parametrize("payload", [b"<script>PAYLOAD</script>", b"<?php PAYLOAD ?>", b"*/=1;PAYLOAD()/*"])
def test_a_payload_in_a_comment_is_left_behind(payload: bytes) -> None:
    for name in ("JPEG", "GIF"):
        data = encoded(scene(), name, comment=payload)
        assert payload in data
        assert b"PAYLOAD" not in pictures.reencode(data).picture


NO_PICTURES = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF",
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>",
    "html": b"<!doctype html><script>alert(1)</script>",
    "zip": _zip(),
    "shell script": b"#!/bin/sh\necho\n",
}


@pytest.mark.parametrize("data", NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture_is_refused_whatever_its_name(data: bytes) -> None:
    assert outcome(data) == "unsupported_format"


BOMBS = {
    "13000 x 13000": png((13000, 13000), 8, 2, bytes(20_000)),
    "2**31 - 1 squared": png((2**31 - 1, 2**31 - 1), 8, 2, b""),
    "65500 x 1": encoded(PIL.Image.new("L", (65500, 1)), "JPEG"),
    "1 x 65500": encoded(PIL.Image.new("L", (1, 65500)), "JPEG"),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_by_its_size(data: bytes) -> None:
    assert outcome(data) == "too_many_pixels"


# The eight orientations


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_the_eight_orientations_of_a_picture_are_kept_as_the_same_file(name: str) -> None:
    kept = {pictures.reencode(oriented(scene(), name, orientation)).picture for orientation in range(1, 9)}
    assert len(kept) == 1


def every_size() -> Iterator[bytes]:
    for orientation in range(1, 9):
        yield oriented(scene(960, 640), "JPEG", orientation)


def test_the_eight_orientations_of_a_jpeg_are_kept_the_same_to_the_eye() -> None:
    kept = [PIL.Image.open(io.BytesIO(pictures.reencode(data).picture)) for data in every_size()]
    assert {picture.size for picture in kept} == {(960, 640)}
    first = kept[0].resize((96, 64)).tobytes()
    for picture in kept[1:]:
        assert max(abs(a - b) for a, b in zip(first, picture.resize((96, 64)).tobytes(), strict=True)) < 24
