"""Preflight checks, before anything is started. Each error is one sentence that says what to do."""

import errno
import fcntl
import hashlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import redis

from gallery.operations import redis_clients

# As gunicorn's own; the kernel takes the smaller one of this and net.core.somaxconn.
BACKLOG = 2048
# sun_path holds 108 bytes on Linux and 104 on macOS, and supervisor binds `<name>.<pid>` first.
MAX_SOCKET_DIR_BYTES = 75
# Outside these a path would have to be quoted in a Redis address, and each library quotes differently.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
UNQUOTABLE = set('%"\\\n')


class StartError(Exception):
    """One clear sentence on why the system cannot start."""


def photos_folder(text: str) -> Path | None:
    """Return the folder to import; None when none was given. Raises StartError, as all of these do."""
    if not text:
        return None
    folder = Path(text).expanduser().absolute()
    try:
        is_there = folder.is_dir()
    except PermissionError as error:
        raise StartError(
            f"{folder} is in a folder that you may not enter; choose another: make run PHOTOS=folder"
        ) from error
    if not is_there:
        raise StartError(f"There is no folder {folder}; give one with pictures: make run PHOTOS=folder")
    return folder


def writable_directory(directory: Path) -> Path:
    """Make a directory that can be written."""
    if set(str(directory)) & UNQUOTABLE:
        raise StartError(
            f"{directory} has a character in its name that supervisor cannot quote; set SIMSEARCH_DATA_DIR."
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise StartError(f"Cannot write to {directory} ({error.strerror}); set SIMSEARCH_DATA_DIR.") from error
    return directory


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Lock the data directory for the block; the kernel releases it when this process ends in any way."""
    with (data_dir / "running.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise StartError(
                f"simsearch is already running on {data_dir} (process {lock.read().strip()}); "
                "stop it first, or choose another place for this one: SIMSEARCH_DATA_DIR=folder make run"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def port(name: str, text: str) -> int:
    """Return the port that a variable names."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StartError(f"{name}={text} is not a port; choose one from 1 to 65535: {name}=8000")
    return int(text)


def listen(host: str, port: int, choose: str) -> socket.socket:
    """Return a socket that listens on this address. `choose`: what to type before another port."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # `::` also takes IPv4
        return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = f"Port {port} is in use on {host}; choose another: {choose}{min(port + 1, 65535)}"
        elif error.errno == errno.EACCES:
            advice = f"Port {port} needs more rights than you have; choose another: {choose}8000"
        else:
            advice = f"Cannot listen on {host}: {error.strerror}; choose an address of this machine, say 127.0.0.1."
        raise StartError(advice) from error


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens on `host`."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
    except (OSError, ValueError):
        return False


def authority(host: str, port: int | str) -> str:
    """Return `host:port` for a client of a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def spare_port(preferred: int) -> socket.socket:
    """Return a socket that reserves `preferred`, if it is free on the loopback, or any other port, until it is closed.

    Seconds pass until the program that will listen there comes to it, and another start on this machine must not
    take it in between. Linux lets a listener that reuses addresses in beside a socket that does so too but never
    listens; elsewhere it has to be closed first.
    """
    keeper = socket.socket()
    try:
        keeper.bind(("127.0.0.1", preferred))
    except OSError:
        keeper.bind(("127.0.0.1", 0))
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return keeper


def reachable_redis(url: str) -> None:
    """Raise StartError, without the password, when the Redis that the user chose does not answer."""
    try:
        with redis_clients.connect(url, redis_clients.STARTING_S) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise StartError(f"Redis at {without_password(url)} (REDIS_URL) does not answer: {error}") from error


def without_password(url: str) -> str:
    """Return the address without its password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def socket_directory(data_dir: Path) -> Path:
    """Return the folder of the sockets: `run/` in the data directory, or a short private one where that is too long."""
    inside = data_dir / "run"
    if len(os.fsencode(inside)) <= MAX_SOCKET_DIR_BYTES and PLAIN_PATH.fullmatch(str(inside)):
        return inside
    name = hashlib.sha256(os.fsencode(inside)).hexdigest()[:12]
    outside = Path("/tmp") / f"simsearch-{os.getuid()}-{name}"  # noqa: S108 (its owner is checked; TMPDIR may be long)
    outside.mkdir(mode=0o700, exist_ok=True)
    found = outside.lstat()
    if outside.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StartError(f"{outside} belongs to another account; set SIMSEARCH_DATA_DIR to a short path.")
    return outside


def nothing_left(run_dir: Path) -> None:
    """Raise StartError while processes of an earlier run, whose parent was killed, use the data directory."""
    for name in ("supervisor", "redis"):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(run_dir / f"{name}.sock")):
                continue
        pid_file = run_dir / f"{name}.pid"
        pid = pid_file.read_text().strip() if pid_file.exists() else ""
        way_out = f", or end it: kill {pid}" if pid else ""
        raise StartError(f"An earlier run has not ended yet ({name}); try again in a minute{way_out}.")
