"""`python -m simsearch.launch.serve`: the parent of every process of a server; systemd's `ExecStart`.

The environment, or `simsearch.env` in the data directory, has the settings (docs/operations.md). PostgreSQL, Redis
and nginx are the system's own services. It brings the database and the static files up to date, starts every program of
docker/supervisord.conf, tells systemd when uploads are answered, and stops them all when it is stopped.
"""

import logging
import os
import socket
import stat
import sys
from pathlib import Path

from gunicorn.systemd import SD_LISTEN_FDS_START, listen_fds, sd_notify

from simsearch.env import DATA_DIR, ENV_FILE, env
from simsearch.launch import preflight, system
from simsearch.launch.preflight import StartError
from simsearch.launch.system import System, say

# Variables that a server must set; `make run` sets them itself.
REQUIRED = ["SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"]


class Server(System):
    """The system on a server, without PostgreSQL, Redis and nginx."""

    port_option = "SIMSEARCH_PORT="

    def __init__(self) -> None:
        check_environment()
        port = preflight.port("SIMSEARCH_PORT", os.environ.get("SIMSEARCH_PORT", "8000"))
        super().__init__(os.environ.get("SIMSEARCH_HOST", "127.0.0.1"), port, DATA_DIR)
        name = env.list("ALLOWED_HOSTS")[0].removeprefix(".").replace("*", "localhost")
        self.headers = {"Host": name, "X-Forwarded-Proto": "https"}
        if listen_fds():
            self.inherited = socket.socket(fileno=SD_LISTEN_FDS_START)  # docs/simsearch.socket
        self.flower_port = preflight.port("SIMSEARCH_FLOWER_PORT", os.environ.get("SIMSEARCH_FLOWER_PORT", "5555"))

    def _environment(self, run_dir: Path) -> dict[str, str]:
        preflight.reachable_redis(env.str("REDIS_URL"))
        preflight.listen("127.0.0.1", self.flower_port, "SIMSEARCH_FLOWER_PORT=").close()
        # Proxies whose headers gunicorn and Django trust for the visitor's address and scheme.
        environ = {"FORWARDED_ALLOW_IPS": "127.0.0.1,::1", **os.environ}
        environ.pop("NOTIFY_SOCKET", None)  # only this process notifies systemd
        return environ

    def _start(self) -> None:
        self._prepare()
        self.supervisor.launch(autostart=True)
        self._wait_until_ready()
        sd_notify("READY=1", logging.getLogger(__name__))
        say(f"Serving on {preflight.authority(self.host, self.port)}; logs in {self.supervisor.logs}")


def check_environment() -> None:
    """Raise StartError when something is missing, or when others can read the file with the secrets."""
    if ENV_FILE.exists() and stat.S_IMODE(ENV_FILE.stat().st_mode) & stat.S_IRWXO:
        raise StartError(f"Everybody can read the secrets in {ENV_FILE}: chmod 600 {ENV_FILE}")
    missing = [name for name in REQUIRED if not (os.environ.get(name) or os.environ.get(f"{name}_FILE"))]
    if missing:
        raise StartError(f"A server needs {', '.join(missing)}; set them in {ENV_FILE} or in the environment.")


if __name__ == "__main__":
    sys.exit(system.run(Server))
