"""Decode, turn upright and resize on the GPU: NVIDIA's DALI backend reads this file as ``dali.py``.

It runs in NVIDIA's image, where nothing of Bestiary is installed, so the constants stand here again;
a test holds them against ``contract``. ``preprocess_pipeline(decoder_device="cpu", device_id=None)``
is the same graph without a GPU.
"""

# mypy: ignore-errors
# DALI builds most of its operators and types when it is imported, where mypy cannot see them.

from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.plugin.triton import autoserialize

MAX_BATCH = 32
IMAGE_SIZE = 224
PHOTO = "PHOTO"
STATUS_OK = 0


@autoserialize
@pipeline_def(batch_size=MAX_BATCH, num_threads=4, device_id=0)
def preprocess_pipeline(decoder_device: str = "mixed") -> tuple[DataNode, DataNode, DataNode]:
    """Encoded photos, UINT8 [bytes] each, to IMAGE UINT8 [224, 224, 3], STATUS INT32 [1], width and height INT32 [2].

    ``decoder_device``: "mixed" decodes with nvJPEG (the JPEG engine of an A100 or H100), "cpu" with
    libjpeg-turbo. EXIF orientation is applied by the decoder. A photo that cannot be decoded fails
    its whole batch, so bad photos have to be refused before they come here.
    """
    encoded = fn.external_source(device="cpu", name=PHOTO, dtype=types.UINT8, ndim=1)
    pixels = fn.decoders.image(encoded, device=decoder_device, output_type=types.RGB)
    image = fn.resize(
        pixels, resize_x=IMAGE_SIZE, resize_y=IMAGE_SIZE, interp_type=types.INTERP_TRIANGULAR, antialias=True
    )
    shape = fn.peek_image_shape(encoded, dtype=types.INT32)  # rows, columns, channels of the upright photo
    status = fn.constant(idata=[STATUS_OK], shape=[1], dtype=types.INT32)
    return image, status, fn.stack(shape[1], shape[0])
