"""`make run PHOTOS=` on a folder with everything odd that people's disks have."""

import os
from pathlib import Path

from tests.oddities import PICTURES, heeding_rights, odd_folder
from tests.stack import Stack

MOST_LINES = 10


class Heeding(Stack):
    """A system whose processes are refused by the rights of files, whichever account starts them."""

    def command(self) -> list[str]:
        return [*heeding_rights(), *super().command()]


def test_it_serves_the_pictures_and_says_in_a_few_lines_what_it_left_out(tmp_path: Path) -> None:
    name = os.fsdecode(b"fotos \xe9t\xe9")
    with odd_folder(tmp_path / name) as photos, Heeding(tmp_path, photos) as system:
        assert system.client.get("/api/images").json()["count"] == len(PICTURES)
        answer = system.answer(system.ask((photos / "loose.png").read_bytes()).json()["id"])
        assert answer["matches"][0]["image"]["title"] == "loose"
        said = (tmp_path / "run.log").read_text().splitlines()
    (first,) = [number for number, line in enumerate(said) if line.startswith("Left out")]
    (last,) = [number for number, line in enumerate(said) if f"{len(PICTURES)} pictures imported" in line]
    message = "\n".join(said[first : last + 1])
    assert last - first < MOST_LINES
    for reason in ("2 MOV", "damaged", "Empty", "thumbnails", "Linked folders", "Permission denied", "lead nowhere"):
        assert reason in message
    assert "Traceback" not in "\n".join(said)
