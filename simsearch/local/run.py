"""`make run`: the parent of every process. `python -m simsearch.local.run --photos DIR --host HOST --port PORT`."""

import argparse
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from simsearch.local import preflight, processes, variables
from simsearch.local.foreground import Stopped, confirmed, manage, on_a_terminal, pause, quietly, say, watch_signals
from simsearch.local.preflight import StartError
from simsearch.local.processes import Supervisor

ROOT = Path(__file__).resolve().parents[2]
FLOWER_PORT = 5555
REDIS_S = 30.0
READY_S = 120.0


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
    if not options.port.isdecimal() or not 0 < int(options.port) < 65536:
        raise StartError(f"PORT={options.port} is no port; choose one from 1 to 65535: make run PORT=8000")
    options.port = int(options.port)
    return options


class LocalSystem:
    """One installation on this machine, from the first look at the options to the last process."""

    def __init__(self, options: argparse.Namespace, wish: threading.Event) -> None:
        self.photos = preflight.photos_folder(options.photos)
        self.host: str = options.host
        self.port: int = options.port
        self.data_dir = Path(os.environ.get("SIMSEARCH_DATA_DIR") or ROOT / "media").expanduser().resolve()
        self.external_redis = os.environ.get("REDIS_URL") or None
        self._wish = wish
        self.environ: dict[str, str] = {}

    def serve(self) -> None:
        """Never returns: raises `Stopped` or `StartError`, and by then nothing runs any more."""
        preflight.writable_directory(self.data_dir)
        with preflight.only_one(self.data_dir):
            self._look_before_starting()
            supervisor = Supervisor(self.data_dir, self.run_dir, self.environ)
            try:
                self._start(supervisor)
                self._watch(supervisor)
            finally:
                supervisor.stop()

    def _look_before_starting(self) -> None:
        preflight.free_port(self.host, self.port)
        self.run_dir = preflight.socket_directory(self.data_dir)
        preflight.nobody_left(self.run_dir)
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
        self.environ = shared | processes.variables(shared, self.data_dir, self.run_dir, self.flower_port)

    # --- The start ------------------------------------------------------------------------------------------

    def _start(self, supervisor: Supervisor) -> None:
        known = self._prepare()
        supervisor.launch()
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

    def _prepare(self) -> dict[str, bool]:
        say("Preparing the database")
        code, output, errors = quietly(self._wish, self.environ, sys.executable, "-m", "simsearch.local.prepare")
        if code:
            raise StartError(errors.strip().removeprefix("simsearch: ") or f"The preparation ended with {code}.")
        known: dict[str, bool] = json.loads(output.splitlines()[-1])
        return known

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

    # --- Ready, and from then on ----------------------------------------------------------------------------

    def _wait_until_ready(self, supervisor: Supervisor) -> None:
        say("Starting the workers and the site")
        deadline = time.monotonic() + READY_S
        answer = ""
        while time.monotonic() < deadline:
            self._refuse_failing(supervisor)
            if supervisor.all_running():  # a worker of an earlier start, stopped just now, may still count as ready
                status, answer = self._readiness()
                if status == 200:
                    return
            pause(self._wish, 0.5)
        waiting = [name for name, state in supervisor.states().items() if state in ("STARTING", "BACKOFF")]
        name = (waiting or ["search-0"])[0]
        raise StartError(
            f"Not ready after {READY_S:.0f} s ({answer.strip()[:500]}); "
            f"{supervisor.logs / name}.log ends with:\n{supervisor.tail(f'{name}.log')}"
        )

    def _refuse_failing(self, supervisor: Supervisor) -> None:
        for name in supervisor.failing():
            log = supervisor.logs / f"{name}.log"
            raise StartError(f"{name} does not start; {log} ends with:\n{supervisor.tail(log.name)}")

    def _readiness(self) -> tuple[int, str]:
        """The status and the text of /readyz; 0 when nobody answers yet."""
        connection = http.client.HTTPConnection(self._reachable_host(), self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    def _reachable_host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104

    def addresses(self) -> str:
        """What to open, and where to look."""
        host = self._reachable_host()
        site = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        python = _shown(Path(sys.executable))
        return (
            f"\n  Site    {site}/\n"
            f"  Admin   {site}/admin/    (an account: {python} manage.py createsuperuser)\n"
            f"  API     {site}/api/docs\n"
            f"  Flower  http://127.0.0.1:{self.flower_port}/flower/\n"
            f"  Logs    {_shown(self.data_dir / 'logs')}/\n\n"
            "Press Ctrl-C to stop."
        )

    def _watch(self, supervisor: Supervisor) -> None:
        while supervisor.alive():
            pause(self._wish, 0.5)
        raise StartError(f"supervisord ended by itself; see {supervisor.logs / 'supervisord.log'}")


def _shown(path: Path) -> str:
    return os.path.relpath(path) if Path.cwd() in path.parents else str(path)


if __name__ == "__main__":
    sys.exit(main())
