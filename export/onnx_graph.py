"""The classifier as one self-contained ONNX file with a dynamic batch."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from contract.tensors import IMAGE, MAX_BATCH, probabilities
from export.narrow import narrow_weights
from training.network import AnimalClassifier


def write_onnx(classifier: AnimalClassifier, file: Path, leaves: int) -> None:
    """Export to ``file``: UINT8 ``IMAGE`` [N, 224, 224, 3] -> FP32 ``PROBABILITIES`` [N, leaves].

    The file holds its weights itself, in half precision where that loses nothing. What the exporter notes
    about source files and their places on disk is taken out, so that the same weights give the same bytes
    everywhere.
    """
    example = torch.zeros((2, *IMAGE.shape), dtype=torch.uint8)
    program = torch.onnx.export(
        classifier.eval(),
        (example,),
        dynamo=True,
        input_names=[IMAGE.name],
        output_names=[probabilities(leaves).name],
        dynamic_shapes={"pixels": {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}},
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise AssertionError("torch.onnx.export(dynamo=True) returns a program.")
    model = program.model_proto
    forget_origins(model)
    narrow_weights(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(file))


def forget_origins(model: onnx.ModelProto) -> None:
    """Take out of a model what the exporter notes about source files and their places on disk."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    del graph.metadata_props[:]
    graph.doc_string = ""
    for parts in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        for part in parts:
            del part.metadata_props[:]
            part.doc_string = ""
