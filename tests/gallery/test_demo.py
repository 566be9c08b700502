"""The demo gallery: its files, the command that imports them, and that a wheel has them."""

import hashlib
import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.core.management import call_command
from PIL import Image as Pillow

from gallery.models import Image
from gallery.operations import workers
from tests import demo
from tests.stack import ROOT

FILES = sorted(demo.FOLDER.glob("*/*"))
MOST_BYTES = 2_500_000


def make_demo() -> str:
    """Return what the command prints."""
    call_command("make_demo", stdout=(out := io.StringIO()))
    return out.getvalue()


def test_there_are_240_different_pictures_of_16_kinds_in_few_bytes() -> None:
    files = [file.read_bytes() for file in FILES]
    assert len(demo.KINDS) == 16
    assert len({hashlib.sha256(file).digest() for file in files}) == len(files) == 16 * demo.PER_KIND == 240
    assert sum(map(len, files)) <= MOST_BYTES


def test_every_picture_is_large_enough_to_look_at() -> None:
    for file in FILES:
        with Pillow.open(file) as picture:
            picture.load()
            assert min(picture.size) >= 320, file


def test_a_picture_that_is_not_of_the_gallery_is_another_one_for_each_number() -> None:
    made = {demo.picture(kind, number).tobytes() for kind in demo.KINDS for number in range(100, 110)}
    assert len(made) == 10 * len(demo.KINDS)
    assert demo.jpeg("cup", 100) == demo.jpeg("cup", 100)


@pytest.mark.django_db(transaction=True)
def test_the_command_fills_the_gallery_wakes_the_workers_and_a_second_run_adds_what_is_missing() -> None:
    assert "240 pictures imported, 0 were there already, 0 refused" in make_demo()
    assert set(Image.objects.values_list("label", flat=True)) == set(demo.KINDS)
    assert Image.objects.filter(label="sailing boat", title="Sailing boat 1").count() == 1
    assert all(
        image.picture_file.path.is_file() and image.thumbnail_file.path.is_file() for image in Image.objects.all()
    )
    with workers.connect() as client:
        assert client.llen("gallery") == 1

    Image.objects.filter(label__in=["cup", "clock"]).delete()
    Image.objects.filter(label="fish").update(title="A curator's own words", label="animals")
    assert "30 pictures imported, 210 were there already, 0 refused" in make_demo()
    assert Image.objects.count() == 240


def test_a_wheel_has_the_pictures_the_pages_their_styles_and_the_licence(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    for package in ("simsearch", "engine", "gallery", "tasks"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    data = {file for folder in ("gallery", "tasks") for file in (ROOT / folder).rglob("*.*") if is_data(file)}
    assert len(data) > 240
    assert {str(file.relative_to(ROOT)) for file in data} <= packed
    assert {Path(name).name for name in packed} >= {"LICENSE", "NOTICE"}


def is_data(file: Path) -> bool:
    """Tell whether a package has a file that is no Python module."""
    return file.is_file() and "__pycache__" not in file.parts and file.suffix != ".py"
