"""Tolerate what programs send to /api/: bodies that are not a form, methods that a call does not have.

What can be taken is taken. The rest gets a JSON error that says what arrived, and what to send instead.
"""

import functools
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from gallery.errors import Refusal
from gallery.queries import uploads
from gallery.site import submit
from gallery.site.middleware import DRAIN_BYTES
from gallery.site.pages import error_json

View = Callable[..., HttpResponseBase]
Call = Callable[[], HttpResponseBase]

FORM, URL_FORM, JSON = "multipart/form-data", "application/x-www-form-urlencoded", "application/json"
ANY_FILE = "application/octet-stream"
LONGEST_NAME = 40  # of a name that a client sent, in an error message


Urls = tuple[list[URLResolver | URLPattern], str, str]


def prepared(urls: Urls) -> Urls:
    """Return the addresses of the API, each view inside `_answering`."""
    for pattern in urls[0]:
        if isinstance(pattern, URLPattern):
            pattern.callback = _answering(pattern.callback)
    return urls


def _answering(view: View) -> View:
    @functools.wraps(view)
    def answer(request: WSGIRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        call = functools.partial(view, request, *args, **kwargs)
        response = (_in_chunks if "HTTP_TRANSFER_ENCODING" in request.META else _taken)(request, call)
        return response if response.status_code != 405 else _other_method(request, response["Allow"], call)

    return answer


# --- Methods ------------------------------------------------------------------------------------------------


def _other_method(request: HttpRequest, allow: str, call: Call) -> HttpResponseBase:
    """Answer HEAD as GET without a body, OPTIONS with the methods, any other method with an error."""
    allowed = allow.split(", ")
    if request.method == "HEAD" and "GET" in allowed:
        request.method = "GET"
        try:
            return call()
        finally:
            request.method = "HEAD"
    methods = ", ".join(sorted({*allowed, "HEAD"} if "GET" in allowed else allowed))
    if request.method == "OPTIONS":
        return HttpResponse(status=204, headers={"Allow": methods})
    response = error_json(request, Refusal("method_not_allowed", f"Use {methods.replace(', ', ' or ')} here."))
    response["Allow"] = methods
    return response


# --- Bodies -------------------------------------------------------------------------------------------------


def _taken(request: HttpRequest, call: Call) -> HttpResponseBase:
    """Turn a body that is a picture into a form with that picture."""
    if request.method == "POST" and request.content_type != FORM and _is_file(request):
        file = submit.receive(request)
        # The attributes that Django fills from a form. A picture without a form has its parameters in the address.
        request.POST = request.GET
        request._files = MultiValueDict({"image": [file]} if file else {})  # type: ignore[attr-defined]
    return call()


def _in_chunks(request: WSGIRequest, call: Call) -> HttpResponseBase:
    """Read a body without a length up to the limit; refuse a larger one."""
    if request.META.get("CONTENT_LENGTH"):
        return _taken(request, call)
    is_large = request.content_type == FORM or _is_file(request)
    most = settings.SIMSEARCH_MAX_BODY_BYTES if is_large else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = submit.ChunkedBody(request, most)
    response = _taken(request, call)
    if response.status_code >= 400 and body.is_too_large:
        response = error_json(request, uploads.too_large())
    body.drain(DRAIN_BYTES)
    return response


def _is_file(request: HttpRequest) -> bool:
    kind = request.content_type or ""
    return kind.startswith("image/") or kind == ANY_FILE


def check_one(request: HttpRequest) -> None:
    """Refuse several pictures at once. Raises Refusal `invalid` when several pictures arrived."""
    if len(request.FILES.getlist("image")) > 1:
        raise Refusal("invalid", _("Several pictures arrived as `image`; send each in a request of its own."))


def no_picture(request: HttpRequest) -> Refusal:
    """Return the error for a request without a picture."""
    return Refusal("empty", f"{_arrived(request)} {example(request)}")


def unreadable(request: HttpRequest) -> Refusal:
    """Return the error for a request that Django cannot read."""
    if request.content_type == FORM:
        if "boundary=" not in request.META.get("CONTENT_TYPE", ""):
            arrived = "A multipart form arrived without its boundary; let your HTTP client write the Content-Type."
        else:
            most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE / 2**20
            arrived = (
                "The multipart form cannot be read: it is broken off, has too many parts, or a part of more than "
                f"{most:g} MB has no file name."
            )
        return Refusal("invalid", f"{arrived} {example(request)}")
    return Refusal("invalid", f"{_arrived(request)} {example(request)}")


def example(request: HttpRequest) -> str:
    """Return a sentence on how to send a picture to this address."""
    address = request.build_absolute_uri(request.path)
    return (
        f"Send the file as `image`: curl -F image=@picture.jpg {address} "
        f"- or as the body: curl -H 'Content-Type: image/jpeg' --data-binary @picture.jpg {address}"
    )


def _arrived(request: HttpRequest) -> str:
    kind = (request.content_type or "")[:LONGEST_NAME]
    if kind == FORM:
        if "image" in request.POST:
            return "`image` arrived as text: its part of the form has no file name."
        if other := next(iter(request.FILES), None):
            return f"A file arrived as `{other[:LONGEST_NAME]}`, and none as `image`."
        names = ", ".join(f"`{name[:LONGEST_NAME]}`" for name in [*request.POST][:10])
        return "The form arrived without `image`" + (f"; it has {names}." if names else ".")
    if kind == JSON:
        return "JSON arrived; a picture is not read from JSON, nor from base64."
    if request.META.get("CONTENT_LENGTH") in {None, "", "0"}:
        return "No picture arrived: the request has no body."
    if kind == URL_FORM:
        return f"The body arrived as {URL_FORM}, which carries no files."
    return f"The body arrived as {kind}, which is no type of a picture." if kind else "The body arrived without a type."
