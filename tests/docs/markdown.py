"""Tables in Markdown, for the parts of pages that the program itself tells."""

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([_line(head), f"|{'---|' * len(head)}", *(_line(row) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    plain = [cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells]
    return f"| {' | '.join(plain)} |"
