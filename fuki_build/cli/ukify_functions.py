"""The functions of ukify's that 60-ukify.install of kernel-install calls, once it has executed a drop-in's source text.

Each ends the process in one clear error, where it cannot do what it is asked for.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuki_build.cli.main import ended, prepare
from fuki_build.cli.render.findings import show_findings
from fuki_build.cli.render.plain import tell
from fuki_build.ukify.arguments import new_parser
from fuki_build.ukify.call import UkifyCall, call_of, configure
from fuki_build.ukify.options import OPTIONS
from fuki_build.ukify.run import as_call_errors, run_call


def create_parser() -> argparse.ArgumentParser:
    """The parser of the command line. Callers set attributes of what it parses."""
    prepare()
    return new_parser()


def apply_config(options: argparse.Namespace, filename: str | Path | None = None) -> None:
    """Put ukify.conf, or the file that was named, below the options."""
    options.settings = {}
    if filename is not None:
        options.config = filename

    def apply() -> None:
        for text in configure(options):
            _note(text)

    _end_if_failed(apply)


def finalize_options(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and set those that follow from others."""

    def finalize() -> None:
        vars(options).setdefault("settings", {})
        for option in OPTIONS:
            value = getattr(options, option.attribute)
            setattr(options, option.attribute, _as_text(value) if option.convert is str else value)
        call = call_of(options)
        options.verb, options.files = call.verb, list(call.files)

    _end_if_failed(finalize)


def check_inputs(options: argparse.Namespace) -> None:
    """Do nothing: an image's inputs are looked at when it is planned, before anything is written."""


def make_uki(options: argparse.Namespace) -> None:
    """Build the image, with what a partial recipe adds."""
    plugins = tuple(os.environ.get("FUKI_PLUGINS", "").split())
    drop_in = os.environ.get("FUKI_DROP_IN")
    call = UkifyCall(verb=options.verb, files=tuple(options.files), options=options)
    place = Path(drop_in) if drop_in else None
    _end_if_failed(lambda: run_call(call, plugins, _note, show_findings, place))


def _as_text(value: Any) -> Any:  # noqa: ANN401 - as the option has it
    """Paths as the text that a command line would have given."""
    if isinstance(value, list | tuple):
        return [_as_text(one) for one in value]
    return os.fspath(value) if isinstance(value, Path) else value


def _note(text: str) -> None:
    tell(f"ukify: {text}")


def _end_if_failed(call: Callable[[], object]) -> None:
    def run() -> None:
        with as_call_errors():
            call()

    code = ended(run)
    if code:
        raise SystemExit(code)
