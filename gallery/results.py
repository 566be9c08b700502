"""What may be shown of a finished query: never a picture that has been hidden or deleted since."""

from dataclasses import dataclass

from gallery.models import Image, Match, Query


@dataclass(frozen=True)
class Shown:
    """A match (its `image` is loaded), and the pictures that look the same with their cosines."""

    match: Match
    duplicates: list[tuple[Image, float]]


def shown(query: Query) -> list[Shown]:
    """The visible matches by rank: two queries, the second only where there are near-duplicates."""
    matches = list(query.matches.filter(image__is_hidden=False).select_related("image"))
    wanted = {image for match in matches for image, _ in match.duplicates}
    images = {str(image.pk): image for image in Image.objects.visible().filter(pk__in=wanted)} if wanted else {}
    return [
        Shown(match, [(images[image], similarity) for image, similarity in match.duplicates if image in images])
        for match in matches
    ]
