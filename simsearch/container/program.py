"""`python -m simsearch.container.program NAME …`: become one program of `docker/supervisord.conf`.

So a container runs the very command that `make run` and a server run. What follows the name is put behind the
program's own arguments. Any other command is run as it stands, as in most images: gunicorn, for one, whose socket
supervisor's program may get from elsewhere.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path

from simsearch.launch import processes
from simsearch.launch.preflight import StartError

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "docker" / "supervisord.conf"
BIN = Path(sys.executable).parent
NAMES = ("flower", "gallery", "search")


def command(arguments: list[str], environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """What to execute, and in which environment. Raises KeyError for a variable that the program needs and
    misses, StartError for a number of children that is none.
    """
    name, *more = arguments
    if name not in NAMES:
        return arguments, dict(environ)
    program = _configuration()[f"program:{name}"]
    known = {**environ, "SIMSEARCH_BIN": str(BIN)}
    known["SIMSEARCH_SEARCH_CHILDREN"] = processes.search_children(environ)
    words = {"here": str(CONFIGURATION.parent)}
    words |= {f"ENV_{key}": value for key, value in known.items()}
    own = shlex.split(program["command"] % words)
    return [*own, *more], {**known, **_pairs(program.get("environment", ""))}


def _configuration() -> ConfigParser:
    """The file as supervisor reads it: `;` after a space begins a comment, and `%` is not configparser's."""
    parser = ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    parser.read(CONFIGURATION)
    return parser


def _pairs(text: str) -> dict[str, str]:
    """`A="1",B="2"` as a mapping."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace, lexer.whitespace_split = ",", True
    return dict(pair.split("=", 1) for pair in lexer)


def main(arguments: list[str]) -> None:
    if not arguments:
        sys.exit(f"simsearch: which program? One of {', '.join(NAMES)}, or any other command.")
    try:
        words, environ = command(arguments, os.environ)
    except KeyError as missing:
        sys.exit(f"simsearch: {arguments[0]} needs the variable {missing.args[0].removeprefix('ENV_')}.")
    except StartError as refusal:
        sys.exit(f"simsearch: {refusal}")
    os.chdir(ROOT)
    try:
        os.execvpe(words[0], words, environ)  # noqa: S606 (no shell is what we want)
    except OSError as error:
        sys.exit(f"simsearch: cannot run {words[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
