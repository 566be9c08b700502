"""A program that could not start for so long that supervisor gave it up, as on a full disk, is started again."""

import json
from pathlib import Path

from tests.local.starter import left_running, python
from tests.local.test_supervisor import LAUNCH, START, STOP

# A redis-server that ends at once while there is no file `room`.
FAILING = """
server = data_dir / "redis-server"
data_dir.mkdir(exist_ok=True)
server.write_text(f"#!/bin/sh\\n[ -e {data_dir}/room ] && exec sleep 60\\nexit 1\\n")
server.chmod(0o755)
known["SIMSEARCH_REDIS_SERVER"] = str(server)
"""
GIVEN_UP = """
def wait_for(state):
    while programs.states()["redis"] != state:
        time.sleep(0.1)

wait_for("FATAL")
(data_dir / "room").touch()
programs.start_given_up()
wait_for("RUNNING")
found = programs.states()["redis"]
"""


def test_a_program_that_was_given_up_is_started_again(tmp_path: Path) -> None:
    run = python(tmp_path / "data", "-c", START + FAILING + LAUNCH + GIVEN_UP + STOP)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == "RUNNING"
    assert left_running(tmp_path) == []
