"""What schemathesis cannot know: how a picture and a crop look. The fuzzer loads this file by SCHEMATHESIS_HOOKS."""

import io
import time
from typing import Any, TypeAlias

import httpx
import schemathesis
from hypothesis import strategies as st
from PIL import Image

Case: TypeAlias = "schemathesis.Case[Any]"

DECODED_S = 5.0
MOST_LABELS = 20  # of one search


def _picture(kind: str, seed: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((24 + seed, 24), 50).convert("RGB").save(file, kind)
    return file.getvalue()


def _crop(corners: tuple[float, float, float, float]) -> str:
    left, right = sorted(corners[:2])
    top, bottom = sorted(corners[2:])
    return f"{left},{top},{right - left + 0.01:.4f},{bottom - top + 0.01:.4f}"


FRACTIONS = st.floats(0, 0.99, allow_subnormal=False).map(lambda fraction: round(fraction, 4))
PICTURES = [_picture(kind, seed) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF") for seed in range(4)]


def _labels(case: Case) -> list[str]:
    images = httpx.get(f"{case.operation.base_url.rstrip('/')}/api/images", timeout=DECODED_S).json()["images"]
    return sorted({image["label"] for image in images} - {""})


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: Case) -> Case:
    """Name a label that the gallery has at this moment, and no picture that is both liked and unliked."""
    if not (case.meta and case.meta.generation.mode.is_positive):
        return case
    if isinstance(case.body, dict):
        like, unlike = case.body.get("like"), case.body.get("unlike")
        if isinstance(like, list) and isinstance(unlike, list):
            case.body["unlike"] = [id_ for id_ in unlike if id_ not in like]
    if isinstance(case.body, dict) and case.path == "/api/queries" and case.body.get("label"):
        case.body["label"] = [*_labels(case)[:MOST_LABELS]]
    if case.path == "/api/images" and case.query and case.query.get("label"):
        case.query["label"] = next(iter(_labels(case)), "")
    return case


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: Case, response: schemathesis.Response) -> None:
    """Decode an added picture as a worker does: only then it is there, which the schema cannot say."""
    if case.method != "POST" or case.path != "/api/images" or response.status_code not in {200, 201}:
        return
    deadline = time.monotonic() + DECODED_S
    address = f"{case.operation.base_url.rstrip('/')}/api/images/{response.json()['id']}"
    while httpx.get(address, timeout=DECODED_S).status_code == 404 and time.monotonic() < deadline:
        time.sleep(0.02)


def _is_valid_after_all(case: Case, body: dict[str, Any]) -> bool:
    """Tell whether a case that was made invalid by leaving out `image` or `like` still has the other, and is valid."""
    if case.path != "/api/queries" or not case.meta or case.meta.generation.mode.is_positive:
        return False
    return bool(body.get("image") or body.get("like") or body.get("url")) and not body.keys() & {"k", "crop", "label"}


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: Case) -> bool:
    """Leave out what a form cannot carry: `true` for a text arrives as the text "true", one value as a list of one."""
    if case.media_type != "multipart/form-data" or not isinstance(case.body, dict):
        return True
    body: dict[str, Any] = case.body
    if _is_valid_after_all(case, body):
        return False
    texts = [value for name in ("crop", "title", "collapse", "url") if (value := body.get(name)) is not None]
    if case.path == "/api/queries" and not isinstance(body.get("image", []), list):
        return False
    named = [body.get(name, []) for name in ("like", "unlike")]
    if not all(isinstance(ids, list) and all(isinstance(id_, str) for id_ in ids) for ids in named):
        return False
    labels = body.get("label", [] if case.path == "/api/queries" else "")
    texts += labels if isinstance(labels, list) else [labels]
    is_list = isinstance(labels, list) == (case.path == "/api/queries")
    return is_list and all(isinstance(text, str) for text in texts)


schemathesis.openapi.format("binary", st.sampled_from(PICTURES))
schemathesis.openapi.format("link", st.sampled_from(["https://pictures.invalid/1.jpg", "http://pictures.invalid"]))
schemathesis.openapi.format("crop", st.tuples(FRACTIONS, FRACTIONS, FRACTIONS, FRACTIONS).map(_crop))
