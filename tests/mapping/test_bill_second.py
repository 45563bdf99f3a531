"""Another simulator's figures beside the bill's: units, steps a sample, absent numbers, ratios."""

from __future__ import annotations

from typing import Any

from neurodeploy.mapping.bill_figures import Figure, counted, missing
from neurodeploy.mapping.bill_second import SecondOpinion, second_opinion

STEPS = 4


def result(**values: float | None) -> dict[str, Any]:
    """sanafe.json with figures of these names."""
    figures = [
        {"name": name.replace("_", " "), "value": value, "unit": "u", "status": "paper" if value else "absent"}
        for name, value in values.items()
    ]
    return {
        "simulator": "sanafe 2.2",
        "samples": 2,
        "identity": {"images": "abc"},
        "figures": figures,
        "host": {"changed": {"lif": 1}, "of": {"lif": 4, "sum": 0}},
    }


def opinion(
    sections: dict[str, tuple[Figure, ...]], images: str | None = "abc", **values: float | None
) -> SecondOpinion:
    return second_opinion(sections, result(**values), STEPS, {"images": images, "cores": None})


def test_what_is_a_step_here_is_a_sample_there() -> None:
    sections = {"traffic": (counted("synaptic events a step", 10.0, "events/step", "counted"),)}
    (row,) = opinion(sections, synaptic_events=50.0).rows
    assert (row.ours, row.theirs, row.ratio, row.ours_status) == (40.0, 50.0, 1.25, "counted")


def test_messages_are_those_of_the_cores_and_of_the_host() -> None:
    found = [counted(name, value, "m", "") for name, value in (("messages", 3.0), ("messages from the host", 2.0))]
    assert opinion({"traffic": tuple(found)}, messages_sent=20.0).rows[0].ratio == 1
    alone = opinion({"traffic": (found[0],)}, messages_sent=20.0).rows[0]
    assert (alone.ours, alone.ratio, alone.ours_status) == (None, None, "absent")


def test_energy_is_the_sum_of_the_parts_that_both_have() -> None:
    parts = tuple(Figure(name, 1.0, "uJ", "paper", "") for name in ("synapses", "neurons", "messages", "static"))
    assert opinion({"energy": parts}, energy_a_sample=6.0).rows[0].ratio == 2
    gone = (*parts[:2], missing("messages", "uJ", "", ("energy.hop_x",)))
    assert opinion({"energy": gone}, energy_a_sample=6.0).rows[0].ours is None


def test_time_of_a_sample_is_that_of_the_throughput() -> None:
    sections = {"pipeline": (counted("throughput in time", 500.0, "samples/s", ""),)}
    assert opinion(sections, time_a_sample=4.0).rows[0].ratio == 2


def test_what_one_has_not_has_no_ratio() -> None:
    sections = {"energy": (counted("synapses", 1.0, "uJ", ""),)}
    assert opinion(sections, synapses=None).rows[0].ratio is None
    assert opinion({}, synapses=1.0).rows[0].ours is None
    assert opinion(sections, unknown=1.0).rows == ()


def test_images_and_the_help_of_the_host_are_told() -> None:
    assert (
        opinion({}).same_images and not opinion({}, images=None).same_images and not opinion({}, images="b").same_images
    )
    assert opinion({}).host == {"lif": 0.25}
