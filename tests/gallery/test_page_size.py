"""The page of a result with all of its hundred matches, with its scripts and styles, is small."""

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from gallery.models import Image
from tests.gallery.rows import add_image, finished

MOST_BYTES = 60_000  # compressed, without pictures
CROPPER = "cropperjs/cropper.esm.min.js"  # which crop.js fetches


def compressed(name: str) -> int:
    return len(gzip.compress(Path(str(finders.find(name))).read_bytes()))


@pytest.mark.django_db
def test_a_hundred_matches_stay_below_60_kilobytes(client: Client) -> None:
    images = [add_image(number, title=f"IMG_{number:04}", label=f"label {number % 20}") for number in range(100)]
    Image.objects.update(taken_at=datetime(2024, 5, 17, tzinfo=UTC))
    page = client.get(f"{finished(*images).get_absolute_url()}?show=100").content
    assert page.count(b'class="thumb"') == 100
    files = set(re.findall(r'(?:src|href)="/static/([^"]+\.(?:js|css))"', page.decode()))
    assert {"gallery/style.css", "gallery/crop.js"} <= files
    sizes = {name: compressed(name) for name in files | {CROPPER}}
    assert len(gzip.compress(page)) + sum(sizes.values()) < MOST_BYTES, sizes
