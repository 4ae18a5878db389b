"""A camera's frames: by picamera2, which the Raspberry Pi's system brings, else by OpenCV."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIZE = (640, 480)


class CameraProblem(Exception):
    """There is no camera, or nothing that reads it."""


def frames(device: str) -> Iterator[NDArray[np.uint8]]:
    """The camera's frames, uint8 [H, W, 3] in RGB, until it ends.

    `device` is `pi` for the Raspberry Pi's own camera, or what OpenCV takes: a number, `/dev/video0`, or
    a file of film. Raises CameraProblem with a sentence.
    """
    return _of_the_pi() if device == "pi" else _by_opencv(device)


def _of_the_pi() -> Iterator[NDArray[np.uint8]]:
    try:
        picamera2 = importlib.import_module("picamera2")  # of the system alone: it is in no package index
    except ImportError as cause:
        raise CameraProblem(
            f"picamera2 is not installed ({cause}): sudo apt install python3-picamera2"
        ) from cause
    camera: Any = picamera2.Picamera2()
    # libcamera names the bytes from the highest down: what it calls BGR888 is RGB in memory
    camera.configure(camera.create_video_configuration(main={"format": "BGR888", "size": _SIZE}))
    camera.start()
    try:
        while True:
            yield np.asarray(camera.capture_array(), np.uint8)
    finally:
        camera.stop()


def _by_opencv(device: str) -> Iterator[NDArray[np.uint8]]:
    try:
        import cv2
    except ImportError as cause:
        fix = "python -m pip install opencv-python-headless"
        raise CameraProblem(f"OpenCV is not installed ({cause}): {fix}") from cause
    camera = cv2.VideoCapture(int(device)) if device.isdecimal() else cv2.VideoCapture(device)
    try:
        if not camera.isOpened():
            raise CameraProblem(f"{device} cannot be opened as a camera")
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, _SIZE[0])
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, _SIZE[1])
        while True:
            read, frame = camera.read()
            if not read:
                return
            yield np.ascontiguousarray(frame[:, :, ::-1], np.uint8)
    finally:
        camera.release()
