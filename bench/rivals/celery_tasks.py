"""One Celery task per picture, a child per core: `celery -A bench.rivals.celery_tasks worker`.

Its arguments are in the environment, because Celery has the command line: NETWORK, WEIGHTS, GALLERY, SOCKET.
"""

import base64
import json
import os
from pathlib import Path

import redis
from celery import Celery
from celery.signals import worker_process_init

from bench.rivals.plain import Plain

PREFIX = "BENCH_"
SOCKET = os.environ.get(f"{PREFIX}SOCKET", "")
ANSWER = "answer"

app = Celery("rival", broker=f"redis+socket://{SOCKET}", set_as_current=False)
app.conf.update(task_ignore_result=True, worker_proc_alive_timeout=300.0)

_plain: Plain
_client: redis.Redis


@worker_process_init.connect
def start(**_: object) -> None:
    """Load the network before the first picture comes."""
    global _plain, _client
    told = {name: os.environ[PREFIX + name] for name in ("NETWORK", "WEIGHTS", "GALLERY")}
    _plain = Plain(told["NETWORK"], told["WEIGHTS"], Path(told["GALLERY"]))
    _client = redis.Redis(unix_socket_path=SOCKET)
    _client.set("ready", 1)


@app.task(name=ANSWER)
def answer(key: str, picture: str) -> None:
    """Answer one picture (base64, because messages are JSON) into the list `key`."""
    [found] = _plain.answer([_plain.decode(base64.b64decode(picture))])
    _client.rpush(key, json.dumps(found))
    _client.expire(key, 60)
