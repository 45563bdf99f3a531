"""Pickles of checkpoints read without running anything: unknown classes are refused, known ones become inert.

Only what a state dict is made of comes to life: dicts and tensors. What else a training script puts beside it
(argparse.Namespace, NumPy scalars, paths) becomes an Inert object that keeps and does nothing.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, ClassVar

import torch

DTYPES: dict[str, torch.dtype] = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
_BUILTINS = frozenset({"bool", "complex", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"})
_INERT_MODULES: dict[str, frozenset[str]] = {
    "argparse": frozenset({"Namespace"}),
    "_codecs": frozenset({"encode"}),
    **dict.fromkeys(("builtins", "__builtin__"), _BUILTINS),
    "collections": frozenset({"Counter", "defaultdict"}),
    "numpy": frozenset({"dtype", "ndarray", "float64", "float32", "int64", "bool_"}),
    "numpy.core.multiarray": frozenset({"scalar", "_reconstruct"}),
    "numpy._core.multiarray": frozenset({"scalar", "_reconstruct"}),
    "pathlib": frozenset({"Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath", "PureWindowsPath"}),
    "pathlib._local": frozenset({"Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath", "PureWindowsPath"}),
    "torch.torch_version": frozenset({"TorchVersion"}),
    "torch": frozenset({"Size", "device", *(str(dtype).removeprefix("torch.") for dtype in DTYPES.values())}),
}
_FOREIGN: dict[str, str] = {  # kinds of tensors that no layer has, by the name that torch.save writes
    **dict.fromkeys(("ComplexFloatStorage", "ComplexDoubleStorage"), "complex numbers"),
    **dict.fromkeys(("QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage"), "quantized tensors"),
    "_rebuild_qtensor": "quantized tensors",
    "_rebuild_sparse_tensor": "sparse tensors",
    "_rebuild_sparse_csr_tensor": "sparse tensors",
    "_rebuild_nested_tensor": "nested tensors",
    "_rebuild_meta_tensor_no_storage": "tensors of the meta device, which hold no values",
    "_rebuild_tensor_v3": "tensors of 8-bit floats or another rare type",
}
_TENSOR_MODULES = ("torch", "torch.storage", "torch._utils")
MAX_RANK = 64  # of a tensor, in torch
MAX_EXPANDED = 1 << 24  # elements of a tensor that repeats what it holds, as torch.expand makes it
MAX_OPCODES = 20_000_000  # of one pickle: an optimizer's state of a large model has some 100,000
MAX_KEY = 8  # entries of a tuple that is a key


class ForbiddenError(pickle.UnpicklingError):
    """A pickle asks for something that a checkpoint has no business with; `name` says what."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class ForeignError(pickle.UnpicklingError):
    """A pickle holds tensors of a kind that no layer has."""


class Inert:
    """Stands for an object of a training script: takes anything, keeps nothing."""

    def __init__(self, *_: object) -> None:
        """Forget the arguments."""

    def __setstate__(self, state: object) -> None:
        """Forget the state."""

    def __setitem__(self, key: object, value: object) -> None:
        """Forget the item."""

    def extend(self, items: object) -> None:
        """Forget the items."""

    append = add = update = extend


def _require_plain(key: object) -> None:
    """Raise UnpicklingError unless a key hashes at once; nested tuples take two to the depth."""
    for part in key if type(key) is tuple and len(key) <= MAX_KEY else (key,):
        plain = part is None or type(part) in (str, bytes, bool, float, Inert)
        if not plain and not (type(part) is int and abs(part) < 2**64):
            raise pickle.UnpicklingError(f"a key of type {type(key).__name__} that is neither text nor number")


class Dictionary(dict[Any, Any]):
    """collections.OrderedDict as a pickle may fill it: items only, no attributes."""

    def __init__(self, items: Iterable[tuple[object, object]] = ()) -> None:
        """Take the items, as Python 2 wrote them."""
        super().__init__()
        for key, value in items:
            _require_plain(key)
            self[key] = value

    def __setstate__(self, state: object) -> None:
        """Forget the attributes, `_metadata` among them."""


@dataclass(frozen=True)
class Storage:
    """Raw elements of a checkpoint, of one dtype."""

    dtype: torch.dtype
    data: bytearray


class Stored:
    """A tensor that was described, and is made once its storage was read."""

    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(self, storage: object, offset: object, shape: object, strides: object, *_: object) -> None:
        if not isinstance(storage, Storage):
            raise pickle.UnpicklingError("a tensor without storage")
        self.storage, self.offset = storage, _naturals((offset,))[0]
        self.shape, self.strides = _naturals(shape), _naturals(strides)

    def __setstate__(self, state: object) -> None:
        """Forget the attributes."""

    def tensor(self) -> torch.Tensor:
        """The tensor, its bounds checked. Raises UnpicklingError where it leaves its storage."""
        if len(self.shape) != len(self.strides):
            raise pickle.UnpicklingError("a tensor with more sizes than strides")
        if len(self.shape) > MAX_RANK or prod(max(n, 1) for n in self.shape) >= 2**48:
            raise pickle.UnpicklingError("a tensor of absurd shape")
        reach = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        held = len(self.storage.data) // self.storage.dtype.itemsize
        own = prod(n for n, stride in zip(self.shape, self.strides, strict=True) if stride)
        if prod(self.shape) and (self.offset + reach >= held or own > held):
            raise pickle.UnpicklingError("a tensor that leaves its storage")
        if prod(self.shape) > max(held, MAX_EXPANDED):
            raise pickle.UnpicklingError("a tensor expanded beyond measure")
        if not prod(self.shape):
            return torch.zeros(self.shape, dtype=self.storage.dtype)
        flat = torch.frombuffer(self.storage.data, dtype=self.storage.dtype)
        values = torch.as_strided(flat, self.shape, self.strides, self.offset)
        return values if own < prod(self.shape) else values.contiguous()  # many expanded ones would fill the memory


def _naturals(values: object) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or not all(type(n) is int and 0 <= n < 2**48 for n in values):
        raise pickle.UnpicklingError("sizes that are no natural numbers")
    return tuple(values)


def _parameter(data: object, *_: object) -> object:
    return data


_LIVE: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): Dictionary,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._utils", "_rebuild_tensor"): Stored,
    ("torch._utils", "_rebuild_tensor_v2"): Stored,
    ("torch.nn.parameter", "Parameter"): _parameter,
}


Opcode = Callable[[Any], None]


def _hashing(opcode: bytes, hashed: slice) -> tuple[int, Opcode]:
    """An opcode of the pickle machine that first looks at what it is going to hash: these places of the stack."""
    inherited: Opcode = pickle._Unpickler.dispatch[opcode[0]]

    def load(reader: Reader) -> None:
        for key in reader.stack[hashed]:
            _require_plain(key)
        inherited(reader)

    return opcode[0], load


class Reader(pickle._Unpickler):
    """An unpickler of state dicts. `storage` gives the elements of a persistent id: (dtype, key, elements).

    The machine is the one in Python, for the one in C hashes any key that it meets.
    """

    stack: list[Any]
    dispatch: ClassVar[dict[int, Opcode]] = {
        **pickle._Unpickler.dispatch,
        **dict(
            (
                _hashing(pickle.SETITEM, slice(-2, -1)),
                _hashing(pickle.SETITEMS, slice(None, None, 2)),
                _hashing(pickle.DICT, slice(None, None, 2)),
                _hashing(pickle.ADDITEMS, slice(None)),
                _hashing(pickle.FROZENSET, slice(None)),
            )
        ),
    }

    def __init__(self, data: bytes, storage: Callable[[torch.dtype, str, int], Storage]) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._storage = storage

    def find_class(self, module_name: str, global_name: str) -> Any:
        """One of the few known names. Raises ForeignError for kinds of tensors, ForbiddenError for every other."""
        if (module_name, global_name) in _LIVE:
            return _LIVE[module_name, global_name]
        if module_name in ("torch", "torch.storage") and global_name in DTYPES:
            return DTYPES[global_name]
        if global_name in _INERT_MODULES.get(module_name, ()):
            return Inert
        if module_name in _TENSOR_MODULES and global_name in _FOREIGN:
            raise ForeignError(f"{_FOREIGN[global_name]} ({module_name}.{global_name})")
        raise ForbiddenError(f"{module_name}.{global_name}")

    def persistent_load(self, pid: Any) -> Storage:
        """The storage that a tensor refers to. Raises UnpicklingError for anything else."""
        well_formed = isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"
        if not well_formed or not isinstance(pid[1], torch.dtype) or not isinstance(pid[2], str):
            raise pickle.UnpicklingError("an unknown persistent id")
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("a view of a storage, as torch before 0.4 wrote it")
        return self._storage(pid[1], pid[2], _naturals((pid[4],))[0])


def next_pickle(file: BinaryIO) -> bytes:
    """The bytes of the pickle that starts here, the file left behind it. Raises UnpicklingError where it is unsound.

    Looked through before it is loaded: lengths within the file, memo numbers no larger than the pickle.
    """
    start = file.tell()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            large = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > count
            if large or count > MAX_OPCODES:
                raise pickle.UnpicklingError("a pickle of absurd size")
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise pickle.UnpicklingError(str(error).splitlines()[0] if str(error) else "a damaged pickle") from None
    end = file.tell()
    file.seek(start)
    return file.read(end - start)
