"""The replies of one batch of ``animals``: padded tensors, cut up by request at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # only inside Triton's stub process

from contract import tensors
from contract.options import Task
from serving.models.naming import Names, Naming
from serving.models.pipeline import Found, Spans

_DTYPES = {"FP32": np.float32, "INT32": np.int32, "BYTES": np.object_}


class Blanks:
    """What each output holds where nothing was found or asked for, for a batch of any size; made once, never written.

    A batch copies only the outputs that it has something to say in.
    """

    def __init__(self) -> None:
        self.by_name = {
            spec.name: np.full((tensors.MAX_BATCH, *spec.shape), _nothing(spec), _DTYPES[spec.datatype])
            for spec in tensors.ANIMALS_OUTPUTS
        }
        for blank in self.by_name.values():
            blank.flags.writeable = False


class Replies:
    """Output tensors for a batch of at most ``MAX_BATCH`` photos; only those that some request wants are made."""

    def __init__(
        self, found: Sequence[Found], spans: Spans, release: bytes, requests: Sequence[Any], blanks: Blanks
    ) -> None:
        self._requested = [request.requested_output_names() for request in requests]
        wanted = {name for names in self._requested for name in names}
        self._all = {name: blank[: len(found)] for name, blank in blanks.by_name.items() if name in wanted}
        self._set(tensors.RELEASE, slice(None), release)
        self._set(tensors.TIMINGS_MS, slice(None), (spans.decode, spans.detect, spans.classify, spans.total))
        self._set(tensors.STATUS, slice(None), np.array([one.opened.status for one in found], np.int32))
        sizes = np.array([(one.opened.width, one.opened.height) for one in found], np.int32)
        self._set(tensors.IMAGE_WIDTH_HEIGHT, slice(None), sizes)
        for row, one in enumerate(found):
            if one.opened.status.answered and one.options.tasks is not Task.SPECIES:
                count = len(one.boxes)
                self._set(tensors.COUNT, row, count)
                self._set(tensors.BOXES, (row, slice(count)), one.boxes)
                self._set(tensors.BOX_SCORES, (row, slice(count)), one.scores)

    def name(self, found: Sequence[Found], naming: Naming) -> None:
        """Fill in what the photos and their boxes are."""
        whole = [row for row, one in enumerate(found) if one.opened.status.answered]
        if not whole:
            return
        names = naming.of_photos([found[row] for row in whole])
        self._names(whole, names, tensors.SPECIES_IDS, tensors.SPECIES_SCORES, tensors.TAXON, tensors.TAXON_SCORE,
                    tensors.ALTERNATIVES)  # fmt: skip
        self._set(tensors.SPECIES_NAMES, whole, names.names)
        for row in whole:
            leaves = found[row].box_leaves
            if leaves is None:
                continue
            names = naming.of_boxes(leaves, found[row].options)
            self._names((row, slice(len(leaves))), names, tensors.BOX_SPECIES_IDS, tensors.BOX_SPECIES_SCORES,
                        tensors.BOX_TAXON, tensors.BOX_TAXON_SCORE, tensors.BOX_ALTERNATIVES)  # fmt: skip

    def _names(self, where: Any, names: Names, *specs: tensors.TensorSpec) -> None:
        values = (names.ids, names.scores, names.taxon, names.taxon_score, names.alternatives)
        for spec, value in zip(specs, values, strict=True):
            self._set(spec, where, value)

    def _set(self, spec: tensors.TensorSpec, where: Any, value: Any) -> None:
        tensor = self._all.get(spec.name)
        if tensor is None:
            return
        if not tensor.flags.writeable:
            tensor = self._all[spec.name] = tensor.copy()
        tensor[where] = value.reshape(tensor[where].shape) if isinstance(value, np.ndarray) else value

    def split(self, counts: Sequence[int]) -> list[Any]:
        """One response per request with the outputs that it asked for, ``counts`` rows each, in order."""
        responses, start = [], 0
        for names, count in zip(self._requested, counts, strict=True):
            rows = slice(start, start + count)
            outputs = [pb_utils.Tensor(name, self._all[name][rows]) for name in names]
            responses.append(pb_utils.InferenceResponse(output_tensors=outputs))
            start += count
        return responses


def _nothing(spec: tensors.TensorSpec) -> Any:
    return b"" if spec.datatype == "BYTES" else tensors.NOTHING.get(spec.name, (0,))
