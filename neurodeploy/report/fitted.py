"""A table that stays readable: columns where these fit, with whole words and a few lines a cell, else a block a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

MOST_LINES = 6  # of a cell
LONGEST = 24  # characters of a word that is kept whole; names of layers are longer
FRAME = 3  # characters that a column takes beside its text


@dataclass(frozen=True)
class Fitted:
    """Rows of texts under columns; of numeric ones, which never break, the header ends in "#"."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        room = options.max_width - FRAME * len(self.columns) - 1
        widths = [self._least(i) for i in range(len(self.columns))]
        if sum(widths) <= room:
            yield self._table(self._widened(widths, room))
        else:
            yield from self._blocks()

    def _widened(self, widths: list[int], room: int) -> list[int]:
        """The widths with what is left of the room: for whole words first, then where cells take most lines."""
        named = self._named()
        for at, width in enumerate(widths):
            longest = max((len(word) for row in self.rows for word in row[at].split()), default=0)
            widths[at] += min(max(0, longest - width), room - sum(widths))
        wanted = [max([len(name), *(len(row[i]) for row in self.rows)]) for i, (name, _) in enumerate(named)]
        for _ in range(room - sum(widths)):
            at = max(range(len(widths)), key=lambda i: wanted[i] / max(1, widths[i]))
            if wanted[at] <= widths[at]:
                break
            widths[at] += 1
        return widths

    def _named(self) -> list[tuple[str, bool]]:
        """(header, whether it is numeric) of each column."""
        return [(column.rstrip("#").strip(), column.endswith("#")) for column in self.columns]

    def _least(self, at: int) -> int:
        """The characters that a column needs."""
        (header, numeric), cells = self._named()[at], [row[at] for row in self.rows]
        longest = max(map(len, cells), default=0)
        words = [len(word) for cell in cells for word in cell.split()]
        titles = max(map(len, header.split()), default=0)
        if numeric:  # a long one is a list
            return max(titles, longest if longest <= LONGEST else max(words))
        return max(titles, min(max(words, default=0), LONGEST), -(-longest // MOST_LINES))

    def _table(self, widths: Sequence[int]) -> Table:
        made = Table(header_style="bold", show_header=any(header for header, _ in self._named()))
        for (header, numeric), width in zip(self._named(), widths, strict=True):
            justify = "right" if numeric else "left"
            lines = "\n".join(wrap(header, max(1, width), break_long_words=False)) if numeric else header
            made.add_column(lines, justify=justify, overflow="fold", width=width)  # type: ignore[arg-type]
        for row in self.rows:
            made.add_row(*row)
        return made

    def _blocks(self) -> Iterator[RenderableType]:
        """The first cell of a row, and below it the others with their headers; what is not known is left out.

        A number is told with its header.
        """
        (title, numeric), *headers = self._named()
        for first, *others in self.rows:
            yield Text(f"{title} {first}" if numeric else first, style="bold")
            block = Table.grid(padding=(0, 2))
            for (header, _), value in zip(headers, others, strict=True):
                if value != "-":
                    block.add_row(Text(header), Text(value, overflow="fold"))
            yield Padding(block, (0, 0, 0, 2))
