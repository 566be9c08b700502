"""The environment, in one place: real variables first, then the file that `make run` wrote into the data directory."""

import os
from pathlib import Path

from environ import FileAwareEnv

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("SIMSEARCH_DATA_DIR") or BASE_DIR / "media").resolve()
ENV_FILE = DATA_DIR / "simsearch.env"

# <NAME>_FILE names a file that holds the value, for secrets.
env = FileAwareEnv()
if ENV_FILE.exists():
    FileAwareEnv.read_env(ENV_FILE)


def broker_url(redis_url: str) -> str:
    """Return the same Redis in kombu's words: redis-py says `unix://`, kombu `redis+socket://`."""
    return redis_url.replace("unix://", "redis+socket://", 1)
