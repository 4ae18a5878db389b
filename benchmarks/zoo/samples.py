"""Synthetic samples with classes, so that a network's outputs differ from sample to sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.zoo.architecture import Feed

CLASSES = 10

Array = NDArray[Any]


def make(feeds: tuple[Feed, ...], count: int, seed: int) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """`count` samples of each input, [count, *shape], and their classes, int64 [count]."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, CLASSES, count)
    return {
        feed.name: np.stack([_sample(feed, int(each), random) for each in classes]) for feed in feeds
    }, classes


def _sample(feed: Feed, label: int, random: np.random.Generator) -> Array:
    if feed.content == "tokens":
        return _tokens(feed, label, random)
    if feed.content == "mask":
        return _mask(feed, random)
    if feed.content == "pictures":
        return _grating(feed.shape[-2:], label, random)[None]
    if feed.content == "frames":
        frames = [_grating(feed.shape[-2:], label, random) for _ in range(feed.shape[2])]
        return np.stack(frames, axis=1)[None]
    if feed.content == "tones":
        return _tone(feed.shape, label, random)
    return _spectrum(feed.shape, label, random)


def _grating(size: tuple[int, ...], label: int, random: np.random.Generator) -> Array:
    """An oriented grating with noise, [3, H, W]: the class is the orientation."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32) / max(size)
    angle = np.pi * label / CLASSES + random.normal(0, 0.05)
    phase = 2 * np.pi * random.uniform(4, 6) * (np.cos(angle) * columns + np.sin(angle) * rows)
    tint = random.uniform(0.8, 1.0, (3, 1, 1))
    picture = tint * np.sin(phase + random.uniform(0, 2 * np.pi)) + random.normal(0, 0.3, (3, *size))
    return np.asarray(picture, np.float32)


def _tone(shape: tuple[int, ...], label: int, random: np.random.Generator) -> Array:
    """A tone with noise: the class is the pitch."""
    time = np.arange(shape[-1])
    pitch = (0.01 + 0.03 * label) * random.uniform(0.97, 1.03)
    tone = random.uniform(0.3, 0.8) * np.sin(2 * np.pi * pitch * time + random.uniform(0, 2 * np.pi))
    return np.asarray(tone + random.normal(0, 0.05, shape), np.float32)


def _spectrum(shape: tuple[int, ...], label: int, random: np.random.Generator) -> Array:
    """Values with a bump whose place in the last dimension is the class."""
    place = (label + 0.5) / CLASSES * shape[-1]
    bump = 2 * np.exp(-((np.arange(shape[-1]) - place) ** 2) / (0.02 * shape[-1] ** 2 + 1))
    return np.asarray(bump + random.normal(0, 0.3, shape), np.float32)


def _tokens(feed: Feed, label: int, random: np.random.Generator) -> Array:
    """Token ids of which most are of one part of the vocabulary: the class."""
    part = feed.vocabulary // CLASSES
    found = random.integers(1, feed.vocabulary, feed.shape)
    own = random.random(feed.shape) < 0.6
    return np.where(own, random.integers(max(1, label * part), (label + 1) * part, feed.shape), found)


def _mask(feed: Feed, random: np.random.Generator) -> Array:
    length = int(random.integers(feed.shape[-1] // 2, feed.shape[-1] + 1))
    return np.broadcast_to(np.arange(feed.shape[-1]) < length, feed.shape).astype(np.int64)
