"""`make check`: every check that reads the code without running it, with throw-away production settings."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
CHECKS = [
    ["ruff", "format", "--check", "."],
    ["ruff", "check", "."],
    ["mypy"],
    ["lint-imports"],
    ["python", "manage.py", "makemigrations", "--check", "--dry-run"],
    ["python", "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
]


def production_variables(data_dir: str) -> dict[str, str]:
    """Return a server's variables. The data directory is empty, so no file of `make run` is read."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(64),
        "ALLOWED_HOSTS": "example.org",
        "DEBUG": "off",
        "SIMSEARCH_HTTPS": "on",
        "SIMSEARCH_DATA_DIR": data_dir,
    }


def run(checks: list[list[str]], variables: Mapping[str, str]) -> list[str]:
    """Run them all, also after a failure, and return those that failed."""
    failed = []
    for check in checks:
        print(f"--- {' '.join(check)}", flush=True)
        command = [str(BIN / check[0]), *check[1:]]
        if subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode:
            failed.append(" ".join(check))
    return failed


def main() -> int:
    """Run all checks; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="simsearch-check-") as data_dir:
        failed = run(CHECKS, production_variables(data_dir))
    if failed:
        print(f"\nsimsearch: {len(failed)} of {len(CHECKS)} checks failed: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
