"""Errors of requests, with the code and status of the API."""

from django.utils.translation import gettext as _

OUTCOME = "simsearch.outcome"  # a key of request.META: "accepted", or the code of the error

STATUS_OF_CODE = {
    "empty": 422,
    "too_large": 413,
    "unsupported_format": 415,
    "corrupt": 422,
    "too_many_pixels": 422,
    "too_costly": 422,
    "invalid": 422,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "throttled": 429,
    "busy": 503,
    "no_space": 507,
}


class Refusal(Exception):
    """A refused request; the text is a sentence that says what to do."""

    def __init__(self, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = STATUS_OF_CODE[code]
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """Return the HTTP headers of the refusal."""
        if self.code == "unauthorized":
            return {"WWW-Authenticate": 'Bearer realm="gallery"'}
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


def no_space() -> Refusal:
    """Return the error for an upload on a full disk."""
    return Refusal("no_space", _("The server has no room for another picture right now."))
