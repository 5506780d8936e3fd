"""The test kit for platforms: it passes what is right, and tells each thing that is wrong."""

from collections.abc import Collection, Sequence
from typing import ClassVar

import pytest

from fuki_build.builtin.platforms import Qemu
from fuki_build.errors import FukiError, RecipeError
from fuki_build.hardware.machine import Machine
from fuki_build.hooks import Platform
from fuki_build.testing import assert_platform, indistinguishable, listed_ids

Q35 = "817fca52-ae83-52f5-8642-9497f79d49d0"
I440FX = "a141acf9-eb8a-52b7-b7c8-e94b402a1590"
ANY_QEMU = "7f5dbe14-cfc8-595a-95fd-0fda870d7b52"
AZURE = {9: "6d4071db-0b8f-520b-806c-81e804431336", 3: "f6d11450-9814-5ca6-afc5-aa9f79eda934"}
"""Collected with the SMBIOS strings of these platforms, and not computed by fuki."""

MACHINE = Machine(
    name="Azure Gen2",
    manufacturer="Microsoft Corporation",
    product="Virtual Machine",
    family="Virtual Machine",
    sku="None",
    baseboard_manufacturer="Microsoft Corporation",
    baseboard_product="Virtual Machine",
)


class Cloud(Platform):
    """A platform that is as it should be.

    >>> Cloud().title
    'A cloud'
    """

    name = "cloud"
    title = "A cloud"
    chid_types = (9, 3)
    all: ClassVar[list[Machine]] = [MACHINE]

    def machines(self, selector: str | None = None) -> Sequence[Machine]:
        machines = [machine for machine in self.all if selector in (None, machine.name)]
        if not machines:
            raise RecipeError(f"there is no {selector!r}", hint="take another")
        return machines


def complaint(platform: Platform, expected=None, **options: Collection[str]) -> str:
    """What the kit says of a platform, without the heading."""
    with pytest.raises(AssertionError) as caught:
        assert_platform(platform, {"*": AZURE} if expected is None else expected, **options)
    heading, _, text = str(caught.value).partition("\n")
    assert heading == f"platform {platform.name!r} is not as it should be:"
    return text


def of(*machines: Machine) -> Platform:
    """`Cloud` with other machines."""
    cloud = Cloud()
    cloud.all = list(machines)  # type: ignore[misc]
    return cloud


def test_qemu_has_the_ids_that_were_seen_there():
    expected = {"QEMU q35": {9: Q35, 11: ANY_QEMU}, "QEMU i440fx": {9: I440FX, 11: ANY_QEMU}}
    assert_platform(Qemu(), expected, selectors=["q35", "i440fx"])


def test_a_platform_that_is_as_it_should_be_passes():
    assert_platform(Cloud(), {"Azure Gen2": AZURE}, selectors=["Azure Gen2"])


def test_an_id_that_differs_is_told_with_both():
    wrong = {9: Q35}
    assert complaint(Cloud(), {"*": wrong}) == f"- 'Azure Gen2' has {AZURE[9]} of type 9, expected is {Q35}"


def test_expected_ids_may_have_capitals():
    assert_platform(Cloud(), {"*": {9: AZURE[9].upper()}})


def test_a_machine_of_which_nothing_is_expected_is_told():
    assert complaint(Cloud(), {}) == "- no id of type 9 is expected of 'Azure Gen2'"


def test_the_id_of_the_type_that_is_listed_first_must_be_expected():
    assert complaint(Cloud(), {"*": {3: AZURE[3]}}) == "- no id of type 9 is expected of 'Azure Gen2'"


def test_ids_that_are_expected_of_no_machine_are_told():
    assert complaint(Cloud(), {"*": AZURE, "Azure Gen1": AZURE}) == "- there is no machine 'Azure Gen1'"


def test_ids_of_types_that_the_stub_never_tries_are_told():
    assert "the stub never tries that type" in complaint(Cloud(), {"*": AZURE | {14: Q35}})


def test_a_platform_without_machines_is_told():
    class Empty(Cloud):
        """No machines.

        >>> Cloud.name
        'cloud'
        """

        def machines(self, selector: str | None = None) -> Sequence[Machine]:
            if selector is None:
                return []
            return super().machines(selector)

    assert complaint(Empty(), {}) == "- it has no machines"


def test_two_machines_of_one_name_are_told():
    other = Machine(name="Azure Gen2", manufacturer="Microsoft Corporation", product="Virtual Machine", sku="1")
    assert "- 2 machines have the name 'Azure Gen2'" in complaint(of(MACHINE, other))


def test_spaces_around_a_string_are_told():
    text = complaint(
        of(Machine(name="m", manufacturer="Microsoft Corporation ", product="Virtual Machine")), {"m": AZURE}
    )
    assert "- 'm' has spaces around its manufacturer: 'Microsoft Corporation '" in text


def test_a_machine_without_manufacturer_is_told():
    assert "- 'm' has no manufacturer" in complaint(of(Machine(name="m", product="Virtual Machine")), {"m": AZURE})


def test_machines_that_the_stub_cannot_tell_apart_are_told():
    assert complaint(of(MACHINE, MACHINE.renamed("twin"))) == "- the stub cannot tell these apart: Azure Gen2, twin"


def test_machines_that_are_said_to_be_alike_may_be():
    assert_platform(of(MACHINE, MACHINE.renamed("twin")), {"*": AZURE}, alike=["Azure Gen2", "twin"])


@pytest.mark.parametrize(
    ("types", "text"),
    [
        ((), "it has no CHID types, so no machine could be listed"),
        ((9, 9), "a CHID type is named twice in (9, 9)"),
        ((9, 14), "the stub never tries CHID type 14"),
        ((9, 3, 8), "CHID type 8 is wider than 3, and comes behind it"),
    ],
)
def test_chid_types_that_cannot_work_are_told(types: tuple[int, ...], text: str):
    cloud = Cloud()
    cloud.chid_types = types  # type: ignore[assignment]
    assert complaint(cloud) == f"- {text}"


@pytest.mark.parametrize("name", ["", "a cloud", "a:b", "a/b"])
def test_a_name_that_no_recipe_can_write_is_told(name: str):
    cloud = Cloud()
    cloud.name = name  # type: ignore[misc]
    assert "cannot be written in a recipe" in complaint(cloud)


def test_a_selector_that_is_refused_is_told():
    assert complaint(Cloud(), selectors=["Azure*"]) == "- the selector 'Azure*' is refused: there is no 'Azure*'"


class Selecting(Cloud):
    """Selects as `answer` says.

    >>> Selecting.answer
    """

    answer: object = None

    def machines(self, selector: str | None = None) -> Sequence[Machine]:
        if selector is None or selector == "known":
            return super().machines()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (KeyError("x"), "an unknown selector raises KeyError, which is not a FukiError"),
        (FukiError("no"), "the error for an unknown selector has no hint"),
        ([], "an unknown selector is no error, and gives 0 machines"),
    ],
)
def test_an_unknown_selector_without_a_useful_error_is_told(answer: object, text: str):
    platform = Selecting()
    platform.answer = answer
    assert complaint(platform, selectors=["known"]) == f"- {text}"


@pytest.mark.parametrize("found", [[], [MACHINE.renamed("stranger")]])
def test_a_selector_that_gives_none_of_the_machines_is_told(found: list[Machine]):
    platform = Selecting()
    platform.answer = found
    assert "the selector 'other' does not give some of the platform's machines" in complaint(
        platform, selectors=["other"]
    )


def test_an_example_that_fails_is_told():
    class Wrong(Cloud):
        """An example that does not hold.

        >>> 6 * 7
        54
        """

    text = complaint(Wrong())
    assert "an example in the docstring of Wrong fails" in text
    assert "Got:\n    42" in text


def test_a_docstring_without_an_example_is_told():
    class Silent(Cloud):
        """Nothing to try."""

    assert complaint(Silent()) == "- the docstring of Silent has no example"


def test_all_that_is_wrong_is_told_at_once():
    cloud = Cloud()
    cloud.title = ""  # type: ignore[misc]
    assert len(complaint(cloud, {}).splitlines()) == 2


def test_machines_of_two_platforms_with_equal_strings_are_indistinguishable():
    assert indistinguishable(Cloud(), of(MACHINE.renamed("Hyper-V"))) == [("Azure Gen2", "Hyper-V")]


def test_other_strings_distinguish():
    assert indistinguishable(Cloud(), Qemu()) == []


def test_listed_ids_are_of_the_widest_type_that_is_not_ambiguous():
    assert listed_ids("qemu:q35") == {Q35: "QEMU q35"}


def test_an_unknown_platform_is_an_error_of_fuki():
    with pytest.raises(FukiError):
        listed_ids("nowhere")


def test_a_plugin_that_is_not_installed_is_an_error_of_fuki():
    with pytest.raises(FukiError):
        listed_ids("qemu", plugins=["no-such-plugin"])
