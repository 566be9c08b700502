"""Backups of a gallery that others change all the time, and a restore that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import fresh
from tests.commands.backups import members, rows
from tests.sites import HEAD, Site

pytestmark = pytest.mark.drill

PICTURES, BACKUPS = 200, 3
CHANGE = """
import random
from django.conf import settings
from gallery.models import Image, Query
from tests.gallery.rows import add_file, finished, picture

def add(number):
    image = add_file(picture(number), label=str(number))
    image.embeddings.create(model_id="n", vector=os.urandom(8192))
    return image
"""
FILL = f"{CHANGE}\nfor number in range({PICTURES}): add(number)"
# Until its stdin ends: a picture more, one less, and a query that found some, one after the other.
KEEP_CHANGING = f"""{CHANGE}
import select
random.seed(1)
number = {PICTURES}
while not select.select([sys.stdin], [], [], 0)[0]:
    number += 1
    add(number)
    ids = list(Image.objects.values_list("pk", flat=True))
    finished(*Image.objects.filter(pk__in=random.sample(ids, 5)))
    Image.objects.get(pk=random.choice(ids)).delete()
    if Query.objects.count() > 20:
        Query.objects.order_by("?").first().delete()
print(number - {PICTURES})
"""


@contextmanager
def changing(site: Site) -> Iterator["subprocess.Popen[str]"]:
    """Provide another process that adds and deletes pictures and queries."""
    with subprocess.Popen(
        [sys.executable, "-c", HEAD + KEEP_CHANGING],
        cwd=fresh.ROOT,
        env=os.environ | site.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def check(backup: Path) -> None:
    """Check that every row has its files, every file its row, and no row refers to a missing one."""
    images = {row["pk"]: row["fields"] for row in rows(backup, "gallery.image")}
    queries = {row["pk"] for row in rows(backup, "gallery.query")}
    pictures = {name for name in members(backup) if name.startswith("pictures/")}
    of_queries = {name for name in pictures if name.startswith(("pictures/queries/", "pictures/uploads/"))}
    wanted = {f"pictures/{kind}/{image}.jpg" for kind in ("gallery", "thumbnails") for image in images}
    assert pictures - of_queries == wanted
    # What was uploaded, or once it is decoded the picture that a worker encoded.
    assert sorted(Path(name).stem for name in of_queries) == sorted(queries)
    # An embedding is written after its picture; at most the newest picture of the moment has none yet.
    embedded = {row["fields"]["image"] for row in rows(backup, "gallery.embedding")}
    assert len({fields["content_hash"] for fields in images.values()} - embedded) <= 1


def test_each_backup_of_a_changing_gallery_is_whole(any_target: Site, tmp_path: Path) -> None:
    any_target.run(FILL)
    with changing(any_target) as process:
        for number in range(BACKUPS):
            any_target.output("backup", str(tmp_path / f"{number}.tar"))
        assert process.poll() is None
        added, _ = process.communicate("stop\n")
    assert process.returncode == 0
    assert int(added) > BACKUPS  # nobody was kept from writing
    contents = []
    for number in range(BACKUPS):
        check(tmp_path / f"{number}.tar")
        contents.append(frozenset(row["pk"] for row in rows(tmp_path / f"{number}.tar", "gallery.image")))
    assert len(set(contents)) == BACKUPS

    again = Site(tmp_path / "again")
    again.output("restore", str(tmp_path / f"{BACKUPS - 1}.tar"))
    kept = json.loads(members(tmp_path / f"{BACKUPS - 1}.tar")["manifest.json"])
    assert kept["format"] == 1
    assert len(again.rows()) == sum(len(rows(tmp_path / f"{BACKUPS - 1}.tar", table)) for table in kept["rows"])


def test_a_killed_restore_changed_no_row_and_can_be_run_again(any_target: Site, tmp_path: Path) -> None:
    source = Site(tmp_path / "source")
    source.run(FILL)
    source.output("backup", str(tmp_path / "backup.tar"))
    before = any_target.rows()
    with any_target.start("restore", str(tmp_path / "backup.tar")) as process:
        while any_target.count_files() < PICTURES // 10:
            assert process.poll() is None, "it was done before it could be killed"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert any_target.rows() == before
    any_target.output("restore", str(tmp_path / "backup.tar"))
    assert any_target.rows() == source.rows()
    files = any_target.files()
    started = [path for path in files if "/.new-" in path]  # where it was when it was killed
    assert len(started) <= 1
    assert {path: data for path, data in files.items() if path not in started} == source.files()
