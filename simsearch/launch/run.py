"""`make run`: the parent of every process. `python -m simsearch.launch.run --photos DIR --host HOST --port PORT`."""

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from simsearch.launch import preflight, processes, variables
from simsearch.launch.foreground import Stopped, confirmed, manage, on_a_terminal, pause, say, watch_signals
from simsearch.launch.preflight import StartError
from simsearch.launch.processes import Supervisor
from simsearch.launch.system import System
from simsearch.launch.web_socket import Offer

ROOT = Path(__file__).resolve().parents[2]
FLOWER_PORT = 5555
REDIS_S = 30.0
OPEN = (
    "Others can reach it. This is for a network that you trust, not for the open internet: without nginx in front\n"
    "a few slow connections stop the site. Set up a server instead: docs/operations.md.\n\n"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until somebody stops us: 0 then, 1 when it could not start or broke down."""
    wish = watch_signals()
    try:
        LocalSystem(_parse(arguments), wish).serve()
    except Stopped:
        say("Stopped.")
        return 0
    except StartError as refusal:
        print(f"simsearch: {refusal}", file=sys.stderr, flush=True)
    return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make run")
    parser.add_argument("--photos", default="")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default="8000")
    options = parser.parse_args(arguments)
    options.port = preflight.port("PORT", options.port)
    return options


class LocalSystem(System):
    """The whole system with a Redis of its own, unless the environment names another one."""

    port_option = "make run PORT="

    def __init__(self, options: argparse.Namespace, wish: threading.Event) -> None:
        self.photos = preflight.photos_folder(options.photos)
        data_dir = Path(os.environ.get("SIMSEARCH_DATA_DIR") or ROOT / "media").expanduser().resolve()
        super().__init__(options.host, options.port, data_dir, wish)
        self.external_redis = os.environ.get("REDIS_URL") or None

    def _look_before_starting(self) -> None:
        if self.external_redis:
            preflight.reachable_redis(self.external_redis)
        self._kept_port = preflight.spare_port(FLOWER_PORT)
        self.flower_port: int = self._kept_port.getsockname()[1]
        embedded = None if self.external_redis else f"unix://{self.run_dir / 'redis.sock'}"
        written = variables.establish(self.data_dir, self.host, embedded)
        shared = {**written, **os.environ, "REDIS_URL": embedded or self.external_redis or ""}
        # Whatever names the user added: we ask for /readyz by ours.
        shared["ALLOWED_HOSTS"] = f"{written['ALLOWED_HOSTS']},{os.environ.get('ALLOWED_HOSTS', '')}".strip(",")
        shared |= {"SIMSEARCH_HOST": self.host, "SIMSEARCH_PORT": str(self.port)}
        own = processes.variables(shared, self.data_dir, self.run_dir, self.flower_port, own_redis=bool(embedded))
        self.environ = shared | own

    def _asking(self) -> dict[str, str]:
        return {}

    def _start(self, supervisor: Supervisor, offer: Offer) -> None:
        known = self._prepare()
        supervisor.launch()
        offer.start()
        if not self.external_redis:
            supervisor.start_redis()
            self._wait_for_redis(supervisor)
        self._fill_the_gallery(has_images=known["has_images"])
        if not known["has_admin"]:
            self._offer_an_admin()
        if sys.platform != "linux":
            self._kept_port.close()
        supervisor.start_the_rest()
        self._wait_until_ready(supervisor)
        say(self.addresses())

    def _wait_for_redis(self, supervisor: Supervisor) -> None:
        deadline = time.monotonic() + REDIS_S
        while time.monotonic() < deadline:
            self._refuse_failing(supervisor)
            if preflight.answers(self.environ["REDIS_URL"]):
                return
            pause(self._wish, 0.05)
        raise StartError(f"The embedded Redis does not answer; its log says:\n{supervisor.tail('redis.log')}")

    def _fill_the_gallery(self, *, has_images: bool) -> None:
        if self.photos:
            self._manage("import_images", str(self.photos))
        elif not has_images:
            self._manage("make_demo")
        self._manage("build_index", "--if-stale")

    def _manage(self, *arguments: str) -> None:
        if manage(self._wish, self.environ, *arguments):
            sys.exit(1)  # it has said why itself

    def _offer_an_admin(self) -> None:
        if on_a_terminal() and confirmed(self._wish, "There is no admin account yet. Make one now?"):
            manage(self._wish, self.environ, "createsuperuser")  # giving up there is no reason not to serve

    def addresses(self) -> str:
        """What to open, and where to look."""
        site = f"http://{preflight.authority(self.host, self.port)}"
        python = _shown(Path(sys.executable))
        return (
            f"\n  Site    {site}/\n"
            f"  Admin   {site}/admin/    (an account: {python} manage.py createsuperuser)\n"
            f"  API     {site}/api/docs\n"
            f"  Flower  http://127.0.0.1:{self.flower_port}/flower/\n"
            f"  Logs    {_shown(self.data_dir / 'logs')}/\n\n"
            f"{'' if preflight.is_loopback(self.host) else OPEN}"
            "Press Ctrl-C to stop."
        )


def _shown(path: Path) -> str:
    return os.path.relpath(path) if Path.cwd() in path.parents else str(path)


if __name__ == "__main__":
    sys.exit(main())
