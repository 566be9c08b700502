"""manage.py export DIR, and import_images --csv, which takes its table back."""

import csv
import io
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from gallery.index import generations
from gallery.models import Embedding, Image
from tests.engine.galleries import MODEL_ID, make_vectors
from tests.gallery.rows import add_image, ago, files_kept, picture

pytestmark = pytest.mark.django_db

ODD_TITLE = '=1+1; "Ünïcode",\u2028 and a\r\nline of its own'
TAKEN = datetime(2019, 7, 1, 18, 30, tzinfo=timezone(timedelta(hours=2)))
Row = tuple[str, str, bool, Any, Any]


def rows() -> set[Row]:
    return set(Image.objects.values_list("title", "label", "is_hidden", "created_at", "taken_at"))


@pytest.fixture
def gallery() -> list[Image]:
    """Four pictures, one of them hidden, the last without an embedding."""
    images = [add_image(1, title=ODD_TITLE, label="Äpfel; rot"), add_image(2), add_image(3, label="cat")]
    images += [add_image(4, title="hidden", is_hidden=True)]
    for number, image in enumerate(images):
        Image.objects.filter(pk=image.pk).update(created_at=ago(1_000_000 - number))
    Image.objects.filter(pk=images[2].pk).update(taken_at=TAKEN)
    for image, vector in zip(images[:3], make_vectors(3).astype("<f2"), strict=True):
        Embedding.objects.create(image_id=image.content_hash, model_id=MODEL_ID, vector=vector.tobytes())
        Embedding.objects.create(image_id=image.content_hash, model_id="other", vector=bytes(8192))
    generations.activate(generations.start(MODEL_ID), images=3, last_embedding=6, manifest={})
    Image.objects.create(content_hash="0", width_px=0, height_px=0, is_pending=True)
    return images


def export(directory: Path) -> str:
    out = io.StringIO()
    call_command("export", str(directory), stdout=out)
    return out.getvalue().strip()


def take_back(table: Path, **options: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_images", csv=table, stdout=out, stderr=err, **options)
    return out.getvalue().strip(), err.getvalue()


def test_pictures_table_and_embeddings_are_written(tmp_path: Path, gallery: list[Image]) -> None:
    assert export(tmp_path / "out") == f"4 pictures and 3 embeddings written to {tmp_path / 'out'}."
    with (tmp_path / "out" / "images.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["file"] for row in table] == [f"pictures/{image.pk}.jpg" for image in gallery]
    assert [row["title"] for row in table] == [image.title for image in gallery]
    assert [row["label"] for row in table] == ["Äpfel; rot", "", "cat", ""]
    assert [row["hidden"] for row in table] == ["false", "false", "false", "true"]
    assert [row["taken"] for row in table] == ["", "", "2019-07-01T16:30:00+00:00", ""]
    for image, row in zip(gallery, table, strict=True):
        assert (tmp_path / "out" / row["file"]).read_bytes() == image.picture_file.path.read_bytes()
    named = json.loads((tmp_path / "out" / "embeddings.json").read_text())
    assert named == {"model": MODEL_ID, "ids": [str(image.pk) for image in gallery[:3]]}
    vectors = np.load(tmp_path / "out" / "embeddings.npy", mmap_mode="r")
    assert np.array_equal(vectors, make_vectors(3).astype("<f2"))


def test_an_export_has_more_steps_than_one(
    tmp_path: Path, gallery: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.management.commands.export.STEP", 2)
    gallery[1].picture_file.path.unlink()
    assert export(tmp_path / "out").startswith("3 pictures and 2 embeddings")
    assert np.load(tmp_path / "out" / "embeddings.npy").shape == (2, 4096)


def test_a_gallery_without_an_index_has_no_embeddings(tmp_path: Path) -> None:
    add_image()
    assert export(tmp_path / "out").startswith("1 pictures and 0 embeddings")
    assert np.load(tmp_path / "out" / "embeddings.npy").shape == (0, 4096)


@pytest.mark.parametrize("is_file", [True, False], ids=["a file", "a full folder"])
def test_what_is_there_is_not_touched(tmp_path: Path, gallery: list[Image], is_file: bool) -> None:
    (tmp_path / "out").write_text("mine") if is_file else ((tmp_path / "out" / "mine").mkdir(parents=True))
    with pytest.raises(CommandError, match="out"):
        export(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*") if "pictures" not in str(path)] == ["out", "mine"][: 2 - is_file]


def test_a_table_comes_back_into_an_empty_gallery(tmp_path: Path, gallery: list[Image]) -> None:
    Image.objects.filter(is_pending=True).delete()
    before = rows()
    export(tmp_path / "out")
    Image.objects.all().delete()
    result, complaints = take_back(tmp_path / "out" / "images.csv")
    assert result == "4 pictures imported, 0 were there already, 0 refused. 0 changed."
    assert complaints == ""
    assert rows() == before
    assert take_back(tmp_path / "out" / "images.csv")[0].startswith("0 pictures imported, 4 were there already")


def test_an_edited_export_changes_the_pictures_that_it_came_from(tmp_path: Path, gallery: list[Image]) -> None:
    """The stored picture is another file than the one that was added, by whose content the gallery knows it."""
    export(tmp_path / "out")
    table = tmp_path / "out" / "images.csv"
    table.write_bytes(table.read_bytes().replace(b",cat,", b",tiger,"))
    result, _ = take_back(table)
    assert result == "0 pictures imported, 4 were there already, 0 refused. 1 changed."
    assert Image.objects.get(pk=gallery[2].pk).label == "tiger"
    other = tmp_path / "out" / "pictures" / f"{gallery[0].pk}.jpg"
    other.write_bytes(picture(9))  # edited by somebody
    assert take_back(table)[0].startswith("1 pictures imported, 3 were there already")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures that the gallery has, and one that it has not."""
    folder = tmp_path / "photos" / "cat"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        (folder / f"{number}.png").write_bytes(picture(number))
    add_image(1, title="one", label="cat")
    add_image(2, title="two", label="dog")
    return tmp_path / "photos"


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "table.csv").write_bytes(text.encode(encoding))
    return folder / "table.csv"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_an_edited_table_changes_what_is_there(folder: Path, delimiter: str, encoding: str) -> None:
    lines = ["File,LABEL,hidden", "cat/1.png,CAT,yes", "cat/2.png,Wölfe,", "cat/3.png,wo\u0308lfe,false", ""]
    message, _ = take_back(write(folder, "\r\n".join(lines).replace(",", delimiter), encoding))
    assert message == "1 pictures imported, 2 were there already, 0 refused. 2 changed."
    found = {(title, label, hidden) for title, label, hidden, *_ in rows()}
    spelling = Image.objects.get(title="3").label
    assert spelling == "wölfe"
    assert {(title, label.lower(), hidden) for title, label, hidden in found} == {
        ("one", "cat", True),
        ("two", "wölfe", False),
        ("3", "wölfe", False),
    }
    assert len(set(Image.objects.values_list("label", flat=True))) == 2


def test_a_table_says_when_pictures_were_taken_and_leaves_the_others(folder: Path) -> None:
    """Where it says nothing, the date of the file's Exif data stays."""
    Image.objects.filter(title="two").update(taken_at=TAKEN)
    take_back(write(folder, "file,taken\ncat/1.png,2020-05-31\ncat/2.png,\ncat/3.png,2021-01-02T03:04:05+00:00\n"))
    taken = {title: date and date.isoformat() for title, date in Image.objects.values_list("title", "taken_at")}
    expected = {"one": "2020-05-31T00:00:00+00:00", "two": "2019-07-01T16:30:00+00:00"}
    assert taken == expected | {"3": "2021-01-02T03:04:05+00:00"}


def test_a_dry_run_of_a_table_changes_nothing(folder: Path) -> None:
    before, files = rows(), files_kept()
    result, _ = take_back(write(folder, "file,label\ncat/1.png,new\ncat/3.png,new\n"), dry_run=True)
    assert result.startswith("1 pictures would be imported, 1 were there already")
    assert (rows(), files_kept()) == (before, files)


def test_files_of_a_table_that_are_not_there_are_left_out(folder: Path) -> None:
    result, complaints = take_back(write(folder, "file\ncat/3.png\ncat/gone.png\n"))
    assert result == "1 pictures imported, 0 were there already, 1 refused. 0 changed."
    assert "gone.png" in complaints


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column `file`"),
        ("label\ncat\n", "no column `file`"),
        ("file,label\n,cat\n", "line 2"),
        ("file,hidden\ncat/1.png,false\ncat/3.png,perhaps\n", "line 3.*perhaps"),
        ("file,date\ncat/3.png,31.05.2026\n", "line 2.*2026-05-31"),
        ("file,taken\ncat/3.png,yesterday\n", "line 2.*`taken`.*2026-05-31"),
        ("file,title\ncat/3.png,a\0b\n", "line 2"),
        (f"file,title\ncat/3.png,{'x' * 200_000}\n", "field larger"),
    ],
    ids=["nothing", "no file", "no name", "hidden", "date", "taken", "nul", "long"],
)
def test_a_table_that_cannot_be_read_is_one_clear_line(folder: Path, text: str, words: str) -> None:
    before = rows()
    with pytest.raises(CommandError, match=words):
        take_back(write(folder, text))
    assert rows() == before


def test_another_encoding_is_named(folder: Path) -> None:
    with pytest.raises(CommandError, match="UTF-8"):
        take_back(write(folder, "file,label\ncat/3.png,Äpfel\n", "latin-1"))


def test_a_table_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere.csv cannot be read"):
        take_back(folder / "nowhere.csv")


@pytest.mark.parametrize("arguments", [[], ["photos", "--csv", "t.csv"], ["--csv", "t.csv", "--watch"]])
def test_folders_or_a_table_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(CommandError, match="--csv"):
        call_command("import_images", *arguments)
