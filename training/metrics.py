"""Measures of a classifier that may also answer "unknown"; numpy only."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return probabilities (..., C)."""
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return scaled / scaled.sum(axis=-1, keepdims=True)


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


def confusion_matrix(label: np.ndarray, answer: np.ndarray, num_classes: int) -> np.ndarray:
    """Return counts (C, C): true class by row, answer by column."""
    return np.bincount(label * num_classes + answer, minlength=num_classes ** 2).reshape(
        num_classes, num_classes)


def summary(label: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """
    Return accuracy, balanced accuracy, macro-F1 and ECE of known actions.

    Balanced accuracy is over the classes that occur, macro-F1 over those that occur or are
    answered.
    """
    answer = probabilities.argmax(axis=-1)
    matrix = confusion_matrix(label, answer, probabilities.shape[-1])
    hits, occurs, answered = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    recall = hits[occurs > 0] / occurs[occurs > 0]
    involved = occurs + answered > 0
    f1 = 2 * hits[involved] / (occurs + answered)[involved]
    return {
        'accuracy': float(hits.sum() / max(matrix.sum(), 1)),
        'balanced_accuracy': float(recall.mean()), 'macro_f1': float(f1.mean()),
        'ece': expected_calibration_error(label, probabilities)}


def expected_calibration_error(
    label: np.ndarray, probabilities: np.ndarray, bins: int = 15,
) -> float:
    """Return the mean gap between confidence and accuracy, over equal bins of confidence."""
    confidence = probabilities.max(axis=-1)
    hit = probabilities.argmax(axis=-1) == label
    number = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(number, hit - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(label), 1))


def fit_temperature(logits: np.ndarray, label: np.ndarray, clips: int | None = None) -> float:
    """
    Return the temperature that makes the labels (M,) most likely, given logits (M, C).

    :param clips: how many clips the M are windows of, if they are.

    Guo et al., "On calibration of modern neural networks", 2017.
    """
    count = len(label) if clips is None else clips

    def loss(log_temperature: float) -> float:
        logs = np.log(softmax(logits, np.exp(log_temperature)) + 1e-12)
        # One more clip of which every class is equally true: a few that are all answered rightly
        # would else call for no doubt at all.
        fit = logs[np.arange(len(label)), label].mean()
        return -float(fit * count + logs.mean()) / (count + 1)

    low, high = np.log(0.05), np.log(20.0)
    golden = (5 ** 0.5 - 1) / 2
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def unknown_threshold(known: np.ndarray, loss: float = 0.05) -> float:
    """
    Return the confidence below which the share ``loss`` of known actions lies.

    One more is counted that was not recognised at all: a few clips would else set the threshold by
    the least sure of them, and reject whom they never saw for being a little less sure.
    """
    return min(float(np.quantile(np.append(known, 0.0), loss)), 0.99)
