"""Changes of the gallery: the one way in for a picture, whoever brings it (admin, command, demonstration)."""

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from gallery import files
from gallery.errors import Refusal
from gallery.models import LONGEST_LABEL, LONGEST_TITLE, Image
from gallery.uploads import Readable, Upload, accept


class AlreadyThere(Exception):
    """The gallery has this very file."""

    def __init__(self, image: Image) -> None:
        super().__init__(f"The gallery has this picture already ({image}).")
        self.image = image


def find(content_hash: str) -> Image | None:
    return Image.objects.filter(content_hash=content_hash).first()


def accept_new(file: Readable) -> Upload:
    """A picture that the gallery does not have yet. Raises Refusal and AlreadyThere."""
    upload = accept(file, with_thumbnail=True)
    if existing := find(upload.content_hash):
        raise AlreadyThere(existing)
    return upload


def keep(image: Image, upload: Upload) -> None:
    """Save a new row with its files. Raises Refusal (no room) and AlreadyThere (somebody was quicker)."""
    image.content_hash = upload.content_hash
    image.width_px, image.height_px = upload.width_px, upload.height_px
    try:
        files.write(image.picture_path, upload.picture)
        files.write(image.thumbnail_path, upload.thumbnail)
        with transaction.atomic():  # so that a duplicate leaves an outer transaction usable
            image.save(force_insert=True)
    except BaseException as error:
        files.remove(image.picture_path, image.thumbnail_path)
        if isinstance(error, IntegrityError) and (existing := find(image.content_hash)):
            raise AlreadyThere(existing) from error
        if isinstance(error, OSError):
            raise Refusal("no_space", "The disk is full: the picture could not be kept.") from error
        raise


def add(file: Readable, *, label: str = "", title: str = "") -> Image:
    """Put a picture into the gallery; whoever calls rings `doorbell.CURATE` when it is done adding.

    Raises Refusal (an unusable picture, no room) and AlreadyThere.
    """
    upload = accept_new(file)
    image = Image(label=label[:LONGEST_LABEL], title=title[:LONGEST_TITLE])
    keep(image, upload)
    return image


def remove(images: QuerySet[Image]) -> None:
    """Delete gallery pictures with their files; the answers that name them lose a match."""
    with transaction.atomic():
        # The rows are ours alone first: an answer that PostgreSQL wrote between their matches and them would name them.
        list(images.order_by("pk").select_for_update(of=("self",)).values_list("pk"))
        images.delete()
