"""The JSON API. Errors are `{"error": {"code", "message"}}` with a fitting status."""

from typing import Annotated, Any
from uuid import UUID

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from ninja import File, Form, NinjaAPI, Status
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.files import UploadedFile
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from gallery import models
from gallery.api import images, requests
from gallery.api.images import KEY, Error, Id, ImageOut, Label, Problem, all_visible, check_labels, described
from gallery.errors import Refusal, no_space
from gallery.models import LONGEST_LINK
from gallery.queries import lifecycle, waiting
from gallery.queries.accept import MOST_NAMED, MOST_UPLOADS, Parameters, Pictures
from gallery.queries.lifecycle import LISTED
from gallery.results import crops, matches
from gallery.site import submit
from gallery.site.middleware import drain
from gallery.site.pages import NO_STORE, database_away, error_json

TIMINGS = (
    "accept (parse, throttle, check, keep: from the first byte to a waiting query), queue, then those of the whole "
    "batch: claim, decode, embed, search, finish; total is the sum of these seven, and of earlier runs that broke"
)
BAND = (
    "what the similarity means for the model of this query: almost the same picture, very similar, similar, not much "
    "alike; null in results of versions that did not say it"
)
DUPLICATES = (
    f"near-duplicates of this match among the pictures that the search looked at, the best {LISTED} at most: "
    f"where {LISTED} are listed there may be more"
)

REMOVED = "how many matches are left out, because they have been removed from the gallery since the search"
INCOMPLETE = "the file ended too soon or held wrong checksums; the search was made with what is there"

CROP = "x,y,w,h as fractions of the first picture, upright; the first `image`, or the first `like` where there is none"
LINK = "http or https address of the first picture, which a worker fetches; in the result `unreachable` if it cannot"
LIKE, UNLIKE = "gallery pictures that the matches shall be like", "gallery pictures that they shall be unlike"
MOST_LABELS, LONGEST_CROP = 20, 100
Left = SkipJsonSchema[None]  # may be left out; a form has no null

# The parts of the schema of a search that the types below cannot express.
BOOLEANS = [word for pair in ("true false", "True False", "1 0", "on off", "yes no") for word in pair.split()]
FORM = {
    "anyOf": [{"required": [name], "properties": {name: {"minItems": 1}}} for name in ("image", "like")]
    + [{"required": ["url"]}],
    "properties": {
        "crop": {"format": "crop"},
        "url": {"format": "link"},
        "collapse": {"type": "string", "enum": BOOLEANS, "default": "true"},  # a form has only texts
    },
}
LINKS = {
    name: {"operationId": f"gallery_api_{name}", "parameters": {"query_id": "$response.body#/id"}}
    for name in ("query", "withdraw")
}

api = NinjaAPI(
    title="simsearch",
    version="1",
    description="A picture in, the ten most like it out.",
    docs_decorator=require_safe,
)
api.add_router("/images", images.router)


class Accepted(BaseModel):
    id: UUID
    state: str
    url: str
    poll_after_ms: int


class DuplicateOut(BaseModel):
    similarity: float
    image: ImageOut


class MatchOut(BaseModel):
    rank: int
    similarity: Annotated[float, Field(description="the cosine, up to 1")]
    band: Annotated[models.Band | None, Field(description=BAND)]
    image: ImageOut
    duplicates: Annotated[list[DuplicateOut], Field(description=DUPLICATES)]


class IndexOut(BaseModel):
    generation: int | None
    model: str
    images: int | None


class QueryOut(BaseModel):
    id: UUID
    state: str
    error: Error | None
    incomplete: Annotated[bool, Field(description=INCOMPLETE)]
    waiting_ahead: int
    poll_after_ms: int | None
    timings_ms: Annotated[dict[str, float], Field(description=TIMINGS)]
    index: IndexOut
    matches: list[MatchOut]
    removed: Annotated[int, Field(description=REMOVED)]


# --- Calls --------------------------------------------------------------------------------------------------


@api.post(
    "/queries",
    operation_id="gallery_api_ask",
    response={202: Accepted, frozenset({413, 415, 422, 404, 429, 503, 507}): Problem},
    openapi_extra={
        "requestBody": {"content": {"multipart/form-data": {"schema": FORM}}},
        "responses": {202: {"links": LINKS}},
    },
)
def ask(
    request: HttpRequest,
    image: Annotated[list[UploadedFile], File(max_length=MOST_UPLOADS)] = [],  # noqa: B006 (ninja wants lists)
    like: Annotated[list[Id], Form(max_length=MOST_NAMED, description=LIKE)] = [],  # noqa: B006
    unlike: Annotated[list[Id], Form(max_length=MOST_NAMED, description=UNLIKE)] = [],  # noqa: B006
    url: Annotated[str | Left, Form(max_length=LONGEST_LINK, description=LINK)] = None,
    k: Annotated[int, Form(ge=1, le=100)] = 10,
    crop: Annotated[str | Left, Form(max_length=LONGEST_CROP, description=CROP)] = None,
    label: Annotated[list[Label], Form(max_length=MOST_LABELS)] = [],  # noqa: B006
    collapse: Annotated[bool, Form(description="0: near-duplicates are matches of their own")] = True,
) -> Status[Any]:
    """Ask for the k gallery pictures most like uploaded ones or gallery pictures, and unlike others.

    Several are searched together: the mean of the positive embeddings minus half the mean of the negative ones.

    The body may also be the picture itself, with its type (`image/jpeg` …); the other fields are then parameters of
    the address.
    """
    submit.check_space(request)
    parameters = Parameters(k=k, labels=tuple(label), crop=crops.parsed(crop or ""), collapse=collapse)
    check_labels(label)
    if not (image or like or unlike or url):
        raise requests.no_picture(request)
    pictures = Pictures(link=url or "", files=image, like=all_visible(like), unlike=all_visible(unlike))
    query, queue = submit.search(request, pictures, parameters), waiting.cached()
    accepted = Accepted(
        id=query.pk,
        state=query.state,
        url=f"/api/queries/{query.pk}",
        poll_after_ms=queue.poll_after_ms(query, queue.waiting),
    )
    return Status(202, accepted)


@api.get("/queries/{uuid:query_id}", operation_id="gallery_api_query", response={200: QueryOut, 404: Problem})
def query(request: HttpRequest, query_id: Id) -> HttpResponse:
    """Return the state of a query, and its matches once it is done."""
    row = _row(query_id)
    ahead = waiting.ahead_of(row)
    matches = _matches(row) if row.is_finished else []
    shown = QueryOut(
        id=row.pk,
        state=row.state,
        error=Error(code=row.error_code, message=row.error) if row.error_code else None,
        incomplete=bool(row.is_incomplete),
        waiting_ahead=ahead,
        poll_after_ms=None if row.is_finished else waiting.cached().poll_after_ms(row, ahead),
        timings_ms=row.timings_ms,
        index=IndexOut(generation=row.generation, model=row.model_id, images=row.images),
        matches=matches,
        removed=len(row.matches or []) - len(matches) if row.is_finished else 0,
    )
    # Polled often; ninja's check against the schema would take a tenth of the time.
    return HttpResponse(shown.model_dump_json(), content_type="application/json", headers=NO_STORE)


@api.delete(
    "/queries/{uuid:query_id}",
    operation_id="gallery_api_withdraw",
    auth=KEY,
    response={204: None, frozenset({401, 404}): Problem},
)
def withdraw(request: HttpRequest, query_id: Id) -> Status[None]:
    """Delete a query at once, with its picture and its matches. Its link may be shared, so it takes a key."""
    if not lifecycle.withdraw(query_id):
        raise Refusal("not_found", _("There is no such query; it may be deleted already."))
    return Status(204, None)


# --- Between rows and JSON ----------------------------------------------------------------------------------


def _row(query_id: UUID) -> models.Query:
    """Return the query with this id, in SQL because it is polled: half of the time of `get`. Raises Http404."""
    key = models.Query._meta.pk.get_db_prep_value(query_id, connection)
    for row in models.Query.objects.raw("SELECT * FROM gallery_query WHERE id = %s", [key]):
        return row
    raise Http404


def _matches(query: models.Query) -> list[MatchOut]:
    return [
        MatchOut(
            rank=shown.rank,
            similarity=round(shown.similarity, 4),
            band=shown.band,
            image=described(shown.image),
            duplicates=[DuplicateOut(similarity=cosine, image=described(image)) for image, cosine in shown.duplicates],
        )
        for shown in matches.shown(query)
    ]


# --- Errors -------------------------------------------------------------------------------------------------


api.exception_handler(Refusal)(error_json)
api.exception_handler(OperationalError)(database_away)
api.exception_handler(InterfaceError)(database_away)


@api.exception_handler(Http404)
@api.exception_handler(HttpError)
@api.exception_handler(MultiPartParserError)
@api.exception_handler(SuspiciousOperation)
def _refused(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer what Django or ninja raised."""
    match error:
        case Http404():
            refusal = Refusal("not_found", _("There is nothing at this address."))
        case AuthenticationError():
            drain(request)
            refusal = Refusal("unauthorized", "Send a key of this gallery: `Authorization: Bearer <key>`.")
        case HttpError():
            refusal = Refusal("invalid", str(error))
        case _:
            refusal = requests.unreadable(request)
    return error_json(request, refusal)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    if submit.NO_SPACE in request.META:  # the file is missing because the disk was full
        return error_json(request, no_space())
    if any(entry["type"] == "missing" and entry["loc"][-1] == "image" for entry in error.errors):
        return error_json(request, requests.no_picture(request))
    message = "; ".join(f"{entry['loc'][-1]}: {entry['msg']}" for entry in error.errors)
    return error_json(request, Refusal("invalid", message))
