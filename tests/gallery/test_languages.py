"""The pages in the languages of their readers: every text can be translated, and every catalogue has all of them."""

import gettext
import os
import re
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.template.base import Lexer, TokenType
from django.test import Client
from django.utils import translation
from pytest_django import Settings

from gallery.models import Query
from gallery.queries import lifecycle
from tests.gallery.rows import ask, uploaded

GALLERY = Path(__file__).parents[2] / "gallery"
CATALOGUES = sorted((GALLERY / "locale").glob("*/LC_MESSAGES/django.po"))
TEMPLATES = [*sorted((GALLERY / "templates/gallery").glob("*.html")), GALLERY / "templates/403_csrf.html"]
READ_ATTRIBUTES = {"alt", "title", "aria-label", "placeholder"}
# The name of the product, and what is typed or sent as it stands.
KEPT = re.compile(r"simsearch|make run PHOTOS=|manage\.py import_images|https://|API|Admin")
NOT_OF_VISITORS = ["admin", "insight", "management", "migrations"]

Entry = tuple[str, str, list[str]]  # the message, its plural, their translations


def entries(catalogue: Path) -> Iterator[Entry]:
    """Yield the entries of a catalogue but its header."""
    for block in catalogue.read_text().split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if match := re.fullmatch(r'(msg\w+(?:\[\d\])?) "(.*)"', line):
                name = match[1]
                fields[name] = match[2]
            elif line.startswith('"'):
                fields[name] += line[1:-1]
        if fields.get("msgid"):
            translated = [text for key, text in fields.items() if key.startswith("msgstr")]
            yield fields["msgid"], fields.get("msgid_plural", ""), translated


def placeholders(text: str) -> set[str]:
    """Return what is filled in: `%(number)s` of Django, `{n}` of a script."""
    return set(re.findall(r"%\(\w+\)[sd]|\{\w+\}", text))


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_every_message_is_translated_with_what_is_filled_in(catalogue: Path) -> None:
    assert len([*entries(catalogue)]) > 100
    for message, plural, translated in entries(catalogue):
        assert all(translated), message
        wanted = placeholders(message) | placeholders(plural)
        assert all(placeholders(text) <= wanted for text in translated), message
        assert placeholders(plural or message) <= placeholders(translated[-1]), message


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_the_compiled_catalogue_has_every_message(catalogue: Path) -> None:
    with catalogue.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message, plural, translated in entries(catalogue):
        assert "\\" not in message  # `entries` leaves escapes as they are
        assert (compiled.ngettext(message, plural, 1) if plural else compiled.gettext(message)) == translated[0]


def test_there_is_a_catalogue_for_each_language() -> None:
    names = {translation.to_locale(code) for code, _ in settings.LANGUAGES} - {"en"}
    assert {path.parts[-3] for path in CATALOGUES} == names


@pytest.mark.skipif(not os.environ.get("CI") and not shutil.which("xgettext"), reason="gettext is not installed")
def test_the_catalogues_have_every_message_of_the_code(tmp_path: Path) -> None:
    shutil.copytree(GALLERY, tmp_path / "gallery", ignore=shutil.ignore_patterns("demo", "static", "__pycache__"))
    ignored = [option for folder in NOT_OF_VISITORS for option in ("--ignore", folder)]
    command = [sys.executable, str(GALLERY.parent / "manage.py"), "makemessages", "--locale", "de", *ignored]
    environment = os.environ | {"SIMSEARCH_DATA_DIR": str(tmp_path / "data")}
    subprocess.run(
        [*command, "--no-location", "--no-obsolete"],
        cwd=tmp_path / "gallery", env=environment, check=True, capture_output=True,
    )  # fmt: skip
    found = {entry[:2] for entry in entries(tmp_path / "gallery/locale/de/LC_MESSAGES/django.po")}
    assert found == {entry[:2] for entry in entries(GALLERY / "locale/de/LC_MESSAGES/django.po")}


class Texts(HTMLParser):
    """The texts of a page that people read: between the tags and in some attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        """Take a text between tags."""
        self.found.append(data)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take the attributes that are shown or read out."""
        self.found += [value for name, value in attributes if value and name in READ_ATTRIBUTES]
        # Sentences for a script; its other data are words, numbers and addresses.
        self.found += [value for name, value in attributes if value and name.startswith("data-") and " " in value]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_text_of_a_template_is_english_alone(template: Path) -> None:
    kept, is_translated = [], False
    for token in Lexer(template.read_text()).tokenize():
        if token.token_type == TokenType.BLOCK and token.contents.startswith(("blocktranslate", "endblocktranslate")):
            is_translated = not token.contents.startswith("end")
        elif token.token_type == TokenType.TEXT and not is_translated:
            kept.append(token.contents)
    texts = Texts()
    texts.feed("".join(kept))
    letters = [text.strip() for text in texts.found if set(KEPT.sub("", text)) & set(string.ascii_letters)]
    assert letters == []


# --- As readers see it ----------------------------------------------------------------------------------------

pytestmark = pytest.mark.django_db


def test_the_browser_chooses_the_language(client: Client) -> None:
    page = client.get("/", headers={"accept-language": "de-CH, fr;q=0.8"}).content.decode()
    assert '<html lang="de">' in page
    assert "Bilder mit Bildern finden" in page
    assert "bis 16\N{NO-BREAK SPACE}MB" in page


def test_another_language_is_english(client: Client) -> None:
    assert "Find pictures by picture" in client.get("/", headers={"accept-language": "sv"}).content.decode()


def test_the_visitor_changes_the_language(client: Client) -> None:
    changed = client.post("/language/", {"language": "ja", "next": "/gallery/"}, headers={"accept-language": "de"})
    assert (changed.status_code, changed["Location"]) == (302, "/gallery/")
    page = client.get("/gallery/", headers={"accept-language": "de"}).content.decode()
    assert '<html lang="ja">' in page
    assert "ギャラリー" in page


def test_a_refusal_is_in_the_language_of_the_reader(client: Client) -> None:
    refused = client.post("/", headers={"accept-language": "fr"})
    assert "Choisissez d’abord une image." in refused.content.decode()


def test_a_refused_file_is_explained_in_the_language_of_the_reader(client: Client) -> None:
    refused = client.post("/", {"image": uploaded(b"")}, headers={"accept-language": "de"})
    assert "Die Datei ist leer" in refused.content.decode()


def test_the_search_box_is_in_the_language_of_the_reader(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_EMBED_ORIGINS = ["https://museum.example.org"]
    assert '<html lang="de">' in client.get("/embed", headers={"accept-language": "de"}).content.decode()


def test_a_search_that_gave_up_is_explained_in_the_language_of_the_reader(client: Client) -> None:
    query = ask()
    for _ in range(lifecycle.MAX_ATTEMPTS):
        lifecycle.requeue(lifecycle.claim(1).token, query)
    page = client.get(query.get_absolute_url(), headers={"accept-language": "de"}).content.decode()
    assert f"Die Suche ist bei diesem Bild {lifecycle.MAX_ATTEMPTS}-mal abgebrochen." in page


def test_what_a_worker_kept_is_translated_where_it_is_shown(client: Client) -> None:
    reason = "The picture is damaged or incomplete; save it again and send the new file."
    query = ask()
    Query.objects.filter(pk=query.pk).update(state=Query.State.FAILED, error_code="corrupt", error=reason)
    page = client.get(query.get_absolute_url(), headers={"accept-language": "de"}).content.decode()
    assert "Das Bild ist beschädigt oder unvollständig" in page
    assert reason not in page


def test_numbers_follow_the_language(client: Client) -> None:
    with translation.override("de"):
        assert translation.ngettext("%(number)s picture", "%(number)s pictures", 2) == "%(number)s Bilder"
    with translation.override("ja"):
        assert translation.ngettext("%(number)s picture", "%(number)s pictures", 1) == "%(number)s 枚の画像"
