"""What the API says, taken apart."""

import json
from typing import TYPE_CHECKING

from django.http import HttpResponseBase, StreamingHttpResponse

from tests.responses import end

if TYPE_CHECKING:  # what Django's test client answers has a name in the stubs alone
    from django.test.client import _MonkeyPatchedWSGIResponse as Response
else:
    Response = HttpResponseBase

__all__ = ["Response", "error_code", "file"]


def error_code(response: Response) -> str:
    """Return the code of an error answer, which must be exactly what the API promises."""
    assert response["Content-Type"].startswith("application/json"), response.content[:200]
    body = json.loads(response.content)
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"code", "message"}
    assert body["error"]["message"]
    code: str = body["error"]["code"]
    return code


def file(response: HttpResponseBase) -> bytes:
    """Return the whole file that an answer carries."""
    assert isinstance(response, StreamingHttpResponse)
    data: bytes = response.getvalue()
    end(response)
    return data
