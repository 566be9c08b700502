"""`make check` runs every check, says which failed, and brings its own production settings."""

from pathlib import Path

import pytest

from tools import check


def test_all_are_run_and_the_failed_ones_named(capfd: pytest.CaptureFixture[str]) -> None:
    bad, good = ["python", "-c", "raise SystemExit(3)"], ["python", "-c", "print('looked')"]
    assert check.run([bad, good], {}) == [" ".join(bad)]
    assert "looked" in capfd.readouterr().out


def test_the_settings_are_those_of_a_server(tmp_path: Path) -> None:
    variables = check.production_variables(str(tmp_path))
    assert variables["ALLOWED_HOSTS"] == "example.org"
    assert variables["SECRET_KEY"] != check.production_variables(str(tmp_path))["SECRET_KEY"]
    deploy = ["python", "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    assert deploy in check.CHECKS
    assert check.run([deploy], variables) == []
    assert check.run([deploy], variables | {"SECRET_KEY": "short"}) != []
