"""The page: templates filled with sections. Every text of a model passes through escaping; nothing is loaded."""

from __future__ import annotations

import re
from typing import Any

from neurodeploy.errors import EnvironmentMissingError, Finding, LimitExceededError
from neurodeploy.report.page import svg
from neurodeploy.report.page.activity import samples
from neurodeploy.report.page.content import Content
from neurodeploy.report.page.sections import sections
from neurodeploy.report.text import cell
from neurodeploy.version import __version__

MOST_BYTES = 5_000_000
# What HTML forbids, and what turns the direction of text and so hides what a name is.
FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def page(content: Content) -> str:
    """One HTML document that needs nothing else.

    The same content gives the same text. Raises EnvironmentMissingError without jinja2, LimitExceededError for a page
    beyond MOST_BYTES.
    """
    template = _environment().get_template("page.html.j2")
    shown = {"content": content, "sections": sections(content), "samples": samples(content), "version": __version__}
    made = str(template.render(shown)) + "\n"
    size = len(made.encode())
    if size > MOST_BYTES:
        need, have = f"a page of at most {MOST_BYTES:,} bytes", f"{size:,} bytes"
        raise LimitExceededError(Finding("ND-P011", "", need, have, "show fewer samples"))
    return made


def _environment() -> Any:
    try:
        import jinja2
    except ModuleNotFoundError as error:
        mend = "pip install 'neurodeploy[report]'"
        raise EnvironmentMissingError(Finding("ND-P010", "", "jinja2, for the page", str(error), mend)) from error
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("neurodeploy.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    made.filters.update(cell=cell, num=svg.number, colour=svg.colour, heat=_heat, capitalize_first=_capitalized)
    return made


def _heat(value: float) -> str:
    return svg.colour(value, svg.INFERNO)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _clean(value: Any) -> Any:
    """A text without what no page may hold; what a template has made stays as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", value)
    return value
