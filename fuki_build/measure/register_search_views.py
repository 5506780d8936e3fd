"""What a search for a register's value found, as plain, typed values, and in words."""

from collections.abc import Iterator

from fuki_build.formats.documents import View
from fuki_build.measure.register_search import MAX_EXTENDS, RegisterMatch, RegisterSearch


class RegisterMatchView(View, frozen=True, kw_only=True):
    """A case that gives the value: `changes` are what is not as predicted; `phase` is the path of boot phases."""

    case: str
    changes: tuple[str, ...]
    phase: str | None


class RegisterSearchView(View, frozen=True, kw_only=True):
    """Which measurements give a register's value; none that was tried does where `matches` is empty.

    `cases` were predicted, and varied with `hashes` hashes; `complete` tells whether the limit of these sufficed.
    `note` says why the register cannot be predicted as it is, or is empty.
    """

    name: str
    bank: str
    expected: str
    matches: tuple[RegisterMatchView, ...]
    cases: int
    hashes: int
    complete: bool
    note: str


def register_search_view(name: str, bank: str, value: bytes, search: RegisterSearch, note: str) -> RegisterSearchView:
    return RegisterSearchView(
        name=name,
        bank=bank,
        expected=value.hex(),
        matches=tuple(map(_match, search.matches)),
        cases=search.sources,
        hashes=search.extends,
        complete=search.complete,
        note=note,
    )


def _match(match: RegisterMatch) -> RegisterMatchView:
    return RegisterMatchView(case=match.label, changes=match.changes, phase=":".join(match.phase) or None)


def register_in_words(view: RegisterSearchView, *, has_log: bool = False) -> Iterator[str]:
    """One line for each match, or why there is none; `has_log` tells whether an event log is looked at, too."""
    name = f"{view.name} ({view.bank})"
    for match in view.matches:
        phase = f", after {match.phase}" if match.phase else ""
        yield f"{name} is that of {', '.join((match.case, *match.changes))}{phase}"
    if view.matches:
        return

    if not view.cases:
        yield f"{name} cannot be searched for: {view.note or 'nothing is predicted of it'}"
        return
    yield f"{name} is given by none of {view.cases} cases, nor with one, two or three changes to their measurements"
    if not view.complete:
        yield f"{name} was searched for with the first {MAX_EXTENDS} hashes only: name fewer images, or a machine"
    if view.note:
        yield f"{name} has what cannot be predicted: {view.note}"
    if not has_log:
        yield f"{name} alone cannot tell which event is another one: an event log of the machine does"
