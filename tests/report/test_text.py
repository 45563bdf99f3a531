"""Tables of the terminal: what fits into 80 columns, and thresholds of groups."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from neurodeploy.report import text

LAYER = "stage2.0.attention.proj_conv"


def shown(renderable: RenderableType, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    return stream.getvalue()


def test_rounding_names_the_thresholds_of_all_groups_and_fits() -> None:
    errors = {"clipped": 0.01, "spike_error": 0.02, "membrane_error": 1.5, "cumulative_error": 0.03}
    plain = {"kind": "conv", "layer": LAYER, "weight_bits": 4, "unit": 0.1, "vth": 10, **errors}
    split = {**plain, "layer": "split", "thresholds": [7, 10_500], "channels": [3, 5]}
    made = shown(text.rounding_brief({"choices": [plain]}))
    whole = shown(text.rounding_table({"choices": [split]}))
    assert "7 / 10,500" in whole and "clipped" in whole and "cumulative" in whole
    (row,) = (line for line in made.splitlines() if LAYER in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [LAYER, "4", "10", "2.00 %", "1.5", "3.00 %"]
    assert "compensated" in shown(text.rounding_table({"choices": [{**plain, "rounding": "compensated"}]}), 200)


def test_sensitivity_is_a_row_a_layer_in_80_columns() -> None:
    widths = {8: (100.0, 0.01234), 6: (98.4375, 0.02345), 4: (90.625, 0.1234), 3: (71.875, 0.2345), 2: (None, None)}
    losses = [
        {"layer": LAYER, "bits": bits, "agreement": agreement, "logit_error": error}
        for bits, (agreement, error) in widths.items()
    ]
    rows = [line for line in shown(text.sensitivity_table({"layers": losses})).splitlines() if LAYER in line]
    cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    assert cells == [
        [LAYER, "100", "98.44", "90.62", "71.88", "-"],
        [LAYER, "0.01234", "0.02345", "0.1234", "0.2345", "-"],
    ]
