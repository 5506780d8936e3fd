"""Errors meant for people: what is wrong, where, and what to do about it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self


class FukiError(Exception):
    """Something that a user can cause and mend.

    `where` is a place in the recipe (`fuki.firmware[1].path`) or a file; `hint` says what to do.
    `origin` is the file and line of that place, where a recipe is put together from several files; `cell` is the id of
    the matrix' cell that it is about.
    `exit_code` becomes the program's.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.origin: str | None = None
        self.cell: str | None = None

    @property
    def place(self) -> str | None:
        """Where it is, for people: cell, file and line, and the place in the recipe."""
        cell = f"cell {self.cell}" if self.cell else None
        return ": ".join(part for part in (cell, self.origin, self.where) if part) or None

    def at(self, where: str) -> Self:
        """Name the place, unless a deeper caller has already named one."""
        if self.where is None:
            self.where = where
        return self

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\nhint: {self.hint}" if self.hint else text


class FormatError(FukiError):
    """A file's bytes are not what its format asks for."""


class CheckError(FukiError):
    """The image would not do what its recipe promises; the findings say why."""

    def __init__(self, count: int, first: str) -> None:
        errors = "an error" if count == 1 else f"{count} errors"
        super().__init__(f"the checks found {errors}", hint=f"'fuki check --explain {first}' tells more")


class RecipeError(FukiError):
    """The recipe, or the command line, asks for something that cannot be done."""

    exit_code = 2


class MismatchError(FukiError):
    """What was verified is not what was expected."""

    exit_code = 3


class SigningError(FukiError):
    """A key or certificate cannot be used, or a signature could not be made."""

    exit_code = 4


class PluginError(FukiError):
    """A plugin is missing, broken or misbehaves; the message names its distribution and version."""

    exit_code = 5


class HookDeprecationWarning(DeprecationWarning):
    """A plugin uses what is going to be gone from the hooks; the text says since when, and what to use instead."""


@contextmanager
def located(where: str, *kinds: type[FukiError]) -> Iterator[None]:
    """Name the place of an error of these kinds, or of any, unless a deeper caller has already named one.

    It goes on as it is, with the cause that it had.
    """
    try:
        yield
    except FukiError as error:
        if isinstance(error, kinds or FukiError):
            error.at(where)
        raise


@contextmanager
def in_cell(cell: str | None) -> Iterator[None]:
    """Name the cell of a matrix that an error is about; None where there is no matrix."""
    try:
        yield
    except FukiError as error:
        error.cell = error.cell or cell
        raise


@contextmanager
def raised_as(
    kind: type[FukiError], where: str | None = None, *, of: type[FukiError] = FukiError, about: str | None = None
) -> Iterator[None]:
    """Turn an error of one kind (`of`) that passes through into another kind, which ends with another exit code.

    It keeps message, hint and origin, and has the first as its cause. `where` stands for the place that it had;
    `about`, such as a file, then comes before the message.
    """
    try:
        yield
    except of as error:
        message = error.message if about is None else f"{about}: {error.message}"
        other = kind(message, where=error.where if where is None else where, hint=error.hint)
        other.origin, other.cell = error.origin, error.cell
        raise other from error


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint with the nearest of the known names, None where none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only when something is wrong

    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else None
