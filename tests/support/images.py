"""Images made from sections, without a recipe: what a foreign tool might have made."""

from collections.abc import Sequence
from pathlib import Path

import parts

from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.image import Image, ImageKind
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.plan import plan
from fuki_build.image.section import Section
from fuki_build.image.stub import decode_stub

Content = tuple[str, bytes, int | None]
"""A section's name, content and profile."""


def layout_of(sections: Sequence[Content], stub: str | None = "stub-x64", kind: ImageKind = ImageKind.UKI) -> Layout:
    """A planned image on a real stub."""
    return plan(
        Image(
            kind=kind,
            name="image",
            machine=CoffMachine.x64,
            stub=decode_stub(parts.get(stub), parts.get(stub).read_bytes()) if stub else None,
            sections=tuple(
                Section(name=name, content=Blob.of_bytes(data), source="", profile=profile)
                for name, data, profile in sections
            ),
        )
    )


def write(path: Path, layout: Layout) -> Path:
    with OutputFile(path) as output:
        assemble(layout, [output])
        output.commit()
    return path
