"""manage.py restore."""

import resource
import subprocess
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from gallery.operations import workers
from tests.commands.backups import PASSWORD
from tests.engine.galleries import MODEL_ID
from tests.sites import Site

# What Django's own dumpdata does not show: moments below a millisecond.
MOMENTS = """
from gallery.models import Query
print(json.dumps([str(m) for m in Query.objects.order_by("id").values_list("created_at", flat=True)]))
"""


def last_line(site: Site, *arguments: str, stdin: bytes = b"") -> str:
    """Return the last line of a command that is refused."""
    finished = site.manage(*arguments, stdin=stdin)
    assert finished.returncode == 1, finished
    return finished.stderr.decode().splitlines()[-1].removeprefix("CommandError: ")


@pytest.fixture(scope="module")
def _restored(backup: Path, _empty: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("restored") / "data", like=_empty)
    site.output("restore", str(backup))
    return site


@pytest.fixture
def restored(tmp_path: Path, _restored: Site) -> Site:
    """Return a system to which the backup was restored."""
    return Site(tmp_path / "restored", like=_restored)


def test_everything_comes_back_and_how_far_it_is_is_reported(source: Site, backup: Path, target: Site) -> None:
    finished = target.manage("restore", str(backup))
    assert finished.returncode == 0
    lines = finished.stderr.decode().splitlines()
    for what in ("Verifying", "Restoring"):
        [line] = [line for line in lines if line.startswith(what)]
        done, total = [int(word) for word in line.split() if word.isdecimal()][:2]
        assert done == total > 30
    said = finished.stdout.decode()
    assert said.startswith("Restored: 5 pictures, 5 embeddings, 6 queries and 1 accounts of 20")
    assert "build_index" in said
    assert target.tables() == source.tables()
    assert target.files() == source.files()


@pytest.mark.drill
def test_it_goes_from_sqlite_to_postgresql_and_back(
    source: Site, backup: Path, on_postgresql: Site, target: Site, tmp_path: Path
) -> None:
    on_postgresql.output("restore", str(backup))
    assert on_postgresql.rows() == source.rows()
    assert on_postgresql.files() == source.files()
    on_postgresql.output("backup", str(tmp_path / "back.tar"))
    target.output("restore", str(tmp_path / "back.tar"))
    assert target.rows() == source.rows()
    assert target.files() == source.files()
    assert target.run(MOMENTS) == source.run(MOMENTS)


def test_new_rows_go_on_after_those_that_came(backup: Path, any_target: Site) -> None:
    any_target.output("restore", str(backup))
    before, after = any_target.run("""
from django.contrib.auth.models import Group, Permission, User
from gallery.models import Embedding, Query
from tests.gallery.rows import add_image, finished
def newest():
    return [table.objects.latest("pk").pk for table in (Embedding, Group, User)]
before = newest()
Query.objects.filter(state="waiting").delete()
image = add_image(20)
image.embeddings.create(model_id="n", vector=bytes(8192))
finished(image)
Group.objects.create(name="more").permissions.add(Permission.objects.first())
User.objects.create_user("more").groups.add(Group.objects.get(name="more"))
print(json.dumps([before, newest()]))
""")
    assert all(new > old for old, new in zip(before, after, strict=True))


def test_accounts_log_in_with_their_passwords_and_rights(restored: Site) -> None:
    assert restored.run(f"""
from django.contrib.auth import authenticate
user = authenticate(username="curator", password={PASSWORD!r})
user.is_superuser = False
print(json.dumps([user.has_perm("gallery." + name) for name in ("delete_image", "change_query", "fly")]))
""") == [True, True, False]


def test_it_comes_through_a_pipe(source: Site, backup: Path, target: Site) -> None:
    assert target.manage("restore", "-", stdin=backup.read_bytes()).returncode == 0
    assert target.tables() == source.tables()
    assert target.files() == source.files()


def test_it_can_be_looked_at_without_restoring_it(backup: Path, target: Site) -> None:
    said = target.output("restore", "--check", str(backup))
    assert said.startswith("Complete and undamaged: 5 pictures, 5 embeddings, 6 queries and 1 accounts of 20")
    assert target.files() == {}


# --- Where something is already -----------------------------------------------------------------------------

SOMETHING = """
from django.contrib.sessions.models import Session
from django.utils import timezone
from gallery.models import IndexGeneration
from tests.gallery.rows import add_image, ask
for number in (1, 30, 31):
    add_image(number)
ask(32)
Session.objects.create(session_key="x", expire_date=timezone.now())
IndexGeneration.objects.create(model_id="n", state="ready", is_active=True)
"""


@pytest.fixture(scope="module")
def _used(_empty: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("used") / "data", like=_empty)
    site.run(SOMETHING)
    return site


@pytest.fixture
def used(tmp_path: Path, _used: Site) -> Site:
    """Return a system that is not empty."""
    return Site(tmp_path / "used", like=_used)


def test_what_is_there_is_not_overwritten_unless_requested(source: Site, backup: Path, used: Site) -> None:
    before = used.tables(), used.files()
    assert last_line(used, "restore", str(backup)) == (
        "Nothing was changed. This system is not empty (3 pictures, 1 queries, 0 accounts). "
        "With --replace the backup takes the place of everything in it."
    )
    assert (used.tables(), used.files()) == before
    used.output("restore", "--replace", str(backup))
    assert used.tables() == source.tables()
    assert used.files() == source.files()
    assert used.count("django_session") == used.count("gallery_indexgeneration") == 0


def test_a_failed_build_alone_is_nothing(backup: Path, target: Site) -> None:
    """`build_index` leaves one in an empty gallery."""
    assert "no picture to index" in last_line(target, "build_index")
    target.output("restore", str(backup))


def test_an_account_alone_is_something(backup: Path, target: Site) -> None:
    target.run("from django.contrib.auth.models import User\nUser.objects.create_user('me')")
    assert "not empty (0 pictures, 0 queries, 1 accounts)" in last_line(target, "restore", str(backup))


def test_a_system_can_be_put_back_to_its_own_backup(source: Site, backup: Path, restored: Site) -> None:
    restored.run("""
from gallery.models import Image
from tests.gallery.rows import add_image
add_image(40)
Image.objects.first().delete()
Image.objects.first().picture_file.path.write_bytes(b"damaged")
""")
    assert restored.files() != source.files()
    restored.output("restore", "--replace", str(backup))
    assert restored.tables() == source.tables()
    assert restored.files() == source.files()


def test_workers_that_have_the_old_index_must_be_stopped_first(backup: Path, used: Site) -> None:
    before = used.tables(), used.files()
    # Last, because a heartbeat expires.
    workers.report(workers.Report("search-0@here", "cpu", "fp32", "efficientnet_lite0", "n", 1, "", time.time()))
    assert "Stop simsearch first: search-0@here would go on" in last_line(used, "restore", "--replace", str(backup))
    assert (used.tables(), used.files()) == before


def test_workers_of_an_empty_system_may_go_on(backup: Path, target: Site) -> None:
    """One that had nothing to search finds the restored pictures in its next search, without a new start."""
    workers.report(
        workers.Report("search-0@here", "cpu", "fp32", "efficientnet_lite0", MODEL_ID, None, "", time.time())
    )
    before, after = target.run(f"""
from django.core.management import call_command
from gallery.models import Image
from tasks.search.neighbours import Neighbours, SearchRequest
from tests.engine.galleries import MODEL_ID, make_vectors
neighbours = Neighbours(MODEL_ID)
def search():
    neighbours.refresh()
    [found] = neighbours.search(make_vectors(5)[3:4], [SearchRequest(10)])
    return [str(match.image) for match in found]
before = search()
call_command("restore", {str(backup)!r}, stdout=io.StringIO())
visible = [str(image.pk) for image in Image.objects.visible()]
found = search()
print(json.dumps([before, [len(found), set(found) == set(visible), Image.objects.get(pk=found[0]).label]]))
""")
    assert before == []
    assert after == [4, True, "odd"]  # picture 3 itself is the first


# --- Where it does not fit ----------------------------------------------------------------------------------


def test_a_database_that_is_not_migrated_is_named(backup: Path, target: Site) -> None:
    target.output("migrate", "-v0", "gallery", "zero")
    refusal = target.manage("restore", str(backup)).stderr.decode().splitlines()[-1]
    assert refusal.endswith("Nothing was changed. The database is not up to date: run manage.py migrate first.")


def test_an_older_backup_names_the_version_to_restore_it_with(backup: Path, target: Site) -> None:
    target.run("""
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
MigrationRecorder(connection).record_applied("gallery", "0999_later")
""")
    refusal = last_line(target, "restore", str(backup))
    assert "made by simsearch 0.1.0 before the migration gallery.0999_later" in refusal
    assert target.files() == {}


def test_a_newer_backup_names_the_migration_that_is_missing(source: Site, target: Site, tmp_path: Path) -> None:
    newer = Site(tmp_path / "newer")
    newer.run("""
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
MigrationRecorder(connection).record_applied("gallery", "0999_later")
""")
    newer.output("backup", str(tmp_path / "newer.tar"))
    refusal = last_line(target, "restore", str(tmp_path / "newer.tar"))
    assert "has newer migrations (gallery.0999_later)" in refusal


@pytest.mark.django_db
@pytest.mark.parametrize("file", ["no such file", "README.md", ".", "/dev/null"])
def test_what_is_no_backup_is_one_clear_line(file: str) -> None:
    with pytest.raises(CommandError, match=r"\ANothing was (changed|restored)[.:] .*\Z"):
        call_command("restore", file)


def test_nothing_through_a_pipe_is_one_clear_line(target: Site) -> None:
    assert last_line(target, "restore", "-") == "Nothing was changed. This file is not a backup of simsearch."


@pytest.mark.drill
def test_a_disk_that_takes_no_more_is_one_clear_line_and_nothing_is_left(
    source: Site, backup: Path, on_postgresql: Site
) -> None:
    """Its own limit stands for a full disk: the largest picture is one byte too large."""
    most = max(map(len, source.files().values())) - 1
    before = on_postgresql.rows()
    with on_postgresql.start(
        "restore",
        str(backup),
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    ) as process:
        assert process.stderr
        output = process.stderr.read().decode().splitlines()[-1]
    assert process.returncode == 1
    assert output == "CommandError: Nothing was restored: File too large."
    assert on_postgresql.rows() == before
    assert on_postgresql.files() == {}
