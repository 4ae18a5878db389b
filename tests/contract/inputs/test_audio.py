"""Audio inputs: recordings in a folder become samples, as an app makes tensors of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from apps import cases

from edgepack.contract import AudioInput, Contract, Output, samples
from edgepack.contract.wav import read_wav
from edgepack.errors import SourceError

RATE = 8000


def _contract(length: int | str, hop: int | None = None) -> Contract:
    audio = AudioInput(kind="audio", sample_rate=RATE, shape=(1, length), hop=hop)
    return Contract(inputs=(audio,), outputs=(Output(),))


def _sound(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.random.default_rng(0).uniform(-1, 1, (count, 2))


@pytest.mark.parametrize(
    ("bits", "tag", "extensible"),
    [(8, 1, False), (16, 1, False), (24, 1, True), (32, 1, False), (32, 3, True)],
)
def test_a_recording_is_read_as_the_contract_says(
    tmp_path: Path, bits: int, tag: int, extensible: bool
) -> None:
    wanted = cases.wav(tmp_path / "a.wav", _sound(40), RATE, bits, tag=tag, extensible=extensible)
    np.testing.assert_array_equal(read_wav(tmp_path / "a.wav", RATE), wanted)


def test_windows_of_recordings_are_samples_with_the_label_of_their_file(tmp_path: Path) -> None:
    for name, count in (("yes", 40), ("no", 16)):
        (tmp_path / name).mkdir()
        sound = cases.wav(tmp_path / name / "a.wav", _sound(count), RATE, 16)
    (tmp_path / "yes" / "b.flac").write_bytes(b"")
    found = samples.load(str(tmp_path), _contract(16), with_labels=True)
    assert [row[0].shape for row in found.inputs] == [(1, 16)] * 4
    assert found.labels == (0, 1, 1, 1)
    assert found.origin == f"4 samples of 2 files of {tmp_path.name}/"
    np.testing.assert_array_equal(found.inputs[0][0][0], sound)
    assert not found.inputs[3][0][0, 8:].any(), "after the end there is silence"
    assert "1 .flac files" in found.left_out[0]


def test_a_call_has_old_samples_before_its_new_ones(tmp_path: Path) -> None:
    sound = cases.wav(tmp_path / "a.wav", _sound(400), RATE, 16)
    found = samples.load(str(tmp_path), _contract(24, hop=16), with_labels=False).inputs
    assert len(found) == 16, "of 25 calls"
    assert not found[0][0][0, :8].any()
    np.testing.assert_array_equal(found[0][0][0, 8:], sound[:16])
    np.testing.assert_array_equal(found[-1][0][0], sound[-24:])


def test_without_a_length_a_recording_is_one_sample(tmp_path: Path) -> None:
    sound = cases.wav(tmp_path / "a.wav", _sound(77), RATE, 16)
    (row,) = samples.load(str(tmp_path), _contract("time"), with_labels=False).inputs
    np.testing.assert_array_equal(row[0][0], sound)


def test_recordings_that_cannot_be_used(tmp_path: Path) -> None:
    cases.wav(tmp_path / "a.wav", _sound(40), 16000, 16)
    with pytest.raises(SourceError, match="it has 16000 samples a second, and the model takes 8000"):
        samples.load(str(tmp_path), _contract(16), with_labels=False)
    cases.wav(tmp_path / "a.wav", np.zeros((0, 1)), RATE, 16)
    with pytest.raises(SourceError, match="there is no sound in it"):
        samples.load(str(tmp_path), _contract(16), with_labels=False)
