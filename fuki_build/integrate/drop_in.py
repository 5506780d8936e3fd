"""A program named ukify that calls fuki, with the library that it needs in a directory beside it."""

import filecmp
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from fuki_build.errors import RecipeError
from fuki_build.hooks.host import installed
from fuki_build.image.output_directory import make_directories, remove_directories
from fuki_build.integrate.wheels import RUNNING, Version, is_for_one_version, unpack_wheel
from fuki_build.recipe.text import template_directory

PROGRAM = "ukify"
LIBRARY = "lib"
_MARK = "written by 'fuki integrate'"
_HEAD = 1024
"""Bytes of a program in which the mark is looked for."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")

# What runs it may be older than what fuki needs, so it says so itself. It does nothing when its text is only executed,
# without a __file__: that is how 60-ukify.install of kernel-install comes by the functions behind main().
SOURCE = '''\
#!/usr/bin/env python3
"""Calls fuki in the place of ukify; written by 'fuki integrate'."""

import os
import sys


def use_library():
    directory = os.path.dirname(os.path.realpath(use_library.__code__.co_filename))
    if sys.version_info[:2] != {version}:
        this, needed = (".".join(map(str, v)) for v in (sys.version_info[:2], {version}))
        sys.exit(f"ukify: fuki's library is for Python {{needed}}; run 'fuki integrate' with --python={{this}}")
    sys.path.insert(0, os.path.join(directory, "{library}"))
    os.environ["FUKI_DROP_IN"] = os.path.join(directory, "{program}")
    sys.dont_write_bytecode = True


def main():
    use_library()
    from fuki_build.cli.main import serve

    serve(["ukify", *sys.argv[1:]])


def create_parser():
    use_library()
    from fuki_build.cli import ukify_functions

    return ukify_functions.create_parser()


def apply_config(options, filename=None):
    from fuki_build.cli import ukify_functions

    ukify_functions.apply_config(options, filename)


def finalize_options(options):
    from fuki_build.cli import ukify_functions

    ukify_functions.finalize_options(options)


def check_inputs(options):
    from fuki_build.cli import ukify_functions

    ukify_functions.check_inputs(options)


def make_uki(options):
    from fuki_build.cli import ukify_functions

    ukify_functions.make_uki(options)


if __name__ == "__main__":
    main()
'''


def write_drop_in(directory: Path, plugins: Iterable[str], version: Version = RUNNING) -> bool:
    """Write the program and its library for a version of Python, in place of what an earlier call wrote there.

    Returns whether anything changed; other files of the directory stay. Raises `FukiError`, and leaves alone what is
    there, also where an earlier call did not write it.
    """
    program, library = directory / PROGRAM, directory / LIBRARY
    refuse_others(directory)

    created = make_directories(directory)
    try:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=directory) as scratch:
            new = Path(scratch)
            _write(new, plugins, version)
            if _is_same(new, directory):
                return False

            # The program comes first: by it, the next call knows that a library without an end is fuki's.
            (new / PROGRAM).replace(program)
            if library.exists():
                library.rename(new / "old")
            (new / LIBRARY).rename(library)
            created.clear()
            return True
    finally:
        remove_directories(created)


def refuse_others(directory: Path) -> None:
    """Raise `RecipeError` where a program or a library is there that is not fuki's."""
    program, library = directory / PROGRAM, directory / LIBRARY
    present = next((path for path in (program, library) if path.is_symlink() or path.exists()), None)
    if present is None:
        return

    ours = False
    if present == program and program.is_file() and not program.is_symlink():
        with program.open("rb") as file:
            ours = _MARK.encode() in file.read(_HEAD)
    if not ours:
        hint = "name a directory for fuki's program alone"
        raise RecipeError(f"{present} is not fuki's, and would be written over", where="DIR", hint=hint)


def _write(directory: Path, plugins: Iterable[str], version: Version) -> None:
    library = directory / LIBRARY
    library.mkdir()

    for name in sorted(_distributions(plugins)):
        distribution = metadata.distribution(name)
        if version != RUNNING and is_for_one_version(distribution):
            unpack_wheel(distribution, version, library)
        else:
            _copy(distribution, library)

    # In a checkout the templates stand beside the package, and are not among its files.
    shutil.copytree(template_directory(), library / "fuki_build" / "templates", dirs_exist_ok=True)

    program = directory / PROGRAM
    program.write_text(SOURCE.format(version=version, library=LIBRARY, program=PROGRAM))
    program.chmod(0o755)


def _is_same(new: Path, old: Path) -> bool:
    """Whether both have the same program and library, byte for byte."""
    names = [_names(place) for place in (new, old)]
    return names[0] == names[1] and not any(filecmp.cmpfiles(new, old, names[0], shallow=False)[1:])


def _names(directory: Path) -> list[str]:
    paths = [directory / PROGRAM, *sorted((directory / LIBRARY).rglob("*"))]
    return [str(path.relative_to(directory)) for path in paths if path.is_file()]


def _distributions(plugins: Iterable[str]) -> set[str]:
    """The distributions that fuki and these plugins are made of, with all that they need."""
    points = installed()
    names = ["fuki-build"]
    for plugin in plugins:
        if plugin not in points:
            raise RecipeError(f"no plugin {plugin!r} is installed", where="fuki.plugins")
        names += [point.dist.name for point in points[plugin] if point.dist is not None]

    distributions: set[str] = set()
    while names:
        name = re.sub(r"[-_.]+", "-", names.pop()).lower()
        if name not in distributions:
            distributions.add(name)
            names += list(_requirements(name))

    return distributions


def _requirements(name: str) -> Iterator[str]:
    for text in metadata.requires(name) or ():
        requirement, _, marker = text.partition(";")
        match = _NAME.match(requirement)
        # What an extra or another Python wants is not installed, unless something else wants it, too.
        if match and "extra" not in marker and _is_installed(match[0]):
            yield match[0]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _copy(distribution: metadata.Distribution, library: Path) -> None:
    """The files of a distribution; of one that is installed from a checkout, its package."""
    packages = False
    for file in distribution.files or ():
        if ".." in file.parts or "__pycache__" in file.parts or file.suffix == ".pth":
            continue
        packages |= file.suffix == ".py" and not file.name.startswith("__editable__")
        target = library / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), target)

    if not packages:
        spec = find_spec(distribution.name.replace("-", "_"))
        for location in (spec.submodule_search_locations or ()) if spec else ():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(location, library / Path(location).name, ignore=ignored, dirs_exist_ok=True)
