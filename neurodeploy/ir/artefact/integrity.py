"""The seal of an artefact: the file's last bytes are a metadata entry with the SHA-256 of all bytes before.

Protobuf reads a message in any order of its fields, so the sealed file is still one ONNX model, whose metadata holds
the digest. Nothing of a file is parsed before its seal holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import onnx

MAX_BYTES = 1 << 30  # of a file; protobuf itself ends at 2 GiB
MAX_STRUCTURE = 4 << 20  # bytes besides tensors, which a parser blows up into objects; thousands of layers
FIELD = 64  # bytes that a parser takes for a field, at least, whatever its content
DIGEST_KEY = "neurodeploy.sha256"


class Damaged(Exception):  # noqa: N818  (a verdict on bytes, turned into a Finding by the reader)
    """The bytes are not those that were sealed: what was needed, and what there is."""

    def __init__(self, need: str, have: str) -> None:
        super().__init__(f"needs {need}, has {have}")
        self.need, self.have = need, have


def _trailer(digest: str) -> bytes:
    entry = onnx.StringStringEntryProto(key=DIGEST_KEY, value=digest)
    encoded: bytes = onnx.ModelProto(metadata_props=[entry]).SerializeToString(deterministic=True)
    return encoded


_LENGTH = len(_trailer("0" * 64))
_PATTERN = re.compile(re.escape(_trailer("0" * 64)).replace(b"0" * 64, b"([0-9a-f]{64})"), re.DOTALL)


def seal(body: bytes) -> bytes:
    """The bytes with their digest behind them."""
    return body + _trailer(hashlib.sha256(body).hexdigest())


def unseal(data: bytes) -> memoryview:
    """The bytes that were sealed. Raises Damaged."""
    body, trailer = memoryview(data)[:-_LENGTH], data[-_LENGTH:]
    found = _PATTERN.fullmatch(trailer)
    if found is None:
        raise Damaged("a file that ends with neurodeploy's digest", "another end: cut short, damaged or foreign")
    digest = hashlib.sha256(body).hexdigest()
    if digest != found[1].decode():
        raise Damaged(f"SHA-256 {found[1].decode()}", f"{digest}: bytes have changed since the file was written")
    return body


_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers of ModelProto, GraphProto and TensorProto


def require_bounded(body: memoryview) -> None:
    """Raise Damaged unless parsing takes memory in proportion to the file.

    Protobuf objects take up to a hundred times the bytes of their encoding; raw tensor data takes as much as it has.
    """
    structure = 0
    for size in _structure(body, (_GRAPH, _INITIALIZER, _RAW_DATA)):
        structure += size
        if structure > MAX_STRUCTURE:
            raise Damaged(f"at most {MAX_STRUCTURE} bytes besides tensors", "more")


def _structure(message: memoryview, path: tuple[int, ...]) -> Iterator[int]:
    """Sizes of the pieces of an encoded message, without the fields that lie at a path of field numbers."""
    place = 0
    while place < len(message):
        start = place
        key, place = _varint(message, place)
        length, place = _length(message, key & 7, place)
        yield place - start + FIELD
        span = message[place : place + length]
        place += length
        if key >> 3 != path[0]:
            yield length
        elif len(path) > 1:
            yield from _structure(span, path[1:])


def _length(message: memoryview, wire: int, place: int) -> tuple[int, int]:
    """Length of a field's content, and where it starts; a number counts as part of the key."""
    if wire == 0:
        return 0, _varint(message, place)[1]
    length, place = _varint(message, place) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), place)
    if not 0 <= length <= len(message) - place:
        raise Damaged("a well-formed protobuf message", f"wire type {wire} at byte {place}")
    return length, place


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise Damaged("a well-formed protobuf message", f"a number without end at byte {place}")
