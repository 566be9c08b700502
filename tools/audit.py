"""`make audit`: look for known vulnerabilities in the pinned packages. pip-audit asks PyPI's service.

Ends with 0 when there are none, with 1 when there are, and with 2 when nothing was checked: that is no good news. A
mirror of PyPI may answer without its vulnerabilities, and pip-audit takes that for none; so a package with known
vulnerabilities is looked up as well.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "constraints.txt"
# PYSEC-2017-94 and PYSEC-2018-97; it is unmaintained, so it will never be among our pins.
CANARY, CANARY_PIN = "pycrypto", "pycrypto==2.6.1"
FIXED = "raise the pin in constraints.txt, run make test (docs/operations.md)"


def command(*pins: Path) -> list[str]:
    """Return the command that looks every pin up as it is; nothing is installed or resolved."""
    files = [word for path in pins for word in ("--requirement", str(path))]
    options = [*files, "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    return [sys.executable, "-m", "pip_audit", *options]


def judge(answer: str) -> tuple[int, list[str]]:
    """Return the exit status and the lines to print, from what pip-audit wrote; anything but its JSON is no answer."""
    try:
        packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
        knows_canary = any(package.get("vulns") for package in packages if package["name"] == CANARY)
    except (ValueError, KeyError, TypeError, AttributeError):
        return 2, ["not audited: the service that knows vulnerabilities cannot be reached."]
    packages = [package for package in packages if package["name"] != CANARY]
    known = [package for package in packages if "vulns" in package]
    if not known:
        return 2, [f"not audited: the service knows none of the {len(packages)} packages."]
    if not knows_canary:
        return 2, [f"not audited: the service does not know the vulnerabilities of {CANARY_PIN}, so it may know none."]
    found = [_line(package, each) for package in known for each in package["vulns"]]
    unknown = [
        f"not audited: {package['name']}, which the service does not know"
        for package in packages
        if "vulns" not in package
    ]
    if found:
        return 1, [*found, *unknown, f"{len(found)} known vulnerabilities: {FIXED}."]
    return 0, [*unknown, f"no known vulnerability in {len(known)} of {len(packages)} packages."]


def _line(package: dict[str, Any], vulnerability: dict[str, Any]) -> str:
    fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}"


def main(pins: Path = PINS) -> int:
    """Check the pins for known vulnerabilities; returns the exit code."""
    with tempfile.NamedTemporaryFile("w", prefix="simsearch-audit-", suffix=".txt") as canary:
        canary.write(CANARY_PIN)
        canary.flush()
        finished = subprocess.run(command(pins, Path(canary.name)), capture_output=True, text=True, check=False)
    status, lines = judge(finished.stdout)
    for line in lines:
        print(f"simsearch: {line}", file=sys.stderr if status else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main())
