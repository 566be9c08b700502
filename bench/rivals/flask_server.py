"""What most published demos are: Flask embeds in the request and compares with every picture.

`python -m bench.rivals.flask_server NETWORK WEIGHTS GALLERY PORT`. Flask's own server, a thread per request, torch with
a thread per core.
"""

import os
import sys
from pathlib import Path

from flask import Flask, request

from bench.rivals.plain import Plain


def main(network: str, weights: str, gallery: str, port: str) -> None:
    """Serve until killed."""
    plain = Plain(network, weights, Path(gallery), threads=os.cpu_count())
    app = Flask(__name__)

    @app.get("/")
    def ready() -> str:
        return "ready"

    @app.post("/search")
    def search() -> list[int]:
        [found] = plain.answer([plain.decode(request.files["image"].read())])
        return found

    app.run("127.0.0.1", int(port), threaded=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
