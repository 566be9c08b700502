"""Check links to pictures: which addresses may be fetched. It uses no network: the web process needs it, too."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, urljoin, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from gallery.errors import Refusal
from gallery.models import LONGEST_LINK

PORTS = {"http": 80, "https": 443}  # no others, so that visitors cannot scan for services on other ports
LINK_COST = 5  # uploads that a link counts as: it also costs a connection, and waiting

Address = IPv4Address | IPv6Address
# Addresses that `is_global` of Python 3.11 takes for global, and we do not: next to multicast, IETF protocol
# assignments (the metadata of one cloud), 6to4 relays, and the address of another cloud's host agent.
NOT_PUBLIC_V4 = [IPv4Network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")]
# Global unicast (RFC 4291) without ranges that have no hosts: IETF assignments with Teredo, documentation.
GLOBAL_V6 = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = [IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20")]
# Ranges with an IPv4 address inside: mapped (RFC 4291, 2.5.5.2), NAT64's well-known prefix (RFC 6052), 6to4 (RFC 3056).
MAPPED, NAT64, SIX_TO_FOUR = (IPv6Network(text) for text in ("::ffff:0:0/96", "64:ff9b::/96", "2002::/16"))
SAFE = "/%:@!$&'()*+,;=~-._"  # characters of a path that are sent as they are
NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{1,63}")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as the last part of a name: what browsers take for an IPv4 address
UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")


class BadLink(ValueError):
    """A link that is not fetched; the text is a sentence for a person."""


@dataclass(frozen=True)
class Link:
    """An address that may be tried. `host`: a name in ASCII, or an IP address without brackets."""

    scheme: str
    host: str
    port: int
    target: str  # path and query

    def joined(self, location: str) -> str:
        """Return the text of the address that a redirect from here leads to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return urljoin(f"{self.scheme}://{host}:{self.port}{self.target}", location)


def check(text: str) -> None:
    """Check a link by its text. Raises Refusal `invalid` if it will not be fetched."""
    if not settings.SIMSEARCH_FETCH_LINKS:
        raise Refusal("invalid", off())
    try:
        parsed(text)
    except BadLink as error:
        raise Refusal("invalid", str(error)) from error


def off() -> str:
    """Return the error of a site that fetches no links."""
    return _("This site does not fetch pictures by link. Save the picture, then choose the file.")


def not_public() -> str:
    """Return one error for all addresses that do not answer, so that visitors learn nothing about internal ones."""
    return _("No picture could be fetched from there. Only public addresses are tried; save the picture instead.")


def parsed(text: str, ports: Collection[int] = frozenset(PORTS.values())) -> Link:
    """Return the parts of a link. Raises BadLink if it is not a link, or leads to an address that is not fetched."""
    text = text.strip()
    if not text or len(text) > LONGEST_LINK or UNSAFE.search(text):
        raise BadLink(_("That is no link to a picture. It begins with https:// and has no spaces."))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadLink(_("That link cannot be read; copy the address of the picture again.")) from error
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        raise BadLink(_("Only links that begin with https:// or http:// are fetched."))
    if "@" in parts.netloc:
        raise BadLink(_("The link holds a name or password. Leave out everything up to the @."))
    port = PORTS[scheme] if port is None else port
    if port not in ports:
        raise BadLink(_("Only the usual ports of the web (80 and 443) are fetched."))
    target = quote(parts.path or "/", safe=SAFE) + (f"?{quote(parts.query, safe=SAFE + '?')}" if parts.query else "")
    return Link(scheme, _host(parts.hostname or ""), port, target)


def _host(text: str) -> str:
    """Return a name in ASCII or a public IP address. Raises BadLink."""
    if ":" in text or NUMBER.fullmatch(text.rstrip(".").rpartition(".")[2]):
        try:
            address = ip_address(text)
        except ValueError as error:  # also 0177.0.0.1, 127.1 and 2130706433: unusual spellings of addresses
            raise BadLink(not_public()) from error
        if not is_public(address):
            raise BadLink(not_public())
        return str(address)
    name = _ascii(text.rstrip("."))
    if not NAME.fullmatch(name) or name.endswith(".localhost"):
        raise BadLink(not_public())
    return name


def _ascii(name: str) -> str:
    if name.isascii():
        return name.lower()
    import idna  # its tables take a megabyte, which no other request needs

    try:
        encoded = idna.encode(name, uts46=True).decode()
    except idna.IDNAError as error:
        raise BadLink(not_public()) from error
    if NUMBER.fullmatch(encoded.rpartition(".")[2]):  # digits of other scripts
        raise BadLink(not_public())
    return encoded


def is_public(address: Address) -> bool:
    """Return whether this is the address of a host on the public internet."""
    if isinstance(address, IPv4Address):
        is_host = address.is_global and not (address.is_multicast or address.is_reserved)
        return is_host and not any(address in network for network in NOT_PUBLIC_V4)
    if address in MAPPED or address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address in SIX_TO_FOUR:
        return is_public(IPv4Address(int(address) >> 80 & 0xFFFFFFFF))
    return address in GLOBAL_V6 and not any(address in network for network in NOT_PUBLIC_V6)
