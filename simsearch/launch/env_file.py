"""`simsearch.env` in the data directory: `make run` writes it, `manage.py` reads it."""

import secrets
import socket
from pathlib import Path

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
    kept = read(path)
    values = {"SECRET_KEY": secrets.token_urlsafe(64), **kept}
    values |= {"ALLOWED_HOSTS": ",".join(allowed_hosts(host)), "SIMSEARCH_HTTPS": "off"}
    values.pop("REDIS_URL", None)
    if redis_url:
        values["REDIS_URL"] = redis_url
    if values != kept:
        fresh = path.with_suffix(".new")
        fresh.touch(0o600)
        fresh.write_text(HEADER + "".join(f"{key}={value}\n" for key, value in values.items()))
        fresh.replace(path)  # atomic: never half a file
    return values


def read(path: Path) -> dict[str, str]:
    """Return the file's variables; none when there is no file."""
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, value in pairs}


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
    """Return this machine's addresses in its networks. Connecting a datagram socket only selects the interface."""
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
