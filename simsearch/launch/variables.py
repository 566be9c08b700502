"""The variables that every process of one installation shares, and the file that keeps them in the data directory.

`simsearch.env` reads the same file, so that a `manage.py` typed by hand finds the same secret and the same Redis.
"""

import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

FILE_NAME = "simsearch.env"
HEADER = """\
# Written by `make run`; `manage.py` reads it too. Real environment variables win over it.
# REDIS_URL, ALLOWED_HOSTS and SIMSEARCH_HTTPS are written anew at each start; every other line stays as it is.
"""
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 (the user asked for it with HOST=)


def establish(data_dir: Path, host: str, redis_url: str | None) -> dict[str, str]:
    """Bring the file up to date and return what it says; the secret is made once and then kept.

    `redis_url` is the embedded Redis, or None when the environment names another one.
    """
    path = data_dir / FILE_NAME
    kept = read(path)
    values = {key: value for key, value in kept.items() if key != "REDIS_URL"}
    values.setdefault("SECRET_KEY", secrets.token_urlsafe(64))
    values |= {"ALLOWED_HOSTS": ",".join(allowed_hosts(host)), "SIMSEARCH_HTTPS": "off"}
    if redis_url:
        values["REDIS_URL"] = redis_url
    if values != kept:
        _write(path, values)
    return values


def read(path: Path) -> dict[str, str]:
    """The file's variables; none when there is no file."""
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs if not key.startswith("#")}


def _write(path: Path, values: Mapping[str, str]) -> None:
    """Owner-only from its first byte, and never half a file."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(HEADER + "".join(f"{key}={value}\n" for key, value in values.items()))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def allowed_hosts(host: str) -> list[str]:
    """The names under which a browser may ask for the site when it listens on `host`."""
    names = ["localhost", "127.0.0.1", "[::1]"]
    if host in EVERYWHERE:
        own = socket.gethostname()
        names += [own, f"{own}.local", *_own_addresses()]
    else:
        names.append(f"[{host}]" if ":" in host else host)
    return list(dict.fromkeys(names))


def _own_addresses() -> list[str]:
    """The addresses that others see: connecting a datagram socket sends nothing, but chooses the interface."""
    found = []
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                address = str(probe.getsockname()[0])
        except OSError:
            continue
        found.append(f"[{address}]" if ":" in address else address)
    return found
