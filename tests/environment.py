"""Loaded before Django's settings (setup.cfg: `-p tests.environment`): every run has a data directory of its own."""

import atexit
import os
import secrets
import shutil
import tempfile

DATA_DIR = tempfile.mkdtemp(prefix="simsearch-tests-")
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)

os.environ |= {
    "SECRET_KEY": secrets.token_urlsafe(50),
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "SIMSEARCH_HTTPS": "off",
    "SIMSEARCH_DATA_DIR": DATA_DIR,
    "REDIS_URL": f"unix://{DATA_DIR}/redis.sock",
}
