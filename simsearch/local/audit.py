"""`make audit`: are there known vulnerabilities in the pinned packages? pip-audit asks PyPI's service.

Ends with 0 when there are none, with 1 when there are, and with 2 when nobody could be asked: that is no good news.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PINS = ROOT / "constraints.txt"
FIXED = "raise the pin in constraints.txt, run make test (docs/upgrading.md)"


def command(pins: Path) -> list[str]:
    """Every pin is asked for as it is; nothing is installed or resolved."""
    asking = ["--requirement", str(pins), "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    return [sys.executable, "-m", "pip_audit", *asking]


def judge(answer: str) -> tuple[int, list[str]]:
    """The exit status and what to say, from what pip-audit wrote; anything but its JSON is no answer."""
    try:
        packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return 2, ["not audited: the service that knows vulnerabilities cannot be reached."]
    known = [package for package in packages if "vulns" in package]
    if not known:
        return 2, [f"not audited: the service knows none of the {len(packages)} packages."]
    found = [_line(package, each) for package in known for each in package["vulns"]]
    unknown = [
        f"not audited: {package['name']}, which the service does not know"
        for package in packages
        if "vulns" not in package
    ]
    if found:
        return 1, [*found, *unknown, f"{len(found)} known vulnerabilities: {FIXED}."]
    return 0, [*unknown, f"no known vulnerability in {len(known)} packages."]


def _line(package: dict[str, Any], vulnerability: dict[str, Any]) -> str:
    fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}"


def main(pins: Path = PINS) -> int:
    asked = subprocess.run(command(pins), capture_output=True, text=True, check=False)
    status, lines = judge(asked.stdout)
    for line in lines:
        print(f"simsearch: {line}", file=sys.stderr if status else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main())
