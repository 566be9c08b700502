"""The models; import them from here."""

from gallery.models.curation import BulkAction, ZipImport
from gallery.models.images import LONGEST_TITLE, Embedding, Image
from gallery.models.index import Calibration, IndexGeneration
from gallery.models.insight import Analysis, Decision, Duplicate, DuplicateGroup, MapPoint, Suspect
from gallery.models.queries import LONGEST_LINK, Band, Query, QueryPart, StoredMatch, Uploaded

__all__ = [
    "LONGEST_LINK", "LONGEST_TITLE", "Analysis", "Band", "BulkAction", "Calibration", "Decision", "Duplicate",
    "DuplicateGroup", "Embedding", "Image", "IndexGeneration", "MapPoint", "Query", "QueryPart",
    "StoredMatch", "Suspect", "Uploaded", "ZipImport",
]  # fmt: skip
