"""`python -m simsearch.launch.serve`: the parent of every process of a server; systemd's `ExecStart`.

The environment, or `simsearch.env` in the data directory, says what it needs (docs/operations.md). PostgreSQL, Redis
and nginx are the system's own services. It brings the database and the static files up to date, starts every program of
docker/supervisord.conf, tells systemd when uploads are answered, and stops them all when it is stopped.
"""

import logging
import os
import socket
import stat
import sys
import threading

from django.core.exceptions import ImproperlyConfigured
from gunicorn.systemd import SD_LISTEN_FDS_START, listen_fds, sd_notify

from simsearch.env import DATA_DIR, ENV_FILE, env
from simsearch.launch import preflight, processes
from simsearch.launch.foreground import Stopped, say, watch_signals
from simsearch.launch.preflight import StartError
from simsearch.launch.processes import Supervisor
from simsearch.launch.system import System
from simsearch.launch.web_socket import Offer

# What a server must have been told; `make run` makes these up.
REQUIRED = ["SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"]

logger = logging.getLogger(__name__)


def main() -> int:
    """Serve until somebody stops us: 0 then, 1 when it could not start or broke down."""
    wish = watch_signals()
    try:
        check_environment()
        Server(wish).serve()
    except Stopped:
        say("Stopped.")
        return 0
    except (StartError, ImproperlyConfigured) as refusal:
        print(f"simsearch: {refusal}", file=sys.stderr, flush=True)
    return 1


def check_environment() -> None:
    """Raise StartError when something is missing, or when others can read the file with the secrets."""
    if ENV_FILE.exists() and stat.S_IMODE(ENV_FILE.stat().st_mode) & stat.S_IRWXO:
        raise StartError(f"Everybody can read the secrets in {ENV_FILE}: chmod 600 {ENV_FILE}")
    missing = [name for name in REQUIRED if not (os.environ.get(name) or os.environ.get(f"{name}_FILE"))]
    if missing:
        raise StartError(f"A server needs {', '.join(missing)}; set them in {ENV_FILE} or in the environment.")


class Server(System):
    """Everything but the outside services."""

    port_option = "SIMSEARCH_PORT="

    def __init__(self, wish: threading.Event) -> None:
        port = preflight.port("SIMSEARCH_PORT", os.environ.get("SIMSEARCH_PORT", "8000"))
        super().__init__(os.environ.get("SIMSEARCH_HOST", "127.0.0.1"), port, DATA_DIR, wish)
        self.flower_port = preflight.port("SIMSEARCH_FLOWER_PORT", os.environ.get("SIMSEARCH_FLOWER_PORT", "5555"))

    def _listener(self) -> socket.socket:
        """systemd's (docs/simsearch.socket), which outlives us, or one of our own."""
        return socket.socket(fileno=SD_LISTEN_FDS_START) if listen_fds() else super()._listener()

    def _look_before_starting(self) -> None:
        preflight.reachable_redis(env.str("REDIS_URL"))
        preflight.listen("127.0.0.1", self.flower_port, "SIMSEARCH_FLOWER_PORT=").close()
        own = processes.variables(os.environ, self.data_dir, self.run_dir, self.flower_port, own_redis=False)
        chosen = {"SIMSEARCH_HOST": self.host, "SIMSEARCH_PORT": str(self.port)}
        # Whose word on the visitor's address and scheme gunicorn and Django take.
        trusted = {"FORWARDED_ALLOW_IPS": os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")}
        self.environ = {**os.environ, **chosen, **trusted, **own, "SIMSEARCH_AUTOSTART": "true"}
        self.environ.pop("NOTIFY_SOCKET", None)  # we speak for all

    def _asking(self) -> dict[str, str]:
        name = env.list("ALLOWED_HOSTS")[0].removeprefix(".").replace("*", "localhost")
        return {"Host": name, "X-Forwarded-Proto": "https"}

    def _start(self, supervisor: Supervisor, offer: Offer) -> None:
        self._prepare()
        supervisor.launch()
        offer.start()
        self._wait_until_ready(supervisor)
        sd_notify("READY=1", logger)
        say(f"Serving on {preflight.authority(self.host, self.port)}; logs in {supervisor.logs}")


if __name__ == "__main__":
    sys.exit(main())
