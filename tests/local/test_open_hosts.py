"""`make run HOST=`: who opens it to others reads what it is not made for."""

from pathlib import Path

import pytest

from simsearch.launch.run import LocalSystem


def said(host: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what stands under the addresses when it serves."""
    monkeypatch.setenv("SIMSEARCH_DATA_DIR", str(data_dir))
    system = LocalSystem(["--host", host])
    system.flower_port = 5555
    return system.addresses()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "nowhere.invalid"])
def test_a_host_that_others_reach_is_not_for_the_internet(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = said(host, tmp_path, monkeypatch)
    assert "not for the open internet" in text
    assert "docs/operations.md" in text
    assert "From a phone in the same network" in text
    assert "\n## On a server\n" in Path("docs/operations.md").read_text()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_the_loopback_needs_no_warning(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(host, tmp_path, monkeypatch)
    assert "internet" not in text
    assert "`make run HOST=0.0.0.0`" in text
