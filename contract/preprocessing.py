"""The geometry and the limits of a photo on its way into the network.

``config.pbtxt``, the DALI pipeline and the decoder all follow these constants;
``tests/contract`` reads them and asserts that they agree.
"""

from __future__ import annotations

from typing import Final

IMAGE_SIZE: Final = 224
"""Side of the square classifier input, pixels. MobileNetV2 1.0 224's native size."""

SCENE_SIZE: Final = 416
"""Side of the detector's square input, pixels: YOLOX-nano's native size (Ge et al., "YOLOX", 2021, table 5)."""

VIEW_SIZE: Final = 768
"""Longer side, at least, that a photo keeps when its animals are to be named: an animal a quarter of the photo wide
then still fills most of ``IMAGE_SIZE``, and photos of 3, 8 and 12 megapixels are decoded at 1/2 or 1/4."""

LETTERBOX_FILL: Final = 114
"""Grey beside a photo that is not square, right of it or below: what YOLOX was trained with."""

CHANNELS: Final = 3
"""Red, green, blue, in this order."""

MEAN: Final = 127.5
"""Subtracted from 0..255 pixels *inside* the exported graph (Coral's tf2_mobilenet_v2_1.0_224: x/127.5-1)."""

SCALE: Final = 127.5
"""Divisor after ``MEAN``, inside the exported graph; pixels travel as UINT8 so that a hop costs a quarter."""

MAX_PIXELS: Final = 100_000_000
"""A header that claims more (width x height) is refused before anything is decoded (decompression bomb)."""

MAX_PIXELS_FULL_DECODE: Final = 40_000_000
"""The same for formats that cannot be decoded at a reduced scale, all but JPEG: they cost seconds of a core."""

MIN_SIDE: Final = 8
"""A photo with a side shorter than this (pixels) holds no animal that anybody could name."""

MAX_PHOTO_BYTES: Final = 32 * 1024 * 1024
"""Default upload limit in bytes. The largest camera-trap JPEGs known to us are below 15 MB."""

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What is decoded, by Pillow's format names. Of an animated file the first frame counts."""
