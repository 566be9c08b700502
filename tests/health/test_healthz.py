"""GET /healthz: the process answers."""

from django.test import Client


def test_the_process_is_alive(client: Client) -> None:  # and it asks neither the database nor Redis
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_only_reading_is_allowed(client: Client) -> None:
    assert client.post("/healthz").status_code == 405
