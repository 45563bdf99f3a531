"""Geometry and colours of the figures."""

from __future__ import annotations

import base64
import struct
import zlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import api
from neurodeploy.report.page import chip, svg
from neurodeploy.report.page.graph import HEIGHT, VIEWS, WIDTH, block_of, draw
from tests.report.page_content import deployed
from tests.traced_graphs import FAMILIES, pictures


def pixels(uri: str) -> np.ndarray:
    """A PNG of filter 0, decoded."""
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    width, height, _, kind = struct.unpack(">IIBB", data[16:26])
    rest, packed = data[8:], b""
    while rest:
        (size,) = struct.unpack(">I", rest[:4])
        assert struct.unpack(">I", rest[8 + size : 12 + size])[0] == zlib.crc32(rest[4 : 8 + size])
        packed += rest[8 : 8 + size] if rest[4:8] == b"IDAT" else b""
        rest = rest[12 + size :]
    channels = {2: 3, 6: 4}[kind]
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * channels)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, channels)


@pytest.mark.parametrize("channels", [3, 4])
def test_png_holds_the_pixels(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    assert (pixels(svg.png(image)) == image).all()


def test_colours_run_from_the_first_anchor_to_the_last() -> None:
    assert [svg.colour(value) for value in (0.0, 1.0)] == ["#440154", "#fde725"]
    light = svg.colours(np.linspace(0, 1, 50)).astype(int) @ [299, 587, 114]
    assert (np.diff(light) >= 0).all()


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 28, 28), (28, 28)), ((3, 224, 224), (74, 74)), ((4, 2, 64, 48), (64, 48)), ((5, 9, 9), (9, 9))],
)
def test_pictures_use_the_whole_range(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    image = svg.picture(np.random.default_rng(1).normal(3, 2, shape).astype(np.float32))
    assert image.shape == (*size, 3)
    assert (image.min(), image.max()) == (0, 255)


def test_an_even_picture_is_no_division_by_zero() -> None:
    assert not svg.picture(np.full((1, 4, 4), 2, np.float32)).any()


@pytest.mark.parametrize(("shape", "size"), [((8, 30), (8, 30, 3)), ((30,), (1, 30, 3)), ((1, 8, 30), (8, 30, 3))])
def test_features_without_places_are_a_row_a_step(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    made = svg.picture(values)
    assert made.shape == size and made[0, 0, 0] == 0 and made[-1, -1, 0] == 255


def test_an_overlay_is_black_where_the_count_is_zero() -> None:
    image = pixels(svg.overlay(np.array([[0, 1], [2, 4]])))
    assert image[0, 0, :3].max() <= 4
    assert image[1, 1, :3].tolist() == [0xFC, 0xFF, 0xA4]
    assert set(image[..., 3].reshape(-1)) == {184}


def test_bits_are_odd_and_exact_at_powers() -> None:
    assert [svg.bits(v) for v in (0, 1, -1, 2**23 - 1, 1 - 2**23)] == [0, 1, -1, 23, -23]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_drawing_has_every_layer_once_and_no_box_on_another(family: str) -> None:
    graph = deployed(family).graph
    drawing = draw(graph, {node.name: 0.1 for node in graph.of("lif")})
    held = [layer for box in drawing.boxes for layer in box.layers]
    assert sorted(held) == sorted(node.name for node in graph.nodes if node.op not in VIEWS)
    for a, b in combinations(drawing.boxes, 2):
        assert abs(a.x - b.x) >= WIDTH or abs(a.y - b.y) >= HEIGHT, (a.name, b.name)
    assert all(0 <= box.x <= drawing.width - WIDTH and 0 <= box.y <= drawing.height - HEIGHT for box in drawing.boxes)


@pytest.mark.parametrize("family", FAMILIES)
def test_edges_lead_from_box_to_lower_box(family: str) -> None:
    graph = deployed(family).graph
    drawing = draw(graph, {})
    tops = {(round(box.x + WIDTH / 2), round(box.y)) for box in drawing.boxes}
    feet = {(x, y + HEIGHT) for x, y in tops}
    for path in drawing.edges:
        numbers = [float(n) for n in path.replace("M", " ").replace("C", " ").replace("V", " ").split()]
        assert tuple(numbers[:2]) in feet
        assert tuple(numbers[-2:]) in tops
        assert numbers[-1] > numbers[1]
    ends = {path.rpartition(" ")[0].rpartition(" ")[2] + path.rpartition(" ")[2] for path in drawing.edges}
    assert len(ends) >= len(drawing.boxes) - 1


def test_blocks_are_paths_up_to_the_last_index() -> None:
    names = ("stage1.0.tssa.q_lif", "patch_embed1.proj", "head", "block.3.mlp.fc1", "layers.0")
    assert [block_of(name) for name in names] == ["stage1.0", "patch_embed1", "", "block.3", "layers"]


@pytest.fixture(scope="module")
def bill() -> object:
    return deployed().map("loihi2", pictures(2))


def test_cores_are_those_of_the_placement(bill: object) -> None:
    placement, rates = bill.placement, bill.activity.rates  # type: ignore[attr-defined]
    limits = {resource.name: resource.limit for resource in bill.resources}  # type: ignore[attr-defined]
    cores = chip.cores_of(placement, chip.Mesh((8, 4), 4), limits, rates)
    fullest = max(r.fullest_share or 0 for r in bill.resources)  # type: ignore[attr-defined]
    assert len(cores) == placement.used_cores
    assert len({(core.chip, core.column, core.row) for core in cores}) == len(cores)
    assert max(core.fill for core in cores) == pytest.approx(fullest)
    placed = {tile.population for tiles in placement.cores for tile in tiles}
    assert sum(core.spikes or 0 for core in cores) == pytest.approx(sum(rates[name].sum() for name in placed))


def test_many_cores_become_an_image(bill: object, monkeypatch: pytest.MonkeyPatch) -> None:
    placement, mesh = bill.placement, chip.Mesh((8, 4), 4)  # type: ignore[attr-defined]
    cores = chip.cores_of(placement, mesh, {"neurons": 8192}, None)
    (squares,) = chip.heat_maps(cores, mesh)
    monkeypatch.setattr(chip, "MOST_SQUARES", 0)
    (image,) = chip.heat_maps(cores, mesh)
    drawn = pixels(image.chips[0].image)
    assert (image.columns, image.rows) == (16, 8) == drawn.shape[1::-1]
    for core, shade in squares.chips[0].squares:
        assert "#" + bytes(drawn[core.row, core.column][:3]).hex() == shade
    assert np.count_nonzero(drawn[..., 3]) == len(cores)


def test_a_network_without_coordinates_draws_no_cores() -> None:
    assert chip.heat_maps([], chip.Mesh()) == ()


def test_api_returns_text(tmp_path: Path) -> None:
    made = deployed().report(pictures(3), backends=("reference",), backend="reference", observed=2)
    assert isinstance(deployed(), api.CompiledModel)
    assert made.startswith("<!DOCTYPE html>") and made.endswith("</html>\n")
