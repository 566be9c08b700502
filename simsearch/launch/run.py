"""`make run`: the parent of every process. `python -m simsearch.launch.run --photos DIR --host HOST --port PORT`."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from simsearch.launch import env_file, preflight, supervisor, system
from simsearch.launch.supervisor import ROOT
from simsearch.launch.system import System, say

FLOWER_PORT = 5555
PHONE = "To open it from a phone in the same network, start it with `make run HOST=0.0.0.0`.\n"
OPEN = (
    "From a phone in the same network, open it by this machine's address, such as http://192.168.1.20:{port}/.\n"
    "Everyone in this network can reach it. Use it only in a network that you trust, not for the open internet:\n"
    "without nginx in front a few slow connections stop the site. For others set up a server: docs/operations.md.\n\n"
)


class LocalSystem(System):
    """The whole system with a Redis of its own, unless the environment names another one."""

    port_option = "make run PORT="

    def __init__(self, arguments: Sequence[str] | None = None) -> None:
        parser = argparse.ArgumentParser(prog="make run")
        parser.add_argument("--photos", default="")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", default="8000")
        options = parser.parse_args(arguments)
        self.photos = preflight.photos_folder(options.photos)
        data_dir = Path(os.environ.get("SIMSEARCH_DATA_DIR") or ROOT / "media").expanduser().resolve()
        super().__init__(options.host, preflight.port("PORT", options.port), data_dir)
        self.external_redis = os.environ.get("REDIS_URL") or None
        self.has_own_redis = not self.external_redis

    def _environment(self, run_dir: Path) -> dict[str, str]:
        if self.external_redis:
            preflight.reachable_redis(self.external_redis)
        self._kept_port = preflight.spare_port(FLOWER_PORT)
        self.flower_port = self._kept_port.getsockname()[1]
        embedded = None if self.external_redis else f"unix://{run_dir}/redis.sock"
        written = env_file.establish(self.data_dir, self.host, embedded)
        # The host names of our own requests to /readyz, and those that the user added.
        hosts = f"{written['ALLOWED_HOSTS']},{os.environ.get('ALLOWED_HOSTS', '')}".strip(",")
        return {**written, **os.environ, "REDIS_URL": embedded or self.external_redis or "", "ALLOWED_HOSTS": hosts}

    def _start(self) -> None:
        facts = self._prepare()
        self.supervisor.launch(autostart=False)
        if self.photos:
            self._manage("import_images", str(self.photos))
        elif not facts["has_images"] and not self.environ.get("SIMSEARCH_WATCH"):
            self._manage("make_demo")
        self._manage("build_index", "--if-stale")
        if not facts["has_admin"]:
            self._offer_an_admin()
        if sys.platform != "linux":
            self._kept_port.close()
        self.supervisor.start(supervisor.GROUP)
        self._wait_until_ready()
        say(self.addresses())

    def _manage(self, *arguments: str) -> None:
        if self._run("manage.py", *arguments)[0]:
            sys.exit(1)  # the command has printed the reason

    def _offer_an_admin(self) -> None:
        if sys.stdin.isatty() and sys.stdout.isatty():
            say("There is no admin account yet. Create one now? [y/N] ", end="")
            with suppress(EOFError):
                if input().strip().lower() in ("y", "yes"):
                    self._run("manage.py", "createsuperuser")  # serve also if the user cancels

    def addresses(self) -> str:
        """Return the text with the addresses and the folder of the logs."""
        site = f"http://{preflight.authority(self.host, self.port)}"
        folder = self.environ.get("SIMSEARCH_WATCH")
        watched = f"  Watch   {folder} (new pictures are imported as they come)\n" if folder else ""
        return (
            f"\n  Site    {site}/\n"
            f"  Admin   {site}/admin/ (create an account: {_shown(Path(sys.executable))} manage.py createsuperuser)\n"
            f"  API     {site}/api/docs\n"
            f"  Flower  http://127.0.0.1:{self.flower_port}/flower/\n"
            f"  Logs    {_shown(self.data_dir / 'logs')}/\n"
            f"{watched}\n"
            f"{PHONE if preflight.is_loopback(self.host) else OPEN.format(port=self.port)}"
            "Press Ctrl-C to stop."
        )


def _shown(path: Path) -> str:
    return os.path.relpath(path) if Path.cwd() in path.parents else str(path)


if __name__ == "__main__":
    sys.exit(system.run(LocalSystem))
