"""HDF5 files through limits: what is no network is refused by name, and never read on."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from neurodeploy.errors import EnvironmentMissingError, InvalidFileError  # noqa: E402
from neurodeploy.lava_dl import load_netx  # noqa: E402
from neurodeploy.netx import container, unpack  # noqa: E402
from tests.netx.hostile import CORPUS, SMALL, Build, soft_link, wide  # noqa: E402

GOOD = Path(__file__).parent / "data" / "conv.net"


def test_a_file_of_slayer_comes_out_as_it_is() -> None:
    found = container.read(GOOD)
    with h5py.File(GOOD) as file:
        assert found.texts["/layer/0/type"] == "conv" and found.texts["/layer/0/neuron/type"] == "CUBA"
        assert found.groups >= {"/layer", "/layer/0", "/layer/0/neuron", "/layer/3"}
        for path, array in found.arrays.items():
            assert array.dtype == file[path].dtype and (array == file[path][()]).all()


@pytest.mark.parametrize(("build", "said"), CORPUS, ids=[build.__name__ for build, _ in CORPUS])
def test_what_is_hostile_is_named(build: Build, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.net"
    with h5py.File(path, "w") as file:
        file.create_group("layer/0")
        file.create_group("layer/1")
        build(file, tmp_path)
    reader = unpack.Reader()
    with h5py.File(path, "r") as file:
        reader.read(file)
    assert any(said in " ".join(problem) for problem in reader.problems), reader.problems


@pytest.mark.parametrize("build", [wide, *SMALL], ids=lambda build: build.__name__)
def test_a_small_file_takes_little_memory(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "x.net"
    with h5py.File(path, "w") as file:
        file.create_group("layer/0")
        file.create_group("layer/1")
        build(file, tmp_path)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(InvalidFileError, match=f"at most {unpack.MAX_VALUES:,}"):
            load_netx(path, 4)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_all_problems_are_told_at_once_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "x.net"
    with h5py.File(path, "w") as file:
        soft_link(file, tmp_path)
        file["layer/1/weight"] = h5py.ExternalLink("a", "/b")
    with pytest.raises(InvalidFileError) as caught:
        container.read(path)
    assert {f.code for f in caught.value.findings} == {"ND-L002"}
    assert sorted(f.layer for f in caught.value.findings) == ["/layer/0/weight", "/layer/1/weight"]
    assert all(f.source == str(path) and f.next for f in caught.value.findings)


def test_what_is_no_file_of_hdf5_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "x.net"
    for data in (b"", b"no HDF5", GOOD.read_bytes()[:2000], GOOD.read_bytes()[:8]):
        text.write_bytes(data)
        with pytest.raises(InvalidFileError, match=r"ND-L00[12]"):
            container.read(text)
    for path in (tmp_path, tmp_path / "gone", Path("/dev/null"), Path("a\0b")):
        with pytest.raises(InvalidFileError, match="ND-L001"):
            container.read(path)


def test_a_reader_that_dies_or_hangs_is_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "child.py"
    monkeypatch.setattr(unpack, "__file__", str(script))
    monkeypatch.setattr(container, "SECONDS", 1)
    ends = {
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "SIGSEGV",
        "import sys; sys.exit(7)": "exit code 7",
        "import time; time.sleep(60)": "more than 1 s",
        "print('nonsense')": "JSONDecodeError",
        "print('{}')": "KeyError",
    }
    for text, said in ends.items():
        script.write_text(text)
        with pytest.raises(InvalidFileError, match=said):
            container.read(GOOD)


@pytest.mark.parametrize("how", ["ImportError('hidden')", "ValueError('numpy.dtype size changed')"])
def test_an_h5py_that_cannot_be_imported_is_said(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "h5py.py").write_text(f"raise {how}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # of the child
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "h5py")
    for action in (lambda: container.read(GOOD), container.require_h5py):
        with pytest.raises(EnvironmentMissingError, match="ND-L011") as caught:
            action()
        assert "netx" in caught.value.findings[0].next and how[:5] in caught.value.findings[0].have


def test_the_child_has_limits() -> None:
    text = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); import unpack; unpack._limit(); a = bytearray(5 << 30)"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(Path(unpack.__file__).parent)], capture_output=True, check=False
    )
    assert b"MemoryError" in done.stderr


@pytest.mark.parametrize(("kind", "own"), [("-v", 3_000_000), ("-t", 30)])
def test_limits_that_are_lower_already_stay(kind: str, own: int) -> None:
    shell = f'ulimit {kind} {own} && exec "$0" "$1" "$2"'
    command = ["bash", "-c", shell, sys.executable, str(unpack.__file__), str(GOOD)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0 and not json.loads(done.stdout.partition(b"\n")[0])["problems"], done.stderr


@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    draw, data = np.random.default_rng(seed), bytearray(GOOD.read_bytes())
    for place in draw.integers(0, len(data), 1 + seed):
        data[place] ^= 1 << int(draw.integers(8))
    path = tmp_path / "x.net"
    path.write_bytes(bytes(data))
    try:
        assert container.read(path).arrays
    except InvalidFileError as error:
        assert all(f.code in ("ND-L001", "ND-L002") for f in error.findings)
