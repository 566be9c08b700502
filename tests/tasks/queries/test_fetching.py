"""Links that lead where they must not: nothing is reached, and nothing takes long."""

import time
from ipaddress import ip_network

import pytest

from gallery.queries.links import BadLink, parsed
from tasks.queries import fetching
from tasks.queries.fetching import Fetcher
from tests.tasks.conftest import picture
from tests.tasks.hosts import Counting, Names, friendly, hostile, serving

MOST_BYTES = 16 * 2**20
WITHIN_S = fetching.TOTAL_S + 2


ADDRESSES = [  # {port} is the server's; each names the loopback, another inner address, or no host at all
    "http://127.0.0.1:{port}/a.jpg",
    "http://127.0.0.1.:{port}/a.jpg",
    "http://127.1:{port}/a.jpg",
    "http://127.0.1:{port}/a.jpg",
    "http://2130706433:{port}/a.jpg",  # decimal
    "http://017700000001:{port}/a.jpg",  # octal
    "http://0177.0.0.1:{port}/a.jpg",
    "http://0x7f000001:{port}/a.jpg",  # hexadecimal
    "http://0x7f.0.0.1:{port}/a.jpg",
    "http://0x7f.1:{port}/a.jpg",
    "http://127.0.0.1%2f@:{port}/a.jpg",
    "http://%31%32%37.0.0.1:{port}/a.jpg",
    "http://①②⑦.⓪.⓪.①:{port}/a.jpg",  # digits of Unicode
    "http://１２７.０.０.１:{port}/a.jpg",
    "http://127。0。0。1:{port}/a.jpg",
    "http://0.0.0.0:{port}/a.jpg",
    "http://0:{port}/a.jpg",
    "http://127.255.255.254:{port}/a.jpg",
    "http://localhost:{port}/a.jpg",
    "http://LOCALHOST.:{port}/a.jpg",
    "http://www.localhost:{port}/a.jpg",
    "http://[::1]:{port}/a.jpg",
    "http://[::]:{port}/a.jpg",
    "http://[0:0:0:0:0:0:0:1]:{port}/a.jpg",
    "http://[::ffff:127.0.0.1]:{port}/a.jpg",  # mapped
    "http://[::ffff:7f00:1]:{port}/a.jpg",
    "http://[::127.0.0.1]:{port}/a.jpg",  # compatible
    "http://[64:ff9b::127.0.0.1]:{port}/a.jpg",  # NAT64
    "http://[64:ff9b::7f00:1]:{port}/a.jpg",
    "http://[64:ff9b:1::7f00:1]:{port}/a.jpg",
    "http://[2002:7f00:1::]:{port}/a.jpg",  # 6to4
    "http://[2002:c0a8:101::1]:{port}/a.jpg",
    "http://[2001:0:7f00:1::]:{port}/a.jpg",  # Teredo
    "http://[fe80::1%25lo]:{port}/a.jpg",  # link-local, with its zone
    "http://[fe80::1]:{port}/a.jpg",
    "http://[fc00::1]:{port}/a.jpg",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[ff02::1]:{port}/a.jpg",
    "http://[2001:db8::1]:{port}/a.jpg",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/latest/meta-data/",
    "http://168.63.129.16/machine",
    "http://100.100.100.200/latest/meta-data/",
    "http://192.0.0.192/opc/v1/instance/",
    "http://10.0.0.1/a.jpg",
    "http://172.16.0.1/a.jpg",
    "http://192.168.0.1/a.jpg",
    "http://100.64.0.1/a.jpg",
    "http://198.18.0.1/a.jpg",
    "http://224.0.0.1/a.jpg",
    "http://239.255.255.250/a.jpg",
    "http://240.0.0.1/a.jpg",
    "http://255.255.255.255/a.jpg",
    "http://user:password@127.0.0.1:{port}/a.jpg",
    "http://example.org@127.0.0.1:{port}/a.jpg",
    "http://example.org:80@127.0.0.1:{port}/a.jpg",
    "http://127.0.0.1:{port}#@example.org/a.jpg",
    "http://127.0.0.1:{port}\\@example.org/a.jpg",
    "http://example.org\r\nHost: 127.0.0.1/a.jpg",
    "http:///127.0.0.1:{port}/a.jpg",
    "http:127.0.0.1:{port}/a.jpg",
    "//127.0.0.1:{port}/a.jpg",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:{port}/_GET%20/",
    "ftp://127.0.0.1:{port}/a.jpg",
    "dict://127.0.0.1:{port}/info",
    "data:image/png;base64,iVBORw0KGgo=",
    "unix:///run/redis.sock",
    "javascript:alert(1)",
    "http+unix://%2frun%2fdocker.sock/a.jpg",
    "http://redis:{port}/",
    "http://127.0.0.1:6379/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:-1/",
    "http://[127.0.0.1]:{port}/a.jpg",
    "http://[::1/a.jpg",
    "",
    "https://" + "a" * 3000 + ".example.org/",
]
NAMES: dict[str, list[list[str]]] = {  # what a resolver says of a public name
    "a loopback": [["127.0.0.1"]],
    "a private address": [["10.1.2.3"]],
    "a metadata service": [["169.254.169.254"]],
    "a loopback of IPv6": [["::1"]],
    "a mapped loopback": [["::ffff:127.0.0.1"]],
    "a public address and the loopback": [["93.184.215.14", "127.0.0.1"]],
    "nothing": [[]],
}


def test_there_are_sixty_of_them() -> None:
    assert len(ADDRESSES) + len(NAMES) + len(REDIRECTS) >= 60


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_hostile_address_is_refused_and_reaches_nothing(server: Counting, names: Names, address: str) -> None:
    server.pages["/a.jpg"] = (200, {}, picture(1))
    start = time.monotonic()
    with pytest.raises(BadLink) as refused:
        hostile(server, names).fetch(address.replace("{port}", str(server.port)), MOST_BYTES)
    assert time.monotonic() - start < WITHIN_S
    assert str(refused.value).endswith(".")
    assert server.connections == 0


@pytest.mark.parametrize("what", NAMES)
def test_a_name_that_leads_inside_is_refused(server: Counting, names: Names, what: str) -> None:
    server.pages["/a.jpg"] = (200, {}, picture(1))
    names.records["pictures.example.org"] = list(NAMES[what])
    with pytest.raises(BadLink):
        hostile(server, names).fetch(f"http://pictures.example.org:{server.port}/a.jpg", MOST_BYTES)
    assert "pictures.example.org" in names.asked
    assert server.connections == 0


def test_a_resolver_that_is_silent_is_not_waited_for(server: Counting, names: Names) -> None:
    start = time.monotonic()
    with pytest.raises(BadLink):
        hostile(server, names).fetch("http://silent.example.org/a.jpg", MOST_BYTES)
    assert time.monotonic() - start < WITHIN_S


REDIRECTS = [
    "http://inner.example.org:{inner}/a.jpg",
    "http://127.0.0.2:{inner}/a.jpg",
    "http://2130706434:{inner}/a.jpg",
    "http://[::ffff:127.0.0.2]:{inner}/a.jpg",
    "//127.0.0.2:{inner}/a.jpg",
    "http://user@pictures.example.org:{port}/a.jpg",
    "file:///etc/passwd",
    "gopher://127.0.0.2:{inner}/",
    "http://169.254.169.254/latest/meta-data/",
]


@pytest.mark.parametrize("location", REDIRECTS)
@pytest.mark.parametrize("hops", [1, 3])
def test_a_redirect_to_a_hostile_address_reaches_nothing(
    server: Counting, names: Names, location: str, hops: int
) -> None:
    """The first server is permitted, as a public one is; the second one is not, and counts."""
    inner = Counting("127.0.0.2")
    names.records |= {"pictures.example.org": [["127.0.0.1"]], "inner.example.org": [["127.0.0.2"]]}
    server.pages["/a.jpg"] = inner.pages["/a.jpg"] = (200, {}, picture(1))
    for hop in range(1, hops):
        server.pages[f"/{hop}"] = (302, {"Location": f"/{hop + 1}"}, b"")
    server.pages[f"/{hops}"] = (302, {"Location": location.format(port=server.port, inner=inner.port)}, b"")
    ports = {80, 443, server.port, inner.port}
    fetcher = Fetcher(names.resolver(), ports, networks=[ip_network("127.0.0.1/32")])
    with serving(inner), pytest.raises(BadLink):
        fetcher.fetch(f"http://pictures.example.org:{server.port}/1", MOST_BYTES)
    assert server.connections == hops
    assert inner.connections == 0


def test_a_name_that_changes_its_address_between_two_looks_reaches_nothing(server: Counting, names: Names) -> None:
    """DNS rebinding: what was checked is what is connected to, and a redirect to the same name is checked anew."""
    names.records["pictures.example.org"] = [["127.0.0.1"]]
    server.pages["/1"] = (302, {"Location": f"http://pictures.example.org:{server.port}/a.jpg"}, b"")
    server.pages["/a.jpg"] = (200, {}, picture(1))
    fetcher = Fetcher(names.resolver(), {server.port}, networks=[ip_network("127.0.0.1/32")])
    fetcher.fetch(f"http://pictures.example.org:{server.port}/a.jpg", MOST_BYTES)
    assert names.asked.count("pictures.example.org") == 2  # A and AAAA, once
    names.records["pictures.example.org"] = [["127.0.0.1"], ["127.0.0.3"]]
    with pytest.raises(BadLink):
        fetcher.fetch(f"http://pictures.example.org:{server.port}/1", MOST_BYTES)
    assert [path for path, _ in server.requests] == ["/a.jpg", "/1"]


def test_the_time_limit_of_a_picture_is_ten_seconds() -> None:
    assert Fetcher().total_s == 10


@pytest.mark.parametrize("path", ["/slow", "/slow-header"])
def test_a_body_that_drips_ends_at_the_time_limit(server: Counting, names: Names, path: str) -> None:
    names.records["pictures.example.org"] = [["127.0.0.1"]]
    server.pages[path] = (200, {}, b"")
    start = time.monotonic()
    with pytest.raises(BadLink):
        friendly(server, names, total_s=1).fetch(f"http://pictures.example.org:{server.port}{path}", MOST_BYTES)
    assert 1 <= time.monotonic() - start < 1 + 2


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "268435456"}])
def test_a_huge_body_ends_at_the_size_limit(server: Counting, names: Names, headers: dict[str, str]) -> None:
    names.records["pictures.example.org"] = [["127.0.0.1"]]
    server.pages["/endless"] = (200, headers, b"")
    with pytest.raises(BadLink, match="larger than 16 MB"):
        friendly(server, names).fetch(f"http://pictures.example.org:{server.port}/endless", MOST_BYTES)


def test_a_circle_of_redirects_ends(server: Counting, names: Names) -> None:
    names.records["pictures.example.org"] = [["127.0.0.1"]]
    server.pages["/round"] = (307, {"Location": "/round"}, b"")
    with pytest.raises(BadLink, match="from one address to the next"):
        friendly(server, names).fetch(f"http://pictures.example.org:{server.port}/round", MOST_BYTES)
    assert server.connections == 1 + fetching.MOST_REDIRECTS


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, {}, b""), "answers 404"),
        ((200, {"Content-Type": "text/html; charset=utf-8"}, b"<!doctype html>"), "leads to a page"),
        ((200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"), "packed"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(
    server: Counting, names: Names, answer: tuple[int, dict[str, str], bytes], said: str
) -> None:
    names.records["pictures.example.org"] = [["127.0.0.1"]]
    server.pages["/a.jpg"] = answer
    with pytest.raises(BadLink, match=said):
        friendly(server, names).fetch(f"http://pictures.example.org:{server.port}/a.jpg", MOST_BYTES)


def test_no_cookie_and_no_credential_is_sent(server: Counting, names: Names) -> None:
    names.records["pictures.example.org"] = [["127.0.0.1"]]
    server.pages["/1"] = (302, {"Location": "/a.jpg", "Set-Cookie": "who=me"}, b"")
    server.pages["/a.jpg"] = (200, {}, picture(1))
    assert friendly(server, names).fetch(f"http://pictures.example.org:{server.port}/1", MOST_BYTES) == picture(1)
    for _, headers in server.requests:
        assert headers.keys() == {"Host", "User-Agent", "Accept", "Accept-Encoding"}


@pytest.mark.parametrize(
    ("text", "host", "target"),
    [
        ("https://example.org", "example.org", "/"),
        (" https://EXAMPLE.org./ä b.jpg".replace("ä b", "ä"), "example.org", "/%C3%A4.jpg"),
        ("http://bücher.example/a.jpg?x=ü#part", "xn--bcher-kva.example", "/a.jpg?x=%C3%BC"),
        ("http://93.184.215.14:80/a%20b.jpg", "93.184.215.14", "/a%20b.jpg"),
        ("https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "/"),
        ("https://[64:ff9b::93.184.215.14]/", "64:ff9b::5db8:d70e", "/"),
    ],
)
def test_public_addresses_are_fine(text: str, host: str, target: str) -> None:
    assert (parsed(text).host, parsed(text).target) == (host, target)
