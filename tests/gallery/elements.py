"""What a page says, taken apart."""

import re
from html.parser import HTMLParser

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.api.answers import Response

HTMX = {"HX-Request": "true"}


class Elements(HTMLParser):
    """The elements of a page: (tag, attributes), in order."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(response.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.found if found == tag]

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.found if name in attributes]


def send(client: Client, data: bytes) -> Response:
    """Post a file that calls itself a JPEG, whatever it is."""
    return client.post("/", {"image": SimpleUploadedFile("picture.jpg", data, "image/jpeg")})


def alert(response: Response) -> str:
    """Return the sentence that says what went wrong."""
    match = re.search(r'role="alert">([^<]*)<', response.content.decode())
    assert match, "the page has no place for an error"
    return match[1]


def heading(response: Response) -> str:
    match = re.search(r"<h1[^>]*>([^<]*)</h1>", response.content.decode())
    assert match, "the page has no heading"
    return match[1]
