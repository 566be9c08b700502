"""Environment variables: real ones first, then those of `simsearch.env` in the data directory."""

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
