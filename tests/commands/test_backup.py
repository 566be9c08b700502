"""manage.py backup."""

import json
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from gallery.backup.backup import into
from tests.commands.backups import members, rows
from tests.ports import free_port
from tests.sites import Site

# A stream that, once the backup has begun, has other connections delete two pictures and a query, and add a picture.
MEDDLE = """
import threading
from django.db import connection
from gallery.backup import backup
from gallery.models import Image, Query
from tests.gallery.rows import add_image, finished
images = [add_image(number) for number in range(5)]
for image in images:
    image.embeddings.create(model_id="n", vector=bytes(8192))
finished(*images)
expiring = finished(images[2])
Query.objects.create(has_picture=False, like=images[0])

def meddle():
    for row in (images[0], images[1], expiring):
        row.delete()
    add_image(9)
    connection.close()

class Meddling:
    def __init__(self, file):
        self.file, self.begun = file, False
    def write(self, data):
        if not self.begun:
            self.begun = True
            thread = threading.Thread(target=meddle)
            thread.start()
            thread.join(10)
            assert not thread.is_alive(), "a writer waits for the backup"
        self.file.write(data)

with open(os.environ["SIMSEARCH_DATA_DIR"] + "/backup.tar", "wb") as file:
    outcome = backup.write(Meddling(file))
print(json.dumps({"deleted": outcome.deleted, "lost": outcome.lost, "images": [str(i.id) for i in images]}))
"""


def test_it_is_a_tar_of_rows_and_pictures(source: Site, backup: Path) -> None:
    held = members(backup)
    manifest = json.loads(held["manifest.json"])
    assert next(iter(held)) == "manifest.json"
    assert list(held)[-1] == "end.json"
    assert sorted(manifest) == ["format", "made_at", "migrations", "network", "pictures", "rows", "simsearch"]
    assert manifest["rows"]["gallery.image"] == len(rows(backup, "gallery.image")) == 5
    assert len(rows(backup, "gallery.embedding")) == 5
    pictures = [name for name in held if name.startswith("pictures/")]
    assert len(pictures) == manifest["pictures"] == len(source.files())
    assert sorted(held[name] for name in pictures) == sorted(source.files().values())


def test_who_is_logged_in_and_the_index_are_not_in_it(backup: Path) -> None:
    tables = json.loads(members(backup)["manifest.json"])["rows"]
    assert "auth.user_groups" in tables
    assert "sessions.session" not in tables
    assert "gallery.indexgeneration" not in tables


def test_only_its_owner_can_read_it(backup: Path) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


def test_queries_can_stay_out(source: Site, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    output = source.output("backup", "--without-queries", str(file))
    assert output == "Backed up 5 pictures, 5 embeddings, 0 queries and 1 accounts.\n"
    assert "gallery.query" not in json.loads(members(file)["manifest.json"])["rows"]
    assert not [name for name in members(file) if name.startswith(("pictures/queries", "pictures/uploads"))]


def test_how_far_it_is_and_what_is_in_it_are_reported(source: Site, tmp_path: Path) -> None:
    finished = source.manage("backup", str(tmp_path / "backup.tar"))
    assert finished.stdout.decode() == "Backed up 5 pictures, 5 embeddings, 6 queries and 1 accounts.\n"
    last = finished.stderr.decode().splitlines()[-1]
    done, total = [int(word) for word in last.split() if word.isdecimal()][:2]
    assert last.startswith("Backing up: ")
    assert done == total > 30


def test_a_backup_in_a_pipe_is_nothing_but_the_backup(source: Site, tmp_path: Path) -> None:
    finished = source.manage("backup", "-")
    (tmp_path / "piped.tar").write_bytes(finished.stdout)
    assert list(members(tmp_path / "piped.tar"))[-1] == "end.json"
    assert "Backed up 5 pictures" in finished.stderr.decode()


def test_a_reader_that_goes_away_is_one_clear_line(source: Site) -> None:
    with source.start("backup", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        output = process.stderr.read().decode().splitlines()
    assert process.returncode == 1
    assert output[-1] == "CommandError: The reader of the backup closed the pipe: the backup is not complete."


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("file", "reason"), [("/dev/full", "No space left"), ("no/such/folder/x.tar", "No such file"), (".", "directory")]
)
def test_a_file_that_cannot_be_written_is_one_clear_line(file: str, reason: str) -> None:
    with pytest.raises(CommandError, match=rf"\ANo backup was made: .*{reason}.*\Z"):
        call_command("backup", file)


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_database_that_is_away_is_one_clear_line(source: Site, backup: Path, tmp_path: Path, command: str) -> None:
    """psycopg says it in two lines and more."""
    file = backup if command == "restore" else tmp_path / "backup.tar"
    away = Site(tmp_path / "away", like=source)
    away.environment["DATABASE_URL"] = f"postgres://nobody@127.0.0.1:{free_port()}/nothing"
    finished = away.manage(command, str(file))
    assert finished.returncode == 1
    [line] = finished.stderr.decode().splitlines()
    assert line.startswith("CommandError: No")
    assert "Connection refused" in line


def test_an_earlier_file_stays_until_the_new_one_is_complete(source: Site, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    file.write_bytes(b"earlier")
    stream = into(file)
    stream.__enter__().write(b"half of one")
    stream.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert file.read_bytes() == b"earlier"
    source.output("backup", str(file))
    assert list(members(file))[-1] == "end.json"
    assert list(tmp_path.iterdir()) == [file]


def test_a_pipe_with_a_name_stays_a_pipe(source: Site, tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    source.output("backup", str(pipe))
    reader.join()
    assert pipe.is_fifo()
    assert b"end.json" in read[0]


def test_a_picture_whose_file_was_lost_is_named_and_its_row_kept(target: Site, tmp_path: Path) -> None:
    lost = target.run("""
from tests.gallery.rows import add_image
image = add_image(1)
image.picture_file.path.unlink()
print(json.dumps(str(image.pk)))
""")
    finished = target.manage("backup", str(tmp_path / "backup.tar"))
    assert f"the file of image {lost} is missing" in finished.stderr.decode()
    assert [row["pk"] for row in rows(tmp_path / "backup.tar", "gallery.image")] == [lost]
    assert f"pictures/thumbnails/{lost}.jpg" in members(tmp_path / "backup.tar")


def test_it_is_of_one_moment_and_blocks_no_writer(any_target: Site) -> None:
    """Rows that were deleted during the backup are out with their dependants, those that were added are not in."""
    output = any_target.run(MEDDLE)
    file = any_target.data_dir / "backup.tar"
    kept = set(output["images"][2:])
    assert (output["deleted"], output["lost"]) == (3, [])
    assert {row["pk"] for row in rows(file, "gallery.image")} == kept
    queries = {row["pk"]: row["fields"] for row in rows(file, "gallery.query")}
    assert [fields["like"] for fields in queries.values() if not fields["has_picture"]] == [None]
    assert any(fields["matches"] for fields in queries.values())
    assert len(rows(file, "gallery.embedding")) == 5
    wanted = {f"pictures/{kind}/{image}.jpg" for kind in ("gallery", "thumbnails") for image in kept}
    kinds = {"done": "queries", "waiting": "uploads"}
    sent_queries = {query: fields["state"] for query, fields in queries.items() if fields["has_picture"]}
    wanted |= {f"pictures/{kinds[state]}/{query}.jpg" for query, state in sent_queries.items()}
    assert {name for name in members(file) if name.startswith("pictures/")} == wanted
