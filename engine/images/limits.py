"""The limits of decoding, each with its reason. docs/security.md summarises them.

`headers` and `memory` refuse what a header shows; `engine.decoders` stops what it does not show.
"""

# --- What a decoder process may use ---------------------------------------------------------------------------

# Beyond the memory of a decoder at its start. The largest pictures that the headers allow need 250 to 350 MB, and
# several decoders must fit into a small machine.
ADDRESS_SPACE_BYTES = 450 * 10**6
# For a larger file, which only imports have, a new decoder starts that may also hold the file twice.
ORDINARY_FILE_BYTES = 32 * 2**20
# Of one picture: the processor's time by the kernel, and the time without waiting for a core by the client. The slowest
# pictures that the headers allow take a fifth of it.
PICTURE_S = 5
# A batch goes on without a picture that takes longer; photographs take 10 to 60 ms. The second limit is for a worker
# that already has slow pictures (`tasks/queries/slow.py`): ten that arrive at once must delay others by less than 2 s.
PATIENCE_S, PATIENCE_AFTER_SLOW_S = 0.2, 0.05
# The socket, a picture and what Python holds open; no library opens files while it decodes.
OPEN_FILES = 16
# A decoder is replaced after this number, so nothing that a library leaks or a picture leaves behind stays.
PICTURES_OF_A_DECODER = 500
# What a decoder may send back: pixels, and new files of a picture of at most 5,000 px a side.
REPLY_BYTES = 64 * 2**20

# --- What a picture may be ------------------------------------------------------------------------------------

# With everything around it a picture takes 250 MB.
MAX_DECODING_BYTES = 220_000_000
# The fewest bytes a pixel that each codec needs, from `large`; the decoder knows the exact number.
BYTES_PER_PIXEL = {"WEBP": 7.7, "AVIF": 5.0, "HEIF": 4.4}
# Only the orientation is read. Pillow makes a Python object of each number: 16 MB of them take 600 MB and 10 s.
MAX_EXIF_BYTES = 256 * 2**10
# A progressive JPEG goes over the whole picture for each scan; real files have at most 15.
MAX_JPEG_SCANS = 40
# Pillow takes quadratic time to join Exif segments. Real files have a few hundred segments.
MAX_JPEG_SEGMENTS = 1000
# Python code runs for each chunk: a million empty ones take 4 s. Chunks of a real file hold 8 kB each.
MAX_PNG_CHUNKS = 20_000
# Comments and other extensions, which Pillow collects: 16 MB of them in blocks of one byte take 700 MB.
MAX_GIF_PREFIX_BYTES = 256 * 2**10
# Of all fields of a TIFF together. Pillow makes a Python object of each; a picture of 50 million pixels in the smallest
# tiles has 400,000.
MAX_TIFF_NUMBERS = 2**19
# Boxes of a folder, fields of a folder, segments: the search for the size of a picture stops there.
MAX_HEADER_PARTS = 1000
# Of one HEIC or AVIF: items, and tiles of one picture. Phones write 50 to 150 tiles.
MAX_HEIF_ITEMS = 2000
