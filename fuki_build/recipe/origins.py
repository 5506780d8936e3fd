"""In which file and line the places of a recipe stand that is put together from several, for errors to name."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from fuki_build.errors import FukiError
from fuki_build.recipe.caller import Caller
from fuki_build.recipe.mkosi import ARRAYS, MkosiSection


class Origins(Struct):
    """Files and lines by place. `other` is the file of what has none; a recipe in TOML has nothing here."""

    lines: dict[str, str] = {}
    table_lines: dict[str, list[str]] = {}
    other: str | None = None

    def add_file(self, data: Mapping[str, Any], before: Mapping[str, Any], file: str) -> None:
        """Note a recipe whose tables were put behind those that were there `before`."""
        for key in ARRAYS:
            old, new = _tables(before.get(key, ())), _tables(data.get(key, ()))
            if len(new) > len(old):
                self.table_lines.setdefault(key, []).extend([file] * (len(new) - len(old)))

    def add_section(self, section: MkosiSection) -> None:
        self.lines.update(section.lines)
        for key, lines in section.table_lines.items():
            self.table_lines.setdefault(key, []).extend(lines)

    def beside(self, caller: Caller | None, data: Mapping[str, Any]) -> "Origins":
        """The origins where a caller's keys stand over those of the recipe, `data`, and its tables before them."""
        given = caller.tables if caller is not None else {}
        lines = {place: line for place, line in self.lines.items() if not _is_given(place, given)}
        for key, table_lines in self.table_lines.items():
            numbers = _numbers(key, _tables(given.get(key, ())), _tables(data.get(key, ())))
            lines |= {f"fuki.{key}[{n}]": line for n, line in zip(numbers, table_lines, strict=False)}
            if key == "sign" and len(numbers) == 1 and not given.get(key):
                lines[f"fuki.{key}"] = table_lines[0]
        return Origins(lines=lines, other=None if given else self.other)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Note file and line of an error's place."""
        try:
            yield
        except FukiError as error:
            error.origin = error.origin or self._of(error.where)
            raise

    def _of(self, where: str | None) -> str | None:
        if where is None or not (where == "fuki" or where.startswith("fuki.")):
            return None
        place = where
        while place:
            if place in self.lines:
                return self.lines[place]
            place = place[: max(place.rfind("."), place.rfind("["), 0)]
        return self.other


def _tables(data: Any) -> Sequence[Any]:  # noqa: ANN401 - recipe data
    return [data] if isinstance(data, dict) else data if isinstance(data, list | tuple) else ()


def _numbers(key: str, given: Sequence[Any], own: Sequence[Any]) -> list[int]:
    """Where the recipe's tables stand behind those of a caller; profiles of one id are one."""
    if key != "profile":
        return [len(given) + number for number in range(len(own))]

    ids = [table.get("id") for table in given]
    places: list[int] = []
    for table in own:
        id_ = table.get("id") if isinstance(table, dict) else None
        if id_ is not None and id_ in ids:
            places.append(ids.index(id_))
        else:
            places.append(len(ids))
            ids.append(id_)

    return places


def _is_given(place: str, given: Mapping[str, Any]) -> bool:
    """Whether a caller gives what stands at a place; its tables are added to those of the recipe."""
    _, key, *rest = place.split(".", 2)
    if key in ARRAYS or key not in given:
        return False
    if key in {"image", "variables"} and rest:
        return rest[0].strip('"') in given[key]
    return True
