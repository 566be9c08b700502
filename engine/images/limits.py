"""The limits of decoding, each with its reason: what one picture may cost. docs/security.md sums them up.

`headers` and `memory` refuse what a header shows; `engine.decoders` stops what it does not show.
"""

# --- What a decoder process may use ---------------------------------------------------------------------------

# Beyond what a decoder holds when it starts. The largest pictures that the headers allow need 250 to 350 MB, and
# several decoders must fit into a small machine.
ADDRESS_SPACE_BYTES = 450 * 10**6
# A larger file, which only imports have, gets a decoder of its own that may hold it twice besides.
ORDINARY_FILE_BYTES = 32 * 2**20
# Of one picture: the processor's time by the kernel, and the time without waiting for a core by the client. The slowest
# pictures that the headers allow take a fifth of it.
PICTURE_S = 5
# A batch goes on without a picture that takes longer; photographs take 10 to 60 ms. The second is for a worker that has
# slow pictures already: ten that arrive at once shall delay others by less than 2 s. See `tasks/slow.py`.
PATIENCE_S, PATIENCE_AFTER_SLOW_S = 0.2, 0.05
# The socket, a picture and what Python holds open; no library opens files while it decodes.
OPEN_FILES = 16
# A decoder is replaced after so many: what a library leaks, or one picture left behind, does not stay.
PICTURES_OF_A_DECODER = 500
# What a decoder may send back: pixels, and new files of a picture of at most 5,000 px a side.
REPLY_BYTES = 64 * 2**20

# --- What a picture may be ------------------------------------------------------------------------------------

# 250 MB with everything around it.
MAX_DECODING_BYTES = 220_000_000
# The fewest bytes a pixel that each codec needs, from `large`; the decoder knows the exact number.
BYTES_PER_PIXEL = {"WEBP": 7.7, "AVIF": 5.0, "HEIF": 4.4}
# Only the orientation is read. Pillow makes a Python object of each number: 16 MB of them take 600 MB and 10 s.
MAX_EXIF_BYTES = 256 * 2**10
# A progressive JPEG goes over the whole picture for each scan; real files have at most 15.
MAX_JPEG_SCANS = 40
# Pillow joins Exif segments in the square of their number. Real files have few hundred segments.
MAX_JPEG_SEGMENTS = 1000
# Python code runs for each chunk: a million empty ones take 4 s. Chunks of a real file hold 8 kB each.
MAX_PNG_CHUNKS = 20_000
# Comments and other extensions, which Pillow collects: 16 MB of them in blocks of one byte take 700 MB.
MAX_GIF_PREFIX_BYTES = 256 * 2**10
# Of all fields of a TIFF together. Pillow makes a Python object of each; a picture of 50 million pixels in the smallest
# tiles has 400,000.
MAX_TIFF_NUMBERS = 2**19
# Boxes of one folder, fields of one folder, segments: where the search for the size of a picture ends.
MAX_HEADER_PARTS = 1000
# Of one HEIC or AVIF: items, and tiles of one picture. Phones write 50 to 150 tiles.
MAX_HEIF_ITEMS = 2000
