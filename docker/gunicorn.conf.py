"""gunicorn: few processes, several threads each. Requests only read and write rows; the workers do the heavy part."""

import ctypes
import os
import sys
from pathlib import Path

_host = os.environ.get("SIMSEARCH_HOST", "127.0.0.1")
_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

wsgi_app = "simsearch.wsgi:application"
# `make run` and a server hand over a socket that outlives gunicorn; a container has none.
if _descriptor := os.environ.get("SIMSEARCH_WEB_FD"):
    bind = f"fd://{_descriptor}"
else:
    bind = f"{f'[{_host}]' if ':' in _host else _host}:{os.environ.get('SIMSEARCH_PORT', '8000')}"
_workers = os.environ.get("SIMSEARCH_WEB_WORKERS") or str(max(2, min(_cores, 8)))
if not _workers.isdecimal():
    sys.exit(f"simsearch: SIMSEARCH_WEB_WORKERS={_workers} is not a number of processes.")
workers = int(_workers)
worker_class = "gthread"
threads = 8
# As many connections to PostgreSQL as threads, at most: a slow download may hold one as long as it holds its thread.
raw_env = [f"SIMSEARCH_DATABASE_POOL={threads}"]
keepalive = 5
timeout = 30
graceful_timeout = 15  # less than supervisor's stopwaitsecs

# mallopt(3). glibc gives every thread an arena of its own, and each of them keeps what its largest request took: some
# 4 MB of a worker. It has to be said before there are threads, and not in the environment, which is read before this.
M_ARENA_MAX = -8
if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
    mallopt(M_ARENA_MAX, 1)

# A worker is replaced now and then, never all at the same moment.
max_requests = 20_000
max_requests_jitter = 4_000

# The heartbeat is a file; on a busy disk it would block, and the worker would be killed for it.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108

# The one header that nginx sets, from the proxies of FORWARDED_ALLOW_IPS alone; visitors may send the others.
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}

errorlog = "-"
# No access log: it has the paths of queries, which are secrets. Django logs each request (gallery/site/middleware.py).
if os.environ.get("LOG_FORMAT") == "json":
    logconfig_dict = {
        "root": {"handlers": []},
        "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": False}},
        # As in simsearch/logs.py, which the master must not import: a reload would then go on with the old code.
        "formatters": {
            "generic": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": ["levelname", "name", "message"],
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": "time",
            }
        },
    }
# Nothing talks to it, and its default place is in the home directory, shared by every installation.
control_socket_disable = True
