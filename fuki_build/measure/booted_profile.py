"""The subject of a prediction: one profile of an image on one kind of machine."""

from functools import cached_property

from msgspec import Struct

from fuki_build.image.section import Section
from fuki_build.image.stub import StubModel
from fuki_build.measure.section_digests import SectionDigests


class BootedProfile(Struct, frozen=True, dict=True):
    """A profile of an image, with the firmware and devicetree that the machine selects.

    `measured` are the sections that the stub measures into PCR 11 there, in its order.
    """

    contents: SectionDigests
    profile: int | None
    measured: tuple[Section, ...]

    @property
    def model(self) -> StubModel:
        return self.contents.layout.model

    @cached_property
    def _sections(self) -> dict[str, Section]:
        first: dict[str, Section] = {}
        for section in self.contents.layout.effective(self.profile):
            first.setdefault(section.name, section)
        return {name: section for name, section in first.items() if section.content.size}

    def find(self, name: str) -> Section | None:
        """The section of that name that the stub uses: the first of the profile's own, or else of the base."""
        return self._sections.get(name)

    @cached_property
    def uname(self) -> bytes | None:
        section = self.find(".uname") if ".uname" not in self.model.unmeasured else None
        return self.contents.data(section).partition(b"\0")[0] if section else None
