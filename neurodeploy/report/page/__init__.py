"""One self-contained HTML page about a compiled network: what it is, whether it is right, and what it does."""

from neurodeploy.report.page.chip import Mesh
from neurodeploy.report.page.content import Content
from neurodeploy.report.page.observe import Observer
from neurodeploy.report.page.render import page

__all__ = ["Content", "Mesh", "Observer", "page"]
