"""The held-out digits, the IDX reader, and the split that keeps both apart."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from examples.data import digits, fashion_mnist, held_out_mnist, mnist_idx
from neurodeploy.errors import InvalidFileError


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write unsigned bytes as a gzipped IDX file."""
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">u4").tobytes()
    path.with_suffix(".gz").write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), 1))


def write_set(folder: Path, images: np.ndarray, labels: np.ndarray, part: str = "train") -> Path:
    pixels = np.rint(images.reshape(-1, 28, 28) * 255)
    write_idx(folder / f"{part}-images-idx3-ubyte", pixels)
    write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def test_there_are_500_digits_a_class() -> None:
    images, labels = digits()
    assert (images.shape, images.dtype, labels.dtype) == ((5000, 1, 28, 28), np.float32, np.int64)
    assert (images.min(), images.max()) == (0, 1)
    assert np.bincount(labels).tolist() == [500] * 10


def test_held_out_digits_leave_the_training_set(tmp_path: Path) -> None:
    test = digits()
    extra = np.random.default_rng(1).integers(0, 256, (7, 1, 28, 28)) / 255
    order = np.random.default_rng(2).permutation(5007)
    images = np.concatenate([test.images, extra])[order]
    labels = np.concatenate([test.labels, np.arange(7)])[order]
    training, held_out = held_out_mnist(write_set(tmp_path, images, labels))
    assert sorted(training.labels) == list(range(7))
    np.testing.assert_array_equal(held_out.images, test.images)
    np.testing.assert_array_equal(training.images[np.argsort(training.labels)], extra.astype(np.float32))


def test_a_training_set_without_all_held_out_digits_is_refused(tmp_path: Path) -> None:
    test = digits()
    with pytest.raises(InvalidFileError, match="4999 of them"):
        held_out_mnist(write_set(tmp_path, test.images[1:], test.labels[1:]))


def test_a_digit_with_another_label_is_not_found(tmp_path: Path) -> None:
    test = digits()
    labels = test.labels.copy()
    labels[3] += 1
    with pytest.raises(InvalidFileError, match="4999 of them"):
        held_out_mnist(write_set(tmp_path, test.images, labels))


def test_fashion_mnist_is_read_from_the_same_format(tmp_path: Path) -> None:
    images = np.zeros((2, 28, 28))
    images[1, 2, 3] = 1.0
    split = fashion_mnist(write_set(tmp_path, images, np.array([9, 4]), part="t10k"))
    assert (split.images[1, 0, 2, 3], split.labels.tolist()) == (1.0, [9, 4])


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="train-images-idx3-ubyte"):
        mnist_idx(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "header", "short", "counts"])
def test_damaged_files_are_refused(tmp_path: Path, damage: str) -> None:
    write_set(tmp_path, np.zeros((3, 28, 28)), np.zeros(2 if damage == "counts" else 3))
    path = tmp_path / "train-images-idx3-ubyte.gz"
    packed = path.read_bytes()
    raw = gzip.decompress(packed)
    contents = {
        "truncated": packed[:-9],
        "flipped": packed[:20] + bytes([packed[20] ^ 0xFF]) + packed[21:],
        "header": gzip.compress(b"\x00\x00\x0d\x03" + raw[4:]),
        "short": gzip.compress(raw[:-1]),
        "counts": packed,
    }
    path.write_bytes(contents[damage])
    with pytest.raises(InvalidFileError):
        mnist_idx(tmp_path)
