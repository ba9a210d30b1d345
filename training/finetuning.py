"""
Fine-tuning that does not forget: a network learns new actions and keeps those it knew.

A network that learns from a few people's new recordings alone drifts away from all it was trained
on. Four things hold it: the old network's answers count beside the labels, on whatever it is shown
(Li and Hoiem, "Learning without forgetting", https://arxiv.org/abs/1606.09282); the old layers
learn at a lower rate; where other sequence files are at hand, they are rehearsed; and in the end
a new action is answered only where it leads clearly: so clearly that next to nothing of the kept
actions is taken for it. Whether it helped is measured on people held back, before and after.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
from keras import ops

from act_ros.core.skeletons import get_layout, joint_sources
from training.augmentation import LAYOUT
from training.config import TrainConfig
from training.metrics import clip_mean, softmax
from training.networks import Network, load_network
from training.step import Teach

FALL = 0.05
"""A kept label whose recall falls by more than this is warned of."""
LEARNED = 0.85
"""A new label whose recall is less than this is warned of."""
LEAK = 0.03
"""
A new label takes at most this part of the windows of a kept label in any source: of people learned
from, who are known better than the people held back, on whom `FALL` is measured.
"""

Recalls = dict[str, dict[str, int]]
"""
By label: ``clips`` of people held back, and how many of them are known ``after``, and were
``before`` (not there for a new label).
"""


class OldNetwork:
    """
    The network that ``config.start_from`` names, and its answers in terms of the new labels.

    :raises ValueError: there is none, or it is another kind of network or reads other features.
    """

    def __init__(self, config: TrainConfig) -> None:
        path = config.start_from
        try:
            self.network = load_network(path)
        except ValueError as error:
            raise ValueError(f'start_from: {error}') from error
        have, want = (
            (kind, x.num_frames, x.frame_rate, x.normalisation, x.pose_smoothing)
            for kind, x in ((self.network.kind, self.network), (config.model, config)))
        if have != want:
            kind = '{} for {} frames at {} Hz, normalised as {}, smoothed by {} s'
            raise ValueError(f'start_from: {path} is {kind.format(*have)}, the configuration wants '
                             f'{kind.format(*want)}')
        _reorder(self.network)
        # The background comes last, and has no name that a label could have.
        known = [*self.network.labels, *[''] * self.network.background]
        wanted = [*config.labels, *[''] * config.background]
        self.labels = config.labels
        self.kept = [label for label in config.labels if label in known]
        self._pairs = [(known.index(x), i) for i, x in enumerate(wanted) if x in known]
        self._is_new = np.array([x not in known for x in wanted], np.float32)
        # What the new one does not know is none of its actions, or could be any.
        rest = np.eye(len(wanted))[-1] if config.background else np.full(
            len(wanted), 1 / len(wanted))
        self._meaning = np.array(
            [np.eye(len(wanted))[wanted.index(x)] if x in wanted else rest for x in known],
            np.float32)

    def transfer(self, model: keras.Model) -> None:
        """
        Fill a fresh model with the old weights; new classes keep their own.

        Everything below the last layer is taken as it is; of the last layer the classes that both
        know, by name.
        """
        old_layers, new_layers = self.network.model.layers, model.layers
        for old, new in zip(old_layers[:-1], new_layers[:-1], strict=True):
            # Copied by get_weights(): JAX would share the arrays, and a step deletes its own.
            new.set_weights(old.get_weights())
        kernel, bias = new_layers[-1].get_weights()
        old_kernel, old_bias = old_layers[-1].get_weights()
        for old_class, new_class in self._pairs:
            kernel[:, new_class], bias[new_class] = old_kernel[:, old_class], old_bias[old_class]
        new_layers[-1].set_weights([kernel, bias])

    def teacher(self, share: float) -> Teach:
        """Return what moves targets by ``share`` to the old answers, but for new actions."""
        def teach(features: keras.KerasTensor, target: keras.KerasTensor) -> keras.KerasTensor:
            answers = ops.softmax(self.network.model(features, training=False))
            is_new = ops.take(self._is_new, ops.argmax(target, axis=-1))[:, None]
            # Where every class is as likely, the window is of no action, and of no new one.
            is_new *= ops.cast(ops.max(target, axis=-1, keepdims=True) > ops.min(
                target, axis=-1, keepdims=True), 'float32')
            return target + share * (1 - is_new) * (ops.matmul(answers, self._meaning) - target)

        return teach

    def lead(self, group: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """
        Return by how much each new label (C,) must lead the kept ones to be answered; 0 for those.

        It is then the answer to no more than `LEAK` of each group of windows.

        :param group: of windows of kept labels (N,): those of one source that have one label.
        :param logits: the new network's (N, C), of which the last may be a background.
        """
        count = len(self.labels)
        is_new, logits = self._is_new[:count] > 0, logits[:, :count]
        ahead = logits - np.where(is_new, -np.inf, logits).max(axis=-1, keepdims=True)
        leads = [np.quantile(ahead[group == i], 1 - LEAK, axis=0) for i in np.unique(group)]
        return is_new * np.max([np.zeros(count), *leads], axis=0)

    def recalls(
        self, label: np.ndarray, clip: np.ndarray, features: np.ndarray, logits: np.ndarray,
    ) -> Recalls:
        """
        Compare this network with the new one on clips of people whom neither learned from.

        :param label: class (N,) of each clip.
        :param clip: the clip (M,) of each window of ``features`` (M, T, F), to which the new
            network answers ``logits`` (M, C).
        """
        before = clip_mean(self.network.probabilities(features), clip).argmax(axis=-1)
        after = clip_mean(softmax(logits), clip).argmax(axis=-1)
        found: Recalls = {}
        for number, name in enumerate(self.labels):
            if (mine := label == number).any():
                row = {'clips': mine, 'after': mine & (after == number)}
                if name in self.kept:
                    row['before'] = mine & (before == self.network.labels.index(name))
                found[name] = {key: int(clips.sum()) for key, clips in row.items()}
        return found


def _reorder(network: Network) -> None:
    """Let a network of another layout read `LAYOUT`: the same joints in another order."""
    wanted, have = get_layout(LAYOUT).joints, get_layout(network.layout).joints
    if have == wanted:
        return
    try:
        sources = joint_sources(network.layout, wanted)
    except ValueError:
        sources = ()
    if sorted(sources) != [(i,) for i in range(len(have))]:
        raise ValueError(f'start_from: the network reads the layout {network.layout!r}, whose '
                         f'joints are not those of {LAYOUT!r}')
    if not network.kind.startswith('act_'):
        raise ValueError(f'start_from: of {network.kind} the layout must be {LAYOUT!r}')
    kernel = network.model.get_layer('projection').kernel
    by_joint = kernel.numpy().reshape(len(have), kernel.shape[0] // len(have), -1)
    kernel.assign(by_joint[[i for (i,) in sources]].reshape(kernel.shape))


def together(parts: Iterable[Recalls]) -> Recalls:
    """Join what several networks of a run say, each of other people."""
    joined: Recalls = {}
    for part in parts:
        for name, row in part.items():
            mine = joined.setdefault(name, dict.fromkeys(row, 0))
            for key, count in row.items():
                mine[key] += count
    return joined


def as_table(recalls: Recalls) -> str:
    """Return recalls before and after, in percent, with a mark where a kept label falls."""
    lines = ['| label | clips held back | recall before | after |', '|---|--:|--:|--:|']
    fell = fallen(recalls)
    for name, row in recalls.items():
        before = f'{100 * row["before"] / row["clips"]:.0f}' if 'before' in row else 'new'
        lines.append(f'| {name} | {row["clips"]} | {before} | '
                     f'{100 * row["after"] / row["clips"]:.0f}{" (falls)" * (name in fell)} |')
    return '\n'.join(lines)


def fallen(recalls: Recalls) -> list[str]:
    """Return the kept labels that fell by more than `FALL`."""
    return [name for name, row in recalls.items()
            if 'before' in row and row['before'] - row['after'] > FALL * row['clips']]


def unlearned(recalls: Recalls) -> list[str]:
    """Return the new labels of which less than `LEARNED` is known."""
    return [name for name, row in recalls.items()
            if 'before' not in row and row['after'] < LEARNED * row['clips']]
