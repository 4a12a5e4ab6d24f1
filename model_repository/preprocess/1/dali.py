"""Decode, turn upright and resize on the GPU: NVIDIA's DALI backend reads this file as ``dali.py``.

It runs in NVIDIA's image, where nothing of Bestiary is installed, so the constants stand here again;
a test holds them against ``contract``. ``preprocess_pipeline(decoder_device="cpu", device_id=None)``
is the same graph without a GPU.
"""

# mypy: ignore-errors
# DALI builds most of its operators and types when it is imported, where mypy cannot see them.

from nvidia.dali import fn, math, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.plugin.triton import autoserialize

MAX_BATCH = 32
IMAGE_SIZE = 224
SCENE_SIZE = 416
VIEW_SIZE = 768
LETTERBOX_FILL = 114
PHOTO = "PHOTO"

HALVINGS = 3
"""Photos are halved at most so often before the last step: the DCT scales 1/2, 1/4 and 1/8 of the other decoder.
``STRETCHINGS`` more for a side that is still long then: 100 megapixels may be 65,500 pixels wide."""
STRETCHINGS = 5


@autoserialize
@pipeline_def(batch_size=MAX_BATCH, num_threads=4, device_id=0)
def preprocess_pipeline(decoder_device: str = "mixed") -> tuple[DataNode, DataNode, DataNode, DataNode]:
    """Encoded photos, UINT8 [bytes] each, to IMAGE UINT8 [224, 224, 3], SCENE UINT8 [416, 416, 3], VIEW UINT8
    [768, 768, 3], and width and height INT32 [2].

    ``decoder_device``: "mixed" decodes with nvJPEG (the JPEG engine of an A100 or H100), "cpu" with
    libjpeg-turbo. EXIF orientation is applied by the decoder. A photo that cannot be decoded fails
    its whole batch, so bad photos have to be refused before they come here.
    """
    encoded = fn.external_source(device="cpu", name=PHOTO, dtype=types.UINT8, ndim=1)
    pixels = fn.decoders.image(encoded, device=decoder_device, output_type=types.RGB)
    shape = fn.cast(fn.peek_image_shape(encoded), dtype=types.INT32)  # rows, columns, channels of the upright photo
    image = _stretched(pixels, shape[0], shape[1])
    view = _letterboxed(pixels, VIEW_SIZE)
    scene = _letterboxed(pixels, SCENE_SIZE)
    return image, scene, view, fn.stack(shape[1], shape[0])


def _stretched(pixels: DataNode, height: DataNode, width: DataNode) -> DataNode:
    """The classifier's square, halved as the shrink-on-load decoder does (``imaging.decode``): first the whole photo
    while its shorter side stays long enough, then each side that is more than twice as long as wanted."""
    shortest = math.min(height, width)
    for power in range(1, HALVINGS + 1):
        divisor = 2**power
        halve = fn.cast((shortest + (divisor - 1)) // divisor >= IMAGE_SIZE, dtype=types.INT32)
        height, width = _halved(height, halve), _halved(width, halve)
        pixels = _resized(pixels, height, width)
    for _ in range(STRETCHINGS):
        height, width = (_halved(side, fn.cast(side > 2 * IMAGE_SIZE, dtype=types.INT32)) for side in (height, width))
        pixels = _resized(pixels, height, width)
    return fn.resize(pixels, resize_x=IMAGE_SIZE, resize_y=IMAGE_SIZE, interp_type=types.INTERP_LINEAR, antialias=False)


def _halved(side: DataNode, halve: DataNode) -> DataNode:
    """Half of ``side``, rounded up, where ``halve`` is 1; ``side`` where it is 0."""
    return (side + halve) // (1 + halve)


def _resized(pixels: DataNode, height: DataNode, width: DataNode) -> DataNode:
    return fn.resize(
        pixels,
        resize_y=fn.cast(height, dtype=types.FLOAT),
        resize_x=fn.cast(width, dtype=types.FLOAT),
        interp_type=types.INTERP_LINEAR,
        antialias=False,
    )


def _letterboxed(pixels: DataNode, size: int) -> DataNode:
    """The whole photo scaled to fit a square, top left in it, grey beside it (``imaging.letterbox``)."""
    fitted = fn.resize(
        pixels, size=[size, size], mode="not_larger", interp_type=types.INTERP_TRIANGULAR, antialias=True
    )
    return fn.crop(
        fitted,
        crop=(size, size),
        crop_pos_x=0.0,
        crop_pos_y=0.0,
        out_of_bounds_policy="pad",
        fill_values=[LETTERBOX_FILL] * 3,
    )
