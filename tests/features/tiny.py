"""Small ONNX models of known weights, in the shapes in which models come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

SIDE, D = 16, 8


def tiny(
    path: Path,
    *,
    layout: str = "uint8 nhwc",
    output: str = "vector",
    rank: int = 2,
    side: int | str = SIDE,
    d: int = D,
    factor: float = 1.0,
    seed: int = 0,
    pool: str = "GlobalAveragePool",
) -> Path:
    """A convolution of 4 × 4 patches and, with rank 2, the mean over them; rank 3 gives tokens, rank 4 the map."""
    weights = np.random.default_rng(seed).normal(size=(d, 3, 4, 4)).astype(np.float32) * np.float32(factor)
    nodes, x = [], "image"
    if layout == "uint8 nhwc":
        nodes += [make_node("Transpose", [x], ["chw"], perm=[0, 3, 1, 2]), make_node("Cast", ["chw"], ["x"], to=1)]
        x = "x"
    nodes.append(make_node("Conv", [x, "weights"], ["conv"], strides=[4, 4]))
    nodes.append(make_node("Relu", ["conv"], [output if rank == 4 else "map"]))
    if rank == 2:
        nodes.append(make_node(pool, ["map"] if "Global" in pool else ["map", "sides"], ["pooled"]))
        nodes.append(make_node("Flatten", ["pooled"], [output]))
    if rank == 3:
        nodes += [
            make_node("Reshape", ["map", "flat"], ["positions"]),
            make_node("Transpose", ["positions"], [output], perm=[0, 2, 1]),
        ]
    kind, shape = (
        (TensorProto.UINT8, ["n", side, side, 3])
        if layout == "uint8 nhwc"
        else (TensorProto.FLOAT, ["n", 3, side, side])
    )
    shapes = {2: ["n", d], 3: ["n", "tokens", d], 4: ["n", d, "h", "w"]}
    graph = make_graph(
        nodes,
        "tiny",
        [make_tensor_value_info("image", kind, shape)],
        [make_tensor_value_info(output, TensorProto.FLOAT, shapes[rank])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([0, d, -1], np.int64), "flat"),
            numpy_helper.from_array(np.array([2, 3], np.int64), "sides"),
        ],
    )
    return _save(graph, path)


def tiny_text_tower(path: Path, words: int, d: int = D) -> Path:
    """The mean of learnt vectors of the tokens."""
    table = np.random.default_rng(1).normal(size=(words, d)).astype(np.float32)
    graph = make_graph(
        [
            make_node("Gather", ["table", "input_ids"], ["each"]),
            make_node("ReduceMean", ["each"], ["text_embeds"], axes=[1], keepdims=0),
        ],
        "text",
        [make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "length"])],
        [make_tensor_value_info("text_embeds", TensorProto.FLOAT, ["n", d])],
        [numpy_helper.from_array(table, "table")],
    )
    return _save(graph, path)


def _save(graph: onnx.GraphProto, path: Path) -> Path:
    model = make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path
