"""Whatever an image is made of: taken apart and put together, it has the same bytes."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.image.image import Image, ImageKind
from fuki_build.image.image_parts import take_apart
from fuki_build.image.inspect import inspect
from fuki_build.image.plan import plan
from fuki_build.image.section import IMAGE_ORDER
from tests.support.images import Content, layout_of, write

CONTENTS = st.binary(min_size=1, max_size=5000)
NAMES = st.sampled_from([*IMAGE_ORDER, ".note", ".blob", ".pcrsig"])
SLICES = st.lists(st.lists(st.tuples(NAMES, CONTENTS), max_size=6), max_size=3)


@settings(max_examples=60, deadline=None)
@given(CONTENTS, SLICES, st.sampled_from(["stub-x64", "stub-257-x64", "stub-aa64"]))
def test_an_image_is_planned_to_the_bytes_that_it_has(kernel, slices, stub):
    sections: list[Content] = [(".linux", kernel, None)]
    for number, own in enumerate(slices):
        profile = None if number == 0 else number - 1
        head: list[Content] = [] if profile is None else [(".profile", b"ID=x", profile)]
        sections += [*head, *((name, data, profile) for name, data in own if (name, profile) != (".linux", None))]

    with tempfile.TemporaryDirectory() as directory:
        path = write(Path(directory) / "one.efi", layout_of(sections, stub))
        parts = take_apart(inspect(path))
        machine = CoffMachine(parts.stub.headers.coff.machine)
        again = Image(kind=ImageKind.UKI, name="again", machine=machine, stub=parts.stub, sections=parts.sections)
        other = write(Path(directory) / "two.efi", plan(again))
        assert other.read_bytes() == path.read_bytes()
