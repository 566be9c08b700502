"""Environment variables: real ones first, then those of `simsearch.env` in the data directory.

A wrong value raises ImproperlyConfigured: one sentence that names the variable, and shows no address or secret.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import FileAwareEnv

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("SIMSEARCH_DATA_DIR") or BASE_DIR / "media").resolve()
ENV_FILE = DATA_DIR / "simsearch.env"
SWITCH = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}


class Environment(FileAwareEnv):  # type: ignore[misc]  # without types
    """Environment variables. `<NAME>_FILE` names a file that holds the value, for secrets."""

    def get_value(self, var: str, *args: Any, **options: Any) -> Any:
        """Return a value. Every other method calls this."""
        try:
            return super().get_value(var, *args, **options)
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"{var}_FILE: the file cannot be read ({error}).") from None

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        if text := self.str(name, default="").strip():
            return str(text)
        raise ImproperlyConfigured(f"{name} must be set: in the environment, or in {ENV_FILE}.")

    def number(self, name: str, default: int, least: int = 1, most: int | None = None) -> int:
        """Return a whole number."""
        text = str(self.str(name, default=str(default))).strip()
        if text.isdecimal() and least <= int(text) <= (int(text) if most is None else most):
            return int(text)
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ImproperlyConfigured(f"{name}={text}: give a whole number {limits}.")

    def cosine(self, name: str) -> float | None:
        """Return a number from 0 to 1; None where nothing is set."""
        text = self.str(name, default="none")
        if text == "none":
            return None
        with suppress(ValueError):
            if 0 <= float(text) <= 1:
                return float(text)
        raise ImproperlyConfigured(f"{name}={text}: give a number from 0 to 1, such as 0.9.")

    def switch(self, name: str, *, default: bool) -> bool:
        """Return whether it is on."""
        text = self.get_value(name, default="on" if default else "off").strip()
        if text.lower() not in SWITCH:
            raise ImproperlyConfigured(f"{name}={text}: give on or off.")
        return SWITCH[text.lower()]

    def one_of(self, name: str, *choices: str) -> str:
        """Return one of these texts, by default the first."""
        text = self.get_value(name, default=choices[0]).strip()
        if text not in choices:
            raise ImproperlyConfigured(f"{name}={text}: choose {' or '.join(choices)}.")
        return str(text)

    def words(self, name: str, default: Sequence[str] = ()) -> list[str]:
        """Return texts that are separated by commas."""
        text = self.get_value(name, default=",".join(default))
        return [word for part in text.split(",") if (word := part.strip())]

    def hosts(self, name: str, default: Sequence[str]) -> list[str]:
        """Return host names. Raises ImproperlyConfigured where there are none, too: nothing would be answered."""
        names = self.words(name, default)
        if not names:
            raise ImproperlyConfigured(f"{name} must be set: the site's host names, such as search.example.org.")
        if wrong := [one for one in names if "/" in one]:
            raise ImproperlyConfigured(f"{name}: {wrong[0]} is not a host name such as search.example.org.")
        return names

    def networks(self, name: str) -> list[str]:
        """Return addresses and networks, or `*` for all."""
        names = self.words(name)
        try:
            for one in names:
                _ = one == "*" or ip_network(one)
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}: {error}; give addresses or networks such as 10.0.0.0/8.") from None
        return names

    def origins(self, name: str) -> list[str]:
        """Return origins such as `https://museum.example.org`."""
        for origin in (origins := self.words(name)):
            parts = urlsplit(origin)
            if parts.scheme not in {"http", "https"} or origin != f"{parts.scheme}://{parts.netloc}":
                raise ImproperlyConfigured(f"{name}: {origin} is not an origin such as https://museum.example.org.")
        return origins

    def address(self, name: str, example: str, *others: str, default: str = "") -> str:
        """Return an address with the scheme of the example, or one of these; empty where nothing is set."""
        text = str(self.get_value(name, default=default)).strip()
        schemes = {urlsplit(example).scheme, *others}
        try:
            parts = urlsplit(text)
            is_address = parts.scheme in schemes and bool(parts.netloc or parts.path) and parts.port != 0
        except ValueError:
            is_address = False
        if text != default and not is_address:
            raise ImproperlyConfigured(f"{name} is not an address such as {example}.")
        return text


env = Environment()
try:
    if ENV_FILE.exists():
        Environment.read_env(ENV_FILE)
except OSError as error:
    raise ImproperlyConfigured(
        f"{ENV_FILE} cannot be read ({error.strerror}): run this as the account that owns it."
    ) from None
