"""``python -m benchmarks.transport``: a photo to Triton inside the request, against by system shared memory.

One caller, both ways in turn photo by photo, on the ``animals`` of a running stack; only the way differs. Times are
from the photo's bytes in hand to the reply, the writing of the shared region included.
"""

from __future__ import annotations

import argparse
import io
import os
import struct
import sys
import time
from collections.abc import Callable
from multiprocessing import shared_memory
from typing import Final

import grpc
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from benchmarks import photos as photo_sets
from benchmarks.figures import median, percentile
from benchmarks.stack import PLAIN, StackError, running_stack, workshop
from contract.options import TASKS, Task
from contract.tensors import ANIMALS, PHOTO

REGION: Final = "bestiary-transport"
REGION_BYTES: Final = 16 << 20
LARGE: Final = (2592, 1944)
"""Sides of the large photo, pixels; with grain it is a JPEG of about 3 MB."""


def large_photo(small: bytes) -> bytes:
    """The small photo enlarged, with the grain of a camera at night."""
    with Image.open(io.BytesIO(small)) as image:
        pixels = np.asarray(image.convert("RGB").resize(LARGE), dtype=np.int16)
    grain = np.random.default_rng(7).normal(0, 14, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def request() -> pb.ModelInferRequest:
    """A request without its photo."""
    made = pb.ModelInferRequest(model_name=ANIMALS)
    made.inputs.add(name=PHOTO.name, datatype=PHOTO.datatype, shape=(1, 1))
    made.outputs.add(name="STATUS")
    made.parameters[TASKS].string_param = Task.SPECIES.value
    return made


def inside(stub: GRPCInferenceServiceStub, photo: bytes) -> None:
    """As the gateway does it."""
    made = request()
    made.raw_input_contents.append(struct.pack("<I", len(photo)) + photo)
    stub.ModelInfer(made)


def beside(stub: GRPCInferenceServiceStub, region: memoryview, photo: bytes) -> None:
    """The bytes lie in shared memory, the request says where."""
    size = 4 + len(photo)
    region[:4] = struct.pack("<I", len(photo))
    region[4:size] = photo
    made = request()
    made.inputs[0].parameters["shared_memory_region"].string_param = REGION
    made.inputs[0].parameters["shared_memory_byte_size"].int64_param = size
    stub.ModelInfer(made)


def measure(ways: dict[str, Callable[[], None]], number: int) -> dict[str, list[float]]:
    """Milliseconds of each way, in turn, after a few to warm up."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for at in range(number + 5):
        for name, send in ways.items():
            began = time.perf_counter()
            send()
            if at >= 5:
                took[name].append(1e3 * (time.perf_counter() - began))
    return took


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 measured, 1 the stack did not start."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transport", description=__doc__)
    parser.add_argument("--number", type=int, default=200, help="photos each way (default 200)")
    options = parser.parse_args(arguments)
    small = photo_sets.load(None).photos[0]
    table = Table("photo", "way", "p50 ms", "p90 ms")
    segment = shared_memory.SharedMemory(create=True, size=REGION_BYTES, name=f"{REGION}-{os.getpid()}")
    try:
        unlimited = [("grpc.max_send_message_length", -1)]
        with (
            workshop("transport") as folder,
            running_stack(folder, PLAIN) as stack,
            grpc.insecure_channel(stack.triton_grpc, options=unlimited) as channel,
        ):
            stub = GRPCInferenceServiceStub(channel)
            stub.SystemSharedMemoryRegister(
                pb.SystemSharedMemoryRegisterRequest(name=REGION, key=f"/{segment.name}", byte_size=REGION_BYTES)
            )
            for photo in (small, large_photo(small)):
                ways: dict[str, Callable[[], None]] = {
                    "in the request": lambda photo=photo: inside(stub, photo),  # type: ignore[misc]
                    "shared memory": lambda photo=photo: beside(stub, segment.buf, photo),  # type: ignore[misc]
                }
                for name, took in measure(ways, options.number).items():
                    size = f"{len(photo) / 1e3:.0f} kB"
                    table.add_row(size, name, f"{median(took):.2f}", f"{percentile(took, 90):.2f}")
    except StackError as error:
        print(f"transport: {error}", file=sys.stderr)
        return 1
    finally:
        segment.close()
        segment.unlink()
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
