"""The web side: put the upload on a Redis list, poll Redis until the result is there, answer.

gunicorn --workers 2 --threads 40 --bind 127.0.0.1:8500 bench.classic.app:app     (REDIS_SOCKET: path of the socket)
"""

import json
import os
import time
import uuid

import redis
from flask import Flask, Response, jsonify, request

store = redis.Redis(unix_socket_path=os.environ["REDIS_SOCKET"])
app = Flask(__name__)


@app.post("/search")
def search() -> Response:
    """Answer with the ten nearest pictures of `image`."""
    query = uuid.uuid4().hex
    store.rpush("queue", query.encode() + request.files["image"].read())
    while (result := store.get(f"result:{query}")) is None:
        time.sleep(0.01)
    store.delete(f"result:{query}")
    return jsonify(json.loads(result))
