"""What a running system takes: memory, open files, room in Redis, and what it leaves behind."""

import re
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.stack import Stack

# A process is of the first kind whose words are in its command line.
KINDS = {
    "redis-server": "redis",
    "supervisord": "supervisord",
    "simsearch.launch.run": "parent",
    "--queues search": "search",
    "--queues gallery": "gallery",
    "flower": "Flower",
    "gunicorn": "web",
}
UNFINISHED = ".new-*"


@dataclass(frozen=True)
class Footprint:
    """At one moment.

    `memory_mb`: of all processes of a kind together what they have written, what they share divided among them. Not the
    pages of files: those of torch are shared with whatever else has it loaded on this machine, other tests for example,
    and when one of them ends the part of all others grows by tens of megabytes.
    """

    memory_mb: dict[str, float]
    open_files: dict[str, int]
    connections: int
    redis_mb: float
    redis_keys: int
    temporary_files: int

    def __str__(self) -> str:
        memory = " ".join(f"{kind} {mb:.0f}" for kind, mb in self.memory_mb.items())
        files = " ".join(f"{kind} {count}" for kind, count in self.open_files.items())
        return (
            f"MB: {memory}; files: {files}; database connections {self.connections}; "
            f"Redis {self.redis_mb:.2f} MB, {self.redis_keys} keys; temporary files {self.temporary_files}"
        )


def footprint(stack: Stack, temporary: Path) -> Footprint:
    """`temporary`: the stack's TMPDIR."""
    memory_mb: dict[str, float] = defaultdict(float)
    open_files: Counter[str] = Counter()
    connections = 0
    # Redis writes its title over what says whose it is.
    redis_pid = int((stack.data_dir / "run" / "redis.pid").read_text())
    for pid in [*stack.pids(), redis_pid]:
        with suppress(OSError):  # it ended meanwhile
            kind, descriptors = _kind(pid), [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
            memory_mb[kind] += _written_mb(pid)
            open_files[kind] += len(descriptors)
            connections += sum(name.endswith("simsearch.sqlite3") for name in descriptors)
    if "DATABASE_URL" in stack.database:
        [(connections,)] = stack.rows("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    with redis.Redis(unix_socket_path=str(stack.data_dir / "run" / "redis.sock")) as client:
        redis_mb, redis_keys = client.info("memory")["used_memory"] / 2**20, client.dbsize()
    left = [*temporary.rglob("*"), *(stack.data_dir / "pictures").rglob(UNFINISHED)]
    return Footprint(
        dict(sorted(memory_mb.items())),
        dict(sorted(open_files.items())),
        connections,
        redis_mb,
        redis_keys,
        sum(path.is_file() for path in left),
    )


def _kind(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return next((kind for words, kind in KINDS.items() if words in command), command)


def _written_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(kb) for name, kb in re.findall(r"^(Pss_\w+): +(\d+) kB", text, re.MULTILINE)}
    return (found["Pss_Anon"] + found["Pss_Shmem"]) / 1024 if found else 0.0  # one that is ending has none
