"""`simsearch.env` in the data directory: `make run` writes it, `manage.py` reads it."""

import secrets
import socket
from pathlib import Path
from typing import ClassVar

import psutil
from environ import Env

FILE_NAME = "simsearch.env"
HEADER = """\
# Written by `make run`; `manage.py` reads it too. Real environment variables win over it.
# REDIS_URL, ALLOWED_HOSTS and SIMSEARCH_HTTPS are written anew at each start; every other line stays as it is.
"""
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 (the user asked for it with HOST=)


def establish(data_dir: Path, host: str, redis_url: str | None) -> dict[str, str]:
    """Update the file and return its variables; the secret is made once and kept.

    `redis_url` is the embedded Redis, or None when the environment names another one.
    """
    path = data_dir / FILE_NAME
    text = path.read_text() if path.exists() else HEADER
    own = {"ALLOWED_HOSTS": ",".join(allowed_hosts(host)), "SIMSEARCH_HTTPS": "off", "REDIS_URL": redis_url}
    if "SECRET_KEY" not in read(path):
        own["SECRET_KEY"] = secrets.token_urlsafe(64)
    kept = [line for line in text.splitlines() if line.partition("=")[0] not in own]
    written = "\n".join([*kept, *(f"{name}={value}" for name, value in own.items() if value), ""])
    if written != text:
        fresh = path.with_suffix(".new")
        fresh.touch(0o600)
        fresh.write_text(written)
        fresh.replace(path)  # atomic: never half a file
    return read(path)


def read(path: Path) -> dict[str, str]:
    """Return the file's variables as `manage.py` reads them; none when there is no file."""

    class Reader(Env):  # type: ignore[misc]
        ENVIRON: ClassVar[dict[str, str]] = {}

    Reader.read_env(path)
    return Reader.ENVIRON


def allowed_hosts(host: str) -> list[str]:
    """Return the names under which a browser may ask for the site when it listens on `host`."""
    names = ["localhost", "127.0.0.1", "[::1]"]
    if host in EVERYWHERE:
        own = socket.gethostname()
        names += [own, f"{own}.local", *_own_addresses()]
    else:
        names.append(f"[{host}]" if ":" in host else host)
    return list(dict.fromkeys(names))


def _own_addresses() -> list[str]:
    found = [one for of_interface in psutil.net_if_addrs().values() for one in of_interface]
    v4 = [one.address for one in found if one.family == socket.AF_INET]
    return v4 + [f"[{one.address.partition('%')[0]}]" for one in found if one.family == socket.AF_INET6]
