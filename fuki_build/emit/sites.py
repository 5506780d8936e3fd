"""Where outputs are written from: what a format may ask for while it is previewed, and while it writes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from fuki_build.emit.keys import open_key, preview_key
from fuki_build.emit.outputs import Output
from fuki_build.emit.plan import Plan
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.outputs import OutputContext, PreviewContext
from fuki_build.hooks.signers import KeyPreview, SigningContext, SigningKey
from fuki_build.image.blob import Blob
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.reading import read_pieces
from fuki_build.recipe.text import find_template, render_template


class OutputSite(Struct, frozen=True, kw_only=True):
    """What all outputs of a command have: `directory`, that paths and templates are relative to, keys, and plugins."""

    host: PluginHost
    signing: SigningContext
    directory: Path
    template_directories: Sequence[Path]

    def preview_context(self, output: Output, uki: Layout, *, launches: bool) -> PreviewContext:
        """For `OutputFormat.preview`."""

        def find(name: str) -> None:
            find_template(name, self.template_directories, output.place("template"))

        def key(table: Mapping[str, Any], option: str) -> KeyPreview:
            return preview_key(table, self.host, self.signing, output.place(option))

        return PreviewContext(
            path=output.path,
            directory=self.directory,
            uki=uki,
            launches=launches,
            find_template=find,
            key=key,
        )

    def output_context(
        self, output: Output, open_file: Callable[[Path], OutputFile], templates: list[Path]
    ) -> OutputContext:
        """For `OutputFormat.emit`; the templates that it reads are added to `templates`."""

        def write(path: Path, data: bytes | Blob) -> None:
            file = open_file(path)
            for piece in read_pieces(data) if isinstance(data, Blob) else (data,):
                file.write(piece)

        def render(name: str, variables: Mapping[str, Any]) -> str:
            place = output.place("template")
            text, used = render_template(name, variables, self.template_directories, place)
            templates.extend(used)
            return text

        def key(table: Mapping[str, Any], option: str) -> SigningKey:
            return open_key(table, self.host, self.signing, output.place(option))

        return OutputContext(
            path=output.path,
            directory=self.directory,
            write=write,
            render=render,
            key=key,
            commands=self.signing.commands,
        )


def site_of(plan: Plan) -> OutputSite:
    """That of a recipe's outputs."""
    return OutputSite(
        host=plan.host,
        signing=plan.signing,
        directory=plan.loaded.directory,
        template_directories=plan.template_directories,
    )
