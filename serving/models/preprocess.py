"""The ``preprocess`` model of the ``cpu`` profile: encoded photo in, upright square pixels out."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # only inside Triton's stub process

from contract.photo_status import PhotoError, PhotoStatus
from contract.tensors import ENCODED, IMAGE, IMAGE_WIDTH_HEIGHT, STATUS
from imaging.decode import decode_photo


class TritonPythonModel:
    """Decodes photo by photo; what is wrong with one is said in its ``STATUS`` and touches no other."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Input ENCODED UINT8 [B, bytes]; outputs IMAGE UINT8 [B, 224, 224, 3], STATUS INT32 [B, 1],
        IMAGE_WIDTH_HEIGHT INT32 [B, 2]. The image of a bad photo is black."""
        return [_answer(pb_utils.get_input_tensor_by_name(request, ENCODED.name).as_numpy()) for request in requests]


def _answer(photos: Any) -> Any:
    count = len(photos)
    images = np.zeros((count, *IMAGE.shape), np.uint8)
    status = np.zeros((count, *STATUS.shape), np.int32)
    sizes = np.zeros((count, *IMAGE_WIDTH_HEIGHT.shape), np.int32)
    for row in range(count):
        try:
            decoded = decode_photo(photos[row].tobytes())
        except PhotoError as error:
            status[row] = error.status
        except MemoryError:
            status[row] = PhotoStatus.TOO_MANY_PIXELS
        except Exception as error:  # noqa: BLE001  # whatever a decoder does, the neighbours are answered
            pb_utils.Logger.log_error(f"a photo of {len(photos[row])} bytes broke the decoder: {error!r}")
            status[row] = PhotoStatus.CORRUPT
        else:
            images[row] = decoded.pixels
            sizes[row] = decoded.width, decoded.height
    return pb_utils.InferenceResponse(
        output_tensors=[
            pb_utils.Tensor(IMAGE.name, images),
            pb_utils.Tensor(STATUS.name, status),
            pb_utils.Tensor(IMAGE_WIDTH_HEIGHT.name, sizes),
        ]
    )
