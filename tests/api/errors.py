"""How the API says no."""

import json

from django.http import HttpResponse


def error_code(response: HttpResponse) -> str:
    """The code of an error answer, which must be exactly what the API promises."""
    assert response["Content-Type"].startswith("application/json"), response.content[:200]
    body = json.loads(response.content)
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"code", "message"}
    assert body["error"]["message"]
    code: str = body["error"]["code"]
    return code
