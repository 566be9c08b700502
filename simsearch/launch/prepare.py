"""`python -m simsearch.launch.prepare`: check, migrate and collect the static files, in one process instead of three.

Prints one line of JSON about the gallery, or one line on what is wrong.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import django
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db.utils import InternalError, OperationalError

from simsearch.env import DATA_DIR


def main() -> None:
    """Prepare the database and the static files."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")
    try:
        django.setup()
        for folder in (settings.UPLOADS_ROOT, settings.MEDIA_ROOT):
            folder.mkdir(parents=True, exist_ok=True)
        refuse_serious(run_checks())
        call_command("migrate", verbosity=0, interactive=False)
        refuse_serious(run_checks(databases=["default"]))
        collect_static()
        protect(DATA_DIR)
        print(json.dumps(facts()))
    except ImproperlyConfigured as error:
        sys.exit(f"simsearch: {error}")
    except (OperationalError, InternalError) as error:  # away; read-only
        sys.exit(f"simsearch: The database (DATABASE_URL) reports: {str(error).strip().splitlines()[0]}")
    except OSError as error:
        sys.exit(f"simsearch: {error.filename} cannot be written ({error.strerror}).")


def refuse_serious(messages: list[CheckMessage]) -> None:
    """Exit with a line for each error; `manage.py check` shows warnings."""
    serious = [message for message in messages if message.is_serious()]
    if serious:
        sys.exit("\n".join(f"simsearch: {message.msg} {message.hint or ''}".strip() for message in serious))


def collect_static() -> None:
    """Collect the static files only if one has changed: hashing and compressing takes seconds."""
    root = Path(settings.STATIC_ROOT)
    stamp = root.with_name("static.stamp")
    files = [Path(storage.path(name)) for finder in get_finders() for name, storage in finder.list([])]
    seen = repr([settings.STORAGES, *((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in sorted(files))])
    digest = hashlib.sha256(seen.encode()).hexdigest()
    if root.is_dir() and stamp.exists() and stamp.read_text() == digest:
        return
    is_ours = stamp.exists() or (root / ManifestFilesMixin.manifest_name).exists()
    if root.is_dir() and any(root.iterdir()) and not is_ours:
        sys.exit(f"simsearch: STATIC_ROOT={root} has other files, which would be deleted: name a folder of its own.")
    root.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text("")
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    for path in (root, *root.rglob("*")):
        path.chmod(0o750 if path.is_dir() else 0o640)
    stamp.write_text(digest)


def protect(data_dir: Path) -> None:
    """Remove access of others that an earlier version or another umask left. A closed folder closes its files."""
    modes = {data_dir: 0o710, Path(settings.MEDIA_ROOT): 0o750, Path(settings.STATIC_ROOT): 0o750}
    for path in (data_dir, *data_dir.iterdir()):  # nginx, in our group, enters the first to read the other two
        if not path.is_symlink() and path.stat().st_uid == os.getuid():
            path.chmod(modes.get(path, 0o700 if path.is_dir() else 0o600))


def facts() -> dict[str, bool]:
    """Return the facts about the gallery that a start needs."""
    people = apps.get_model("auth", "User").objects
    return {
        "has_images": apps.get_model("gallery", "Image").objects.exists(),
        "has_admin": people.filter(is_superuser=True).exists(),
    }


if __name__ == "__main__":
    main()
