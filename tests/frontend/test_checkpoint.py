"""Checkpoints: both formats of torch.save, all wrappers, strict keys; and no code of a file is ever run."""

from __future__ import annotations

import argparse
import collections
import io
import os
import pathlib
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neurodeploy.errors import ExitCode, Finding, InvalidFileError
from neurodeploy.frontend import load_checkpoint

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "chain"])


def small(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        collections.OrderedDict(conv=nn.Conv2d(1, 4, 3), bn=nn.BatchNorm2d(4), head=nn.Linear(4, outputs))
    )


def saved(path: Path, content: Any, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def refusal(action: Callable[[], Any]) -> Finding:
    """The one finding of an invalid file."""
    with pytest.raises(InvalidFileError) as caught:
        action()
    assert caught.value.exit_code == ExitCode.INVALID_FILE
    (finding,) = caught.value.findings
    assert finding.need and finding.have and finding.next and finding.source
    return finding


def same(state: dict[str, torch.Tensor], model: nn.Module) -> bool:
    wanted = model.state_dict()
    return state.keys() == wanted.keys() and all(
        torch.equal(state[k], v) and state[k].dtype == v.dtype for k, v in wanted.items()
    )


@FORMATS
@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "net", "model_state_dict"])
def test_wrappers(tmp_path: Path, zipped: bool, wrapper: str | None) -> None:
    model = small()
    content = model.state_dict() if wrapper is None else {wrapper: model.state_dict(), "epoch": 3}
    assert same(load_checkpoint(saved(tmp_path / "c.pth", content, zipped)), model)


@FORMATS
def test_what_training_scripts_put_beside_it(tmp_path: Path, zipped: bool) -> None:
    model = small()
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": {},
        "args": argparse.Namespace(lr=1e-3, out=pathlib.Path("/tmp"), layers={1, 2}, dtype=torch.float16),
        "best": np.float64(98.5),
        "history": np.arange(3),
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "milestones": collections.Counter([30, 60]),
        "history by name": collections.defaultdict(list, loss=[0.5]),
        "torch": torch.__version__,
    }
    assert same(load_checkpoint(saved(tmp_path / "c.pth", content, zipped)), model)


@FORMATS
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes(tmp_path: Path, zipped: bool, prefix: str) -> None:
    model = small()
    content = {f"{prefix}{key}": value for key, value in model.state_dict().items()}
    assert same(load_checkpoint(saved(tmp_path / "c.pth", content, zipped)), model)


@FORMATS
def test_views_and_dtypes(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8)
    content = {"t": base.t(), "part": base[1:3, ::2], "empty": base[:0], "scalar": base[2, 3], "all": base}
    content |= {"expanded": torch.ones(1).expand(10), "rows": base[:1].expand(50, 6)}
    content |= {str(kind): base.to(kind) for kind in (*kinds, torch.uint8, torch.bool)}
    content["parameter"] = nn.Parameter(base)
    state = load_checkpoint(saved(tmp_path / "c.pth", content, zipped))
    assert all(torch.equal(state[key], value) and state[key].dtype == value.dtype for key, value in content.items())


class Hostile:
    """Pickles to a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def corpus(marker: Path) -> dict[str, Any]:
    """Objects that would make the marker file, or read or run something, if their pickle were obeyed."""
    touch = f"touch {marker}"
    return {
        "os.system": Hostile(os.system, touch),
        "eval": Hostile(eval, f"open({str(marker)!r}, 'w')"),
        "exec": Hostile(exec, f"open({str(marker)!r}, 'w')"),
        "open": Hostile(open, str(marker), "w"),
        "getattr": Hostile(getattr, "text", "format"),
        "import": Hostile(__import__, "os"),
        "subprocess": Hostile(subprocess.check_call, ["touch", str(marker)]),
        "torch.load": Hostile(torch.load, str(marker)),
        "torch.hub": Hostile(torch.hub.load, "owner/name", "model"),
        "numpy.load": Hostile(np.load, str(marker)),
        "codecs": Hostile(np.fromfile, str(marker)),
        "class of the user": Fraction,
        "a whole module": nn.Linear(1, 1),
    }


def positions(evil: Any) -> dict[str, Any]:
    """Where a hostile object may hide in a checkpoint."""
    good = {"w": torch.ones(2)}
    return {
        "alone": evil,
        "beside the weights": {"model": good, "args": evil},
        "among the weights": {**good, "evil": evil},
        "as a key": {"model": good, "x": {(evil,): 1}} if isinstance(evil, Hostile) else {"model": good, "x": [evil]},
        "deep inside": {"model": good, "args": argparse.Namespace(a=[{"b": (evil,)}])},
    }


@FORMATS
@pytest.mark.parametrize("case", corpus(Path("x")))
def test_hostile_pickles(tmp_path: Path, zipped: bool, case: str) -> None:
    marker = tmp_path / "marker"
    for place, content in positions(corpus(marker)[case]).items():
        file = saved(tmp_path / "evil.pth", content, zipped)
        finding = refusal(lambda file=file: load_checkpoint(file))
        assert finding.code == "ND-F103", place
        assert not marker.exists(), place


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_are_no_checkpoints(tmp_path: Path, protocol: int) -> None:
    file, marker = tmp_path / "evil.pkl", tmp_path / "marker"
    file.write_bytes(pickle.dumps({"w": Hostile(os.system, f"touch {marker}")}, protocol))
    assert refusal(lambda: load_checkpoint(file)).code in ("ND-F102", "ND-F103")
    assert not marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'touch marker'\ntR.",
        b"cos\nsystem\n(S'touch marker'\ntR.",
        b"(S'touch marker'\nios\nsystem\n.",
        b'c__builtin__\neval\n(S\'open("marker", "w")\'\ntR.',
        b"\x80\x04\x8c\x0bcollections\x8c\x20OrderedDict.__init__.__globals__\x93.",
        b"\x80\x04\x8c\x05torch\x8c\x09os.system\x93\x8c\x0ctouch marker\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_device_tensor_from_numpy\n)R.",
        b"\x80\x02ctorch.jit._script\nunpackage_script_module\n)R.",
    ],
)
def test_handwritten_pickles(tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of calls, old opcodes and dotted names that torch.save would not write."""
    monkeypatch.chdir(tmp_path)
    assert refusal(lambda: load_checkpoint(archive(tmp_path / "c.pth", data))).code == "ND-F103"
    assert not (tmp_path / "marker").exists()


def archive(path: Path, data: bytes, storage: bytes = b"\0" * 8, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", data)
        file.writestr("a/data/0", storage)
        for name, content in more.items():
            file.writestr(f"a/{name}", content)
    return path


def tensor_pickle(shape: tuple[int, ...], strides: tuple[int, ...], count: int, offset: int = 0) -> bytes:
    """A pickle of {"w": tensor} that describes its storage as it likes."""
    marker = object()

    class Writer(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", count) if obj is marker else None

    class Described:
        def __reduce__(self) -> Any:
            arguments = (marker, offset, shape, strides, False, collections.OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    buffer = io.BytesIO()
    Writer(buffer, 2).dump({"w": Described()})
    return buffer.getvalue()


def test_a_handwritten_archive_is_read(tmp_path: Path) -> None:
    state = load_checkpoint(archive(tmp_path / "c.pth", tensor_pickle((2,), (1,), 2)))
    assert torch.equal(state["w"], torch.zeros(2))


@pytest.mark.parametrize(
    "data",
    [
        tensor_pickle((3,), (1,), 3),
        tensor_pickle((2,), (1,), 2**40),
        tensor_pickle((2**25,), (0,), 2),
        tensor_pickle((2, 2**47), (0, 0), 2),
        tensor_pickle((3, 5), (1, 0), 3),
        tensor_pickle((2,), (5,), 2),
        tensor_pickle((2,), (1,), 2, offset=1),
        tensor_pickle((2,), (1,), 2, offset=-1),
        tensor_pickle((2,), (-1,), 2),
        tensor_pickle((2,), (1, 1), 2),
        tensor_pickle((1,) * 65, (1,) * 65, 2),
        tensor_pickle((1,) * 5000 + (0,), (1,) * 5001, 2),
        tensor_pickle((2**47, 2**47, 2**47, 0), (1, 1, 1, 1), 2),
        b"\x80\x02r\xff\xff\xff\x7f.",  # a memo number that would take gigabytes
        b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"x.",  # bytes that are not there
        b"\x80\x02(((((((.",
        b"\x80\x02]Qa.",
        b"not a pickle",
        b"",
    ],
)
def test_absurd_archives(tmp_path: Path, data: bytes) -> None:
    assert refusal(lambda: load_checkpoint(archive(tmp_path / "c.pth", data))).code == "ND-F102"


FOREIGN = {
    "complex numbers": lambda: torch.ones(2, dtype=torch.complex64),
    "sparse tensors": lambda: torch.ones(2, 2).to_sparse(),
    "the meta device": lambda: torch.ones(2, device="meta"),
    "quantized tensors": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "8-bit floats": lambda: torch.ones(2).to(torch.float8_e4m3fn),
}


@FORMATS
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", FOREIGN)
def test_tensors_that_no_layer_has_are_called_by_their_name(tmp_path: Path, zipped: bool, kind: str) -> None:
    file = saved(tmp_path / "c.pth", {"w": FOREIGN[kind]()}, zipped)
    finding = refusal(lambda: load_checkpoint(file))
    assert finding.code == "ND-F104"
    assert kind in finding.have


def test_torchscript_and_compressed_archives(tmp_path: Path) -> None:
    data = tensor_pickle((2,), (1,), 2)
    script = archive(tmp_path / "script.pt", data, **{"constants.pkl": b""})
    assert "TorchScript" in refusal(lambda: load_checkpoint(script)).have
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", b"\0" * 10**6)
    assert "compressed" in refusal(lambda: load_checkpoint(tmp_path / "bomb.pth")).have
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as file:
        file.writestr("readme", b"hello")
    assert "data.pkl" in refusal(lambda: load_checkpoint(tmp_path / "text.zip")).have


@FORMATS
def test_truncation_anywhere(tmp_path: Path, zipped: bool) -> None:
    whole = saved(tmp_path / "c.pth", small().state_dict(), zipped).read_bytes()
    cut = tmp_path / "cut.pth"
    for length in (*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1):
        cut.write_bytes(whole[:length])
        assert refusal(lambda: load_checkpoint(cut)).code == "ND-F102", length


def test_flipped_bits_are_found_in_archives(tmp_path: Path) -> None:
    """Each entry of the zip format has a checksum; what follows no entry's bytes may change."""
    model = small()
    whole = saved(tmp_path / "c.pth", model.state_dict()).read_bytes()
    flipped, found = tmp_path / "flipped.pth", 0
    for position in range(0, len(whole), 61):
        flipped.write_bytes(whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :])
        try:
            assert same(load_checkpoint(flipped), model), position
        except InvalidFileError:
            found += 1
    assert found


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello", b"\x80\x02", b"\x7fELF" * 100])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file.pth"
    file.write_bytes(content)
    assert refusal(lambda: load_checkpoint(file)).code == "ND-F102"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        assert refusal(lambda path=path: load_checkpoint(path)).code == "ND-F101"


def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    assert refusal(lambda: load_checkpoint(tmp_path / "pipe.pth")).code == "ND-F102"


@pytest.mark.parametrize(
    "content", [{}, [torch.ones(1)], torch.ones(1), {"epoch": 1}, {"model": {"w": [1]}}, {1: torch.ones(1)}]
)
def test_no_state_dict(tmp_path: Path, content: Any) -> None:
    file = saved(tmp_path / "c.pth", content)
    assert refusal(lambda: load_checkpoint(file)).code == "ND-F104"


def test_keys_that_are_no_text_are_not_printed(tmp_path: Path) -> None:
    finding = refusal(lambda: load_checkpoint(saved(tmp_path / "c.pth", {(1, "a"): torch.ones(1)})))
    assert (finding.code, finding.have) == ("ND-F104", "no tensors under a key of type tuple")


NESTED = b")" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(60))  # a pair of the pair before, 60 levels deep
KEYS = {  # opcodes that hash what a pickle gives them
    "SETITEM": b"}" + NESTED + b"Ns.",
    "SETITEMS": b"}(" + NESTED + b"Nu.",
    "DICT": b"(" + NESTED + b"Nd.",
    "ADDITEMS": b"\x8f(" + NESTED + b"\x90.",
    "FROZENSET": b"(" + NESTED + b"\x91.",
    "OrderedDict": b"ccollections\nOrderedDict\n]" + NESTED + b"N\x86a\x85R.",
    "a huge int": b"}\x8b\x00\x10\x00\x00" + b"\x01" * 4096 + b"Ns.",
}


@pytest.mark.parametrize("case", KEYS)
def test_keys_that_would_hash_for_ages_are_refused(tmp_path: Path, case: str) -> None:
    finding = refusal(lambda: load_checkpoint(archive(tmp_path / "c.pth", b"\x80\x04" + KEYS[case])))
    assert finding.code == "ND-F102"
    assert "a key of type" in finding.have


def test_keys_beside_the_weights(tmp_path: Path) -> None:
    history = {1: 0.5, (1, "loss"): 0.5, None: 1, 0.1: 2, False: 3, np.float64(1): 4}
    assert same(load_checkpoint(saved(tmp_path / "c.pth", {"model": small().state_dict(), "x": history})), small())


def test_python_2_wrote_ordered_dicts_as_lists(tmp_path: Path) -> None:
    listed = Hostile(collections.OrderedDict, [["w", torch.ones(2)]])
    assert load_checkpoint(saved(tmp_path / "c.pth", {"model": listed})).keys() == {"w"}


def test_a_dict_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    assert refusal(lambda: load_checkpoint(saved(tmp_path / "c.pth", content))).code == "ND-F104"
