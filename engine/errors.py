"""The errors of the engine: one tree of exceptions for pictures, models and indexes."""


class EngineError(Exception):
    """The base of every error that the engine raises on purpose; its text is one sentence for a person."""


class BadImage(EngineError):
    """A picture that is refused.

    `code` is one of the upload codes of the API: `empty`, `too_large`, `unsupported_format`,
    `too_many_pixels`, `too_costly`, `corrupt`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnknownModel(EngineError):
    """There is no model of that name."""


class BadWeights(EngineError):
    """A weights file that is missing, damaged, or made for another model."""


class BadDevice(EngineError):
    """A device that this machine does not have."""


class BadIndex(EngineError):
    """An index generation that is missing, damaged, or made by another model; it was not opened."""


class OldIndex(BadIndex):
    """An index generation that is whole, and written by a version with another format."""


class IndexAway(EngineError):
    """The index server does not answer; try again later."""
