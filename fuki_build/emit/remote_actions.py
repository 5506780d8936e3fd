"""Cells as actions of the Remote Execution API, and a shell script for each by which trexe has it executed.

Only messages are made: the files of an input root stay where they are, and a client uploads them from there.
"""

import shlex
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct

from fuki_build.emit.hermetic import HermeticCell, HermeticInput
from fuki_build.errors import RecipeError
from fuki_build.formats.documents import Document, View
from fuki_build.formats.remote_execution import (
    RemoteBlobs,
    RemoteCommand,
    RemoteDigest,
    RemoteFile,
    add_action,
    add_input_root,
)

_SEPARATORS = {"--input-path": ":", "--platform-properties": ","}
"""What trexe splits a value at, for which it has no escape."""


class RemoteCell(View, frozen=True, kw_only=True):
    """A cell as an action; digests are `SHA256/SIZE`.

    `arguments` run in the input root with `environment` alone, on a worker with the `platform` properties. An action
    with another `salt` shares no result. `signs` tells whether the recipe signs what the action leaves unsigned.
    """

    id: str
    action: str
    command: str
    input_root: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    platform: Mapping[str, str]
    salt: str
    inputs: tuple[HermeticInput, ...]
    outputs: tuple[str, ...]
    signs: bool


class RemoteActionsDocument(Document, frozen=True):
    """Of `fuki export reapi`: each cell as an action."""

    cells: tuple[RemoteCell, ...]


class RemoteSetting(Struct, frozen=True, kw_only=True):
    """What is said of all actions: see `RemoteCell`."""

    environment: Mapping[str, str]
    platform: Mapping[str, str]
    salt: str


def remote_cell(cell: HermeticCell, setting: RemoteSetting, blobs: RemoteBlobs, *, signs: bool) -> RemoteCell:
    """A cell as an action, whose messages are added to `blobs`.

    Raises `RecipeError` for what no worker has: keys, what comes from elsewhere, files outside the current directory.
    """
    _refuse_needs(cell)
    inputs = tuple(HermeticInput(_inside(item.path), item.sha256, item.size) for item in cell.inputs)
    outputs = tuple(dict.fromkeys(_inside(output.path) for output in cell.outputs))
    files = {item.path: RemoteFile(RemoteDigest(item.sha256, item.size), _executable(item.path)) for item in inputs}
    root = add_input_root(blobs, files)

    message = RemoteCommand(
        arguments=cell.command, environment=setting.environment, outputs=outputs, platform=setting.platform
    )
    command = blobs.add(message.encode())
    action = add_action(blobs, command, root, setting.platform, setting.salt)
    return RemoteCell(
        id=cell.id,
        action=str(action),
        command=str(command),
        input_root=str(root),
        arguments=cell.command,
        environment=setting.environment,
        platform=setting.platform,
        salt=setting.salt,
        inputs=inputs,
        outputs=outputs,
        signs=signs,
    )


def trexe_script(cell: RemoteCell) -> str:
    """A script that runs where the inputs are, and hands its own options, such as --remote, to trexe."""
    options = [
        *(_option("--input-path", f"{item.path}:{item.path}", item.path) for item in cell.inputs),
        *(_option("--output-path", path) for path in cell.outputs),
        *(_option("--env", pair) for pair in _pairs(cell.environment)),
        *(_option("--platform-properties", pair, pair) for pair in _pairs(cell.platform)),
        _option("--salt", cell.salt),
    ]
    # Without --working-dir, trexe would name the input root ".", and have another action.
    lines = ['exec trexe --working-dir= "$@"', *options, shlex.join(cell.arguments)]
    head = f"#!/bin/sh\n# Action {cell.action}, to be run in the directory that its inputs are relative to.\n"
    return head + " \\\n    ".join(lines) + "\n"


def _pairs(values: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(values.items())]


def _option(name: str, value: str, whole: str = "") -> str:
    separator = _SEPARATORS.get(name)
    if separator is not None and separator in whole:
        raise RecipeError(f"trexe cannot be given {whole!r} with {name}", hint=f"let it have no {separator!r}")
    return shlex.quote(f"{name}={value}")


def _refuse_needs(cell: HermeticCell) -> None:
    for need in cell.needs:
        if need.kind == "key":
            hint = "build this output where the key is"
            raise RecipeError("an action never gets a key", where=need.name, hint=hint)
        if need.kind == "source":
            hint = "fetch it beforehand, and name the file with source = 'file'"
            raise RecipeError(f"the firmware {need.name} comes from a program or package", hint=hint)


def _inside(path: str) -> str:
    """A path in the input root, which stands for the current directory."""
    pure = PurePosixPath(path)
    if pure.is_absolute() and pure.is_relative_to(Path.cwd()):
        pure = pure.relative_to(Path.cwd())
    if pure.is_absolute() or ".." in pure.parts:
        hint = "run 'fuki export reapi' in a directory that has everything below it"
        raise RecipeError(f"{path} is outside of the directory that actions have as their input root", hint=hint)
    return str(pure)


def _executable(path: str) -> bool:
    return bool(Path(path).stat().st_mode & stat.S_IXUSR)


def script_names(cells: Sequence[RemoteCell]) -> list[str]:
    """A file name for each cell: its id, where letters that are none for files become `_`."""
    names: list[str] = []
    for cell in cells:
        name = "".join(c if c.isalnum() or c in "=,.-+" else "_" for c in cell.id)
        clash = sum(other.rpartition("~")[0] == name or other == name for other in names)
        names.append(f"{name}~{clash}" if clash else name)
    return [f"{name}.sh" for name in names]
