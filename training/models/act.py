"""
Action Transformer (AcT): Mazzia et al., "Action Transformer: A self-attention model for short-time
pose-based human action recognition", Pattern Recognition 2022, https://arxiv.org/abs/2107.00606.

Section 3.2: each frame is projected to d_model, a learned class token is put in front, a learned
position embedding added; L post-norm encoder layers; the class token goes through a head of two
Dense layers. Table I gives the four sizes.

Written for speed on a CPU: query, key and value are one matrix product, and every Dense sees a
two-dimensional (N * tokens, d) array, since batched products of thin matrices are slow. The last
layer is computed for the class token alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

LAYER_NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class ActSize:
    """A row of Table I: heads, width, encoder layers, width of the head's Dense, dropout."""

    num_heads: int
    d_model: int
    num_layers: int
    mlp_head: int
    dropout: float


SIZES = {
    'mu': ActSize(1, 64, 4, 256, 0.3),
    's': ActSize(2, 128, 5, 256, 0.3),
    'm': ActSize(3, 192, 6, 256, 0.3),
    'l': ActSize(4, 256, 6, 512, 0.4),
}


@keras.saving.register_keras_serializable(package='act')
class PatchClassEmbedding(keras.layers.Layer):
    """Put a learned class token before the frames and add a learned position: (N, T + 1, d)."""

    def __init__(self, num_frames: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_frames = num_frames

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        self.class_token = self.add_weight(
            shape=(1, 1, width), initializer='he_normal', name='class_token')
        self.position = self.add_weight(
            shape=(self.num_frames + 1, width), name='position',
            initializer=keras.initializers.RandomUniform(-0.05, 0.05))

    def call(self, frames: keras.KerasTensor) -> keras.KerasTensor:
        batch, length = ops.shape(frames)[0], ops.shape(frames)[1]
        token = ops.broadcast_to(self.class_token, (batch, 1, frames.shape[-1]))
        tokens = ops.concatenate([token, frames], axis=1)
        # A window shorter than trained for uses the first positions.
        return tokens + self.position[:length + 1]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, length, width = input_shape  # JAX cannot infer it of any number of frames
        return batch, None if length is None else length + 1, width

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), 'num_frames': self.num_frames}


@keras.saving.register_keras_serializable(package='act')
class HashDropout(keras.layers.Layer):
    """
    Dropout whose random bits are an integer hash of each element's index and the step's seed.

    Same law as ``keras.layers.Dropout``. Under XLA on a CPU its Philox bits cost more than all the
    matrix products of AcT-µ; a few integer operations per element fuse into their neighbours.
    The hash is the two-round multiply-xorshift of C. Wellons, "Prospecting for hash functions".
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f'dropout must lie in [0, 1), not {rate}')
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        if not training or self.rate == 0:
            return x
        state = ops.cast(self.seed_generator.next(), 'uint32')
        shape = ops.shape(x)
        index = ops.arange(math.prod(shape), dtype='int32')
        bits = ops.cast(ops.reshape(index, shape), 'uint32')
        bits = (bits ^ _mix(state[0] ^ _mix(state[1]))) * np.uint32(0x9E3779B1)
        keep = _mix(bits) >= np.uint32(self.rate * 2 ** 32)
        return ops.where(keep, x * (1 / (1 - self.rate)), 0.0)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), 'rate': self.rate}


def _mix(x: keras.KerasTensor) -> keras.KerasTensor:
    x = (x ^ ops.right_shift(x, 16)) * np.uint32(0x7FEB352D)
    x = (x ^ ops.right_shift(x, 15)) * np.uint32(0x846CA68B)
    return x ^ ops.right_shift(x, 16)


@keras.saving.register_keras_serializable(package='act')
class TransformerEncoder(keras.layers.Layer):
    """
    One post-norm encoder layer: (N, tokens, d) to the same shape.

    ``class_token_only`` gives what becomes of the first token alone, (N, 1, d): it still looks at
    all tokens, but no other asks anything. Nobody reads the others after the last layer, so there
    it is the same answer for less work. ``call(..., return_attention=True)`` computes all tokens
    even so and also gives the weights (N, heads, tokens, tokens).
    """

    def __init__(
        self, num_heads: int, dropout: float, class_token_only: bool = False, **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = dropout
        self.class_token_only = class_token_only

    def build(self, input_shape: tuple[int, ...]) -> None:
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(f'd_model {width} is not a multiple of {self.num_heads} heads')

        def built(layer: keras.layers.Layer, size: int = width) -> keras.layers.Layer:
            layer.build((None, size))
            return layer

        # Three kernels of (d, d) side by side: initialised as the three they are.
        limit = (6 / (2 * width)) ** 0.5
        self.qkv = built(keras.layers.Dense(
            3 * width, kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
            name='qkv'))
        self.project = built(keras.layers.Dense(width, name='project'))
        self.expand = built(keras.layers.Dense(4 * width, exact_gelu, name='expand'))
        self.contract = built(keras.layers.Dense(width, name='contract'), 4 * width)
        self.norm_attention = built(keras.layers.LayerNormalization(
            epsilon=LAYER_NORM_EPSILON, name='norm_attention'))
        self.norm_forward = built(keras.layers.LayerNormalization(
            epsilon=LAYER_NORM_EPSILON, name='norm_forward'))
        self.drop_attention = HashDropout(self.dropout)
        self.drop_forward = HashDropout(self.dropout)

    def call(
        self, tokens: keras.KerasTensor, training: bool | None = None,
        return_attention: bool = False,
    ) -> keras.KerasTensor | tuple[keras.KerasTensor, keras.KerasTensor]:
        queries = tokens[:, :1] if self.class_token_only and not return_attention else tokens
        is_exported = not isinstance(tokens.shape[1], int)  # for any T
        attend = self._attend_once if is_exported and self.num_heads == 1 else self._attend
        joined, attention = attend(queries, tokens)

        tokens = self.norm_attention(queries + self.drop_attention(joined, training=training))
        forward = by_rows(self.contract, by_rows(self.expand, tokens))
        tokens = self.norm_forward(tokens + self.drop_forward(forward, training=training))
        return (tokens, attention) if return_attention else tokens

    def _attend(
        self, queries: keras.KerasTensor, tokens: keras.KerasTensor,
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Return what queries (N, Q, d) take from tokens, and the weights (N, heads, Q, tokens)."""
        width = tokens.shape[-1]
        depth = width // self.num_heads
        if queries is tokens:
            qkv = by_rows(self.qkv, tokens)
            query_of, key_value = qkv[..., :width], qkv[..., width:]
        else:
            query_of = by_rows(self.qkv, queries, end=width)
            key_value = by_rows(self.qkv, tokens, begin=width)
        mixed, attention = [], []
        for start in range(0, width, depth):
            query = query_of[..., start:start + depth]
            key, value = (key_value[..., i:i + depth] for i in (start, width + start))
            scores = ops.matmul(query * depth ** -0.5, ops.transpose(key, (0, 2, 1)))
            attention.append(ops.softmax(scores, axis=-1))
            mixed.append(ops.matmul(attention[-1], value))
        joined = mixed[0] if self.num_heads == 1 else ops.concatenate(mixed, axis=-1)
        return by_rows(self.project, joined), ops.stack(attention, axis=1)

    def _attend_once(
        self, queries: keras.KerasTensor, tokens: keras.KerasTensor,
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """
        Do what `_attend` does with half the kernels, for one head and weights that are constants.

        (x Q) (y K)' is x (Q K') y', so the kernels of query and key become one; so do those of
        value and projection. The key's bias adds the same to all scores of a query: no change.
        """
        width, project = tokens.shape[-1], self.project.kernel
        query, key, value = (self.qkv.kernel[:, i:i + width] for i in (0, width, 2 * width))
        key = ops.transpose(key) * width ** -0.5
        asked = _rows(queries, ops.matmul(query, key), ops.matmul(self.qkv.bias[:width], key))
        attention = ops.softmax(ops.matmul(asked, ops.transpose(tokens, (0, 2, 1))), axis=-1)
        joined = _rows(
            ops.matmul(attention, tokens), ops.matmul(value, project),
            ops.matmul(self.qkv.bias[2 * width:], project) + self.project.bias)
        return joined, attention[:, None]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, length, width = input_shape
        return batch, 1 if self.class_token_only else length, width

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), 'num_heads': self.num_heads, 'dropout': self.dropout,
                'class_token_only': self.class_token_only}


def by_rows(
    layer: keras.layers.Dense, x: keras.KerasTensor, begin: int = 0, end: int | None = None,
) -> keras.KerasTensor:
    """
    Apply a Dense layer to (N, T, d) as one matrix product over all N * T rows.

    ``begin`` and ``end`` pick some of its units.
    """
    return layer.activation(_rows(x, layer.kernel[:, begin:end], layer.bias[begin:end]))


def _rows(
    x: keras.KerasTensor, kernel: keras.KerasTensor, bias: keras.KerasTensor,
) -> keras.KerasTensor:
    """Return x (N, T, d) times a kernel (d, e), plus a bias (e,)."""
    if not isinstance(x.shape[1], int):
        # Exported for any T: reshaping by a computed shape would cut the TFLite graph to pieces,
        # and only this becomes its operator for a Dense layer, bias included.
        return ops.einsum('ntd,de->nte', x, kernel) + bias
    rows = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), kernel) + bias
    return ops.reshape(rows, (-1, x.shape[1], kernel.shape[-1]))


def exact_gelu(x: keras.KerasTensor) -> keras.KerasTensor:
    """GELU by the error function, as in the paper's reference [49], not its tanh approximation."""
    return ops.gelu(x, approximate=False)


def build_act(
    size: ActSize, num_frames: int, num_features: int, num_classes: int, name: str,
    dropout: float | None = None,
) -> keras.Model:
    """Build an AcT: features (N, T, F) to logits (N, C). ``dropout`` overrides the size's own."""
    rate = size.dropout if dropout is None else dropout
    frames = keras.Input((None, num_features), name='features')
    tokens = keras.layers.Dense(size.d_model, name='projection')(frames)
    tokens = PatchClassEmbedding(num_frames, name='embedding')(tokens)
    for i in range(size.num_layers):
        tokens = TransformerEncoder(
            size.num_heads, rate, i == size.num_layers - 1, name=f'encoder_{i}')(tokens)
    hidden = keras.layers.Dense(size.mlp_head, name='head')(tokens[:, 0])
    logits = keras.layers.Dense(num_classes, name='logits')(hidden)
    return keras.Model(frames, logits, name=name)


def forward_with_attention(
    model: keras.Model, features: keras.KerasTensor,
) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
    """
    Run an AcT and keep its attention: logits (N, C), and per layer (N, heads, T + 1, T + 1).

    Row 0 is the class token's. Raises ValueError for a network that is no AcT.
    """
    tokens = model.get_layer('embedding')(model.get_layer('projection')(features))
    attention = []
    for layer in model.layers:
        if isinstance(layer, TransformerEncoder):
            tokens, weights = layer(tokens, training=False, return_attention=True)
            attention.append(weights)
    return model.get_layer('logits')(model.get_layer('head')(tokens[:, 0])), attention
