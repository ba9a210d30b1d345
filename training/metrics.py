"""Measures of a classifier that may also answer "unknown"."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special
from scipy.optimize import minimize_scalar

from act_ros.evaluation.scores import BINS, calibration_error


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return probabilities (..., C)."""
    return special.softmax(logits / temperature, axis=-1)


def share_background(logits: np.ndarray, num_classes: int) -> np.ndarray:
    """
    Turn logits (..., C + 1), the last of which means "none of these", into logits (..., C).

    The background's probability is shared out among the classes: what is likely none of them
    gets a low confidence, and the order of the classes stays. Logits (..., C) are returned as
    they are.
    """
    if logits.shape[-1] == num_classes:
        return logits
    probabilities = softmax(logits)
    return np.log(np.maximum(
        probabilities[..., :-1] + probabilities[..., -1:] / num_classes, 1e-9))


def clip_mean(values: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """Average (M, C) over the windows of each clip (M,): the answer (N, C) for the clips."""
    total = np.zeros((int(clip.max()) + 1, values.shape[-1]))
    np.add.at(total, clip, values)
    return total / np.bincount(clip)[:, None]


def summary(label: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """
    Return accuracy, balanced accuracy, macro-F1 and ECE of known actions.

    Balanced accuracy is over the classes that occur, macro-F1 over those that occur or are
    answered.

    :param label: the true classes (N,).
    :param probabilities: of each class (N, C).
    """
    from sklearn.metrics import accuracy_score, f1_score, recall_score  # slow to import

    answer = probabilities.argmax(axis=-1)
    return {
        'accuracy': float(accuracy_score(label, answer)),
        'balanced_accuracy': float(recall_score(
            label, answer, labels=np.unique(label), average='macro')),
        'macro_f1': float(f1_score(label, answer, average='macro')),
        'ece': expected_calibration_error(label, probabilities)}


def expected_calibration_error(
    label: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None = None,
) -> float:
    """Return the mean gap between confidence and accuracy of probabilities (N, C)."""
    confidence = probabilities.max(axis=-1)
    weight = np.ones(len(label)) if weight is None else weight
    number = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return calibration_error(*(
        np.bincount(number, values, minlength=BINS)
        for values in (weight, weight * confidence,
                       weight * (probabilities.argmax(axis=-1) == label))))


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """
    Return the temperature that makes the labels (M,) most likely, given logits (M, C).

    Guo et al., "On calibration of modern neural networks", 2017.
    """
    def loss(log_temperature: float) -> float:
        logs = np.log(softmax(logits, np.exp(log_temperature)) + 1e-12)
        # One more clip of which every class is equally true: a few that are all answered rightly
        # would else call for no doubt at all.
        fit = logs[np.arange(len(label)), label].mean()
        return -float(fit * len(label) + logs.mean()) / (len(label) + 1)

    return _fit(loss)


def fit_confidence(logits: np.ndarray, label: np.ndarray, weight: np.ndarray) -> float:
    """
    Return the temperature that makes the confidence the chance of being right.

    :param logits: (M, C) of windows.
    :param label: (M,); whatever is answered to `UNKNOWN` (-1) is wrong.
    :param weight: (M,) how often each is met.
    """
    right = logits.argmax(axis=-1) == label

    def loss(log_temperature: float) -> float:
        confidence = softmax(logits, np.exp(log_temperature)).max(axis=-1).clip(1e-6, 1 - 1e-6)
        return -float(weight @ np.log(np.where(right, confidence, 1 - confidence)))

    return _fit(loss)


def _fit(loss: Callable[[float], float]) -> float:
    """Return the temperature whose logarithm has the least loss."""
    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method='bounded',
                            options={'xatol': 1e-8})
    return float(np.exp(found.x))


_LOST = 0.05  # share of known actions


def unknown_threshold(known: np.ndarray) -> float:
    """
    Return the confidence below which one of twenty ``known`` (N,) actions lies.

    One more is counted that was not recognised at all: a few clips would else set the threshold by
    the least sure of them, and reject whom they never saw for being a little less sure.
    """
    return min(float(np.quantile(np.append(known, 0.0), _LOST)), 0.99)
