import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from PIL import Image as Picture

from gallery.curation import demonstration
from gallery.models import Image
from gallery.operations import workers

KINDS = len(demonstration.KINDS)


def pixels(kind: str, number: int) -> str:
    return hashlib.sha256(demonstration.draw(kind, number).tobytes()).hexdigest()


def test_there_are_at_least_12_kinds_and_240_pictures() -> None:
    offered = list(demonstration.catalogue())
    assert KINDS >= 12
    assert len(offered) == len(set(offered)) >= 240


@pytest.mark.parametrize("kind", demonstration.KINDS)
def test_every_kind_draws_on_every_shape_of_sheet(kind: str) -> None:
    for size in set(demonstration.SIZES):
        picture = demonstration.KINDS[kind](random.Random(repr(size)), size)
        assert (picture.mode, picture.size) == ("RGB", size)


def test_the_same_picture_comes_each_time_and_in_every_process() -> None:
    drawn = {kind: pixels(kind, 3) for kind in demonstration.KINDS}
    again = (
        "from tests.gallery.test_demonstration import demonstration, pixels; "
        "print({kind: pixels(kind, 3) for kind in demonstration.KINDS})"
    )
    # Another hash seed: the order of a set must not draw the picture.
    process = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(); {again}"],
        env=os.environ | {"PYTHONHASHSEED": "7", "DJANGO_SETTINGS_MODULE": "simsearch.settings"},
        cwd=Path(__file__).resolve().parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    assert process.stdout.strip() == str(drawn)


def test_all_pictures_differ() -> None:
    drawn = [pixels(kind, number) for kind, number in demonstration.catalogue(5)]
    assert len(set(drawn)) == 5 * KINDS


def test_a_file_is_the_picture_pixel_by_pixel() -> None:
    label, title, file = next(demonstration.pictures(1))
    assert title == f"{label.capitalize()} 1"
    with Picture.open(file) as read:
        assert read.tobytes() == demonstration.draw(label, 1).tobytes()


@pytest.mark.django_db
def test_the_command_fills_the_gallery_and_a_second_run_adds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("make_demo", per_kind=1)
    assert f"{KINDS} pictures drawn, 0 were there already" in capsys.readouterr().out
    assert set(Image.objects.values_list("label", flat=True)) == set(demonstration.KINDS)
    assert Image.objects.get(label="sailing boat").title == "Sailing boat 1"
    assert all(image.picture_path.is_file() and image.thumbnail_path.is_file() for image in Image.objects.all())
    call_command("make_demo", per_kind=1)
    assert f"0 pictures drawn, {KINDS} were there already" in capsys.readouterr().out
    assert Image.objects.count() == KINDS


@pytest.mark.django_db
def test_a_run_goes_on_where_one_that_was_stopped_ended(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("make_demo", per_kind=1)
    Image.objects.filter(label__in=["cup", "clock"]).delete()
    Image.objects.filter(label="fish").update(title="A curator's own words", label="animals")
    call_command("make_demo", per_kind=1)
    assert f"2 pictures drawn, {KINDS - 2} were there already" in capsys.readouterr().out
    assert Image.objects.count() == KINDS


@pytest.mark.django_db(transaction=True)
def test_the_command_rings_for_the_workers_once() -> None:
    call_command("make_demo", per_kind=1)
    with workers.connect() as client:
        assert client.llen("gallery") == 1


def test_fewer_than_one_of_a_kind_is_refused() -> None:
    with pytest.raises(CommandError, match="at least 1"):
        call_command("make_demo", per_kind=0)
