"""An upgrade migrates first, while the version before still serves: no migration may take away what that one uses.

A new column is nullable: a default of the database would do for PostgreSQL, but on SQLite, where a table is made anew,
the linter cannot tell it from a column that the version before does not fill.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django_migration_linter import MigrationLinter
from pytest_django import Settings

from gallery import migrations
from gallery.insight import duplicates, mislabels
from gallery.models import Duplicate, DuplicateGroup, MapPoint, Suspect
from tests.gallery.rows import add_image

MIGRATION = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gallery", "0001_initial")]
    operations = [{operation}]
"""


def lint(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the linter has against the migrations that followed the first; nothing when they are fit."""
    linter = MigrationLinter(include_apps=["gallery"], ignore_initial_migrations=True, no_cache=True)
    linter.lint_all_migrations()
    output = capsys.readouterr().out
    assert linter.nb_total > 0
    return output if linter.has_errors else ""


@pytest.fixture
def next_migration(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a test writes a migration that comes after the first one."""
    package = tmp_path / "later_migrations"
    package.mkdir()
    for path in Path(migrations.__path__[0]).glob("0001_*.py"):
        (package / path.name).write_text(path.read_text())
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {"gallery": package.name}
    yield package / "0002_next.py"
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


@pytest.mark.django_db(transaction=True)
def test_the_version_before_can_serve_on_every_migration(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(capsys) == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "operation",
    [
        'migrations.RemoveField("image", "title")',
        'migrations.RenameField("image", "title", "name")',
        'migrations.DeleteModel("Match")',
        'migrations.AddField("image", "size", models.IntegerField(default=0))',
        'migrations.AlterField("image", "title", models.IntegerField())',
    ],
)
def test_what_the_version_before_could_not_live_with_is_found(
    next_migration: Path, operation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    next_migration.write_text(MIGRATION.format(operation=operation))
    assert "0002_next" in lint(capsys)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "operation",
    [
        'migrations.AddField("image", "size", models.IntegerField(null=True))',
        'migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))])',
    ],
)
def test_what_is_only_added_is_fit(next_migration: Path, operation: str, capsys: pytest.CaptureFixture[str]) -> None:
    next_migration.write_text(MIGRATION.format(operation=operation))
    assert lint(capsys) == ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("Embedding", {"image_id": "0" * 64, "vector": b""}),
        ("IndexGeneration", {"state": "ready"}),
        ("Calibration", {"same": 0.9, "very_similar": 0.6, "similar": 0.4, "duplicate": 0.9, "pictures": 1}),
        ("Query", {"has_picture": True}),
    ],
)
def test_the_version_before_and_this_one_read_the_models_of_each_other(table: str, values: dict[str, Any]) -> None:
    before = MigrationLoader(connection).project_state([("gallery", "0017_milvus")]).apps.get_model("gallery", table)
    present = apps.get_model("gallery", table)
    assert present.objects.get(pk=before.objects.create(network="old", **values).pk).model_id == "old"
    assert before.objects.get(pk=present.objects.create(model_id="new", **values).pk).network == "new"


@pytest.mark.django_db
def test_the_version_before_deletes_pictures_of_analyses_that_it_does_not_know() -> None:
    image = add_image(1)
    MapPoint.objects.create(image=image, x=0.5, y=0.5)
    Suspect.objects.create(image=image, label="", suggestion="cat", suspicion=1, neighbours=[])
    Duplicate.objects.create(image=image, group=DuplicateGroup.objects.create(kind="copy"), similarity=1)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM gallery_image")
    connection.check_constraints()
    assert (list(duplicates.groups()), list(mislabels.suspects())) == ([], [])
    assert not MapPoint.objects.filter(image__is_hidden=False).exists()
