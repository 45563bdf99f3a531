"""How a network came through fine-tuning, as a table."""

from __future__ import annotations

from rich.console import Group

from neurodeploy.report.text import Document, percent, table


def finetuning_table(document: Document) -> Group:
    """Step, accuracy on the held-out samples and mean loss of every evaluation; the chosen one is marked."""
    rows = [
        (
            f"{entry['step']:.0f}",
            percent(entry["accuracy"]),
            f"{entry['loss']:.4f}" if "loss" in entry else None,
            "chosen" if entry["step"] == document["step"] else None,
        )
        for entry in document["history"]
    ]
    return table("Fine-tuning", ("step#", "held out#", "loss#", ""), rows)
