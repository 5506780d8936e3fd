"""A booted guest's log, judged by a policy that names files only: its firmware and its image."""

from pathlib import Path
from typing import Any

import parts
import pytest
from fuki_qemu import session
from fuki_qemu.guest import Screen
from msgspec.structs import replace

from fuki_build import new_host
from fuki_build.cli.replay_policy import judge_by
from fuki_build.formats.tcg import event_log
from fuki_build.recipe.log_policy_file import read_policy_file
from fuki_build.testing import invoke
from fuki_build.testing.documents import printed
from tests.support.bootable import CMDLINE, build
from tests.support.rich import authenticode

OPTIONS = f"{CMDLINE} from=menu"
ADDON = '[[fuki.addon]]\nname = "more"\ncmdline = "from=addon"\n'
POLICY = """
tolerate = ["boot-variables", "configuration", "smbios", "tables"]
[firmware]
files = ["{firmware}"]
[programs]
images = ["other/boot.efi", "image/boot.efi"]
addons = ["image/boot.efi.extra.d/more.addon.efi"]
options = ["{options}"]
[secure-boot]
state = "off"
"""


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a guest as `log`, of an image with an addon and options; another image, and a policy with all."""
    directory = tmp_path_factory.mktemp("judged")
    image, firmware = build(directory / "image", ADDON), parts.get("ovmf-code")
    build(directory / "other", cmdline=f"{CMDLINE} other")

    request = session.BootRequest(
        image=image,
        addons=(directory / "image/boot.efi.extra.d/more.addon.efi",),
        options=OPTIONS,
        firmware=firmware,
        kvm=False,
        timeout=150,
        verify=True,
        screen=Screen.NONE,
    )
    guest = session.boot(request, new_host(), directory / "boot")
    assert guest.report is not None, guest.console[-2000:]
    assert guest.report.log is not None
    (directory / "log").write_bytes(guest.report.log)
    (directory / "policy.toml").write_text(POLICY.format(firmware=firmware, options=OPTIONS))
    return directory


def judged(directory: Path, code: int = 0) -> dict[str, Any]:
    return printed(directory, "replay", "log", "--policy", "policy.toml", "--json", code=code)["policy"]


def test_nothing_is_refused_of_what_the_files_account_for(booted: Path) -> None:
    view = judged(booted)
    assert (view["holds"], view["missing"], Path(view["image"]).parent.name) == (True, [], "image")
    assert {event["ruling"] for event in view["events"]} == {"accepted", "tolerated", "not judged"}


def test_a_changed_digest_is_never_accepted(booted: Path) -> None:
    log = event_log.decode((booted / "log").read_bytes())
    policy = read_policy_file(booted / "policy.toml", log)
    accepted = [event["number"] for event in judged(booted)["events"] if event["ruling"] == "accepted"]
    assert len(accepted) > 30

    for number in accepted:
        event = log.events[number]
        digest = bytes([event.digests["sha256"][0] ^ 1, *event.digests["sha256"][1:]])
        changed = replace(event, digests={**event.digests, "sha256": digest})
        events = (*log.events[:number], changed, *log.events[number + 1 :])
        view = judge_by(replace(log, events=events), policy, "policy.toml")
        assert (view.events[number].ruling, view.holds) == ("refused", False), event.type_name


@pytest.mark.parametrize(
    ("line", "refused", "words"),
    [
        ("options", [12, 9], {"programs.options"}),
        # Without the addon's file, its options may as well have come from the hypervisor.
        ("addons", [4, 12, 9], {"nothing in", "programs.smbios-options"}),
    ],
)
def test_what_others_add_is_refused_where_the_policy_does_not_name_it(
    booted: Path, line: str, refused: list[int], words: set[str]
) -> None:
    rows = [row for row in (booted / "policy.toml").read_text().splitlines() if not row.startswith(line)]
    (booted / "less.toml").write_text("\n".join(rows))
    document = printed(booted, "replay", "log", "--policy", "less.toml", "--json", code=3)
    rulings = [row for row in document["policy"]["events"] if row["ruling"] == "refused"]
    assert [document["events"][row["number"]]["register"] for row in rulings] == refused
    assert {
        next((word for word in words if row["because"].startswith(word)), row["because"]) for row in rulings
    } == words


def test_a_program_is_known_by_its_file_or_digest_alone(booted: Path) -> None:
    digest = f"sha256:{authenticode(booted / 'image/boot.efi')}"
    for line, because in (
        ('loaders = ["image/boot.efi"]', 'programs.loaders "image/boot.efi"'),
        (f'digests = ["{digest}"]', f'programs.digests "{digest}"'),
    ):
        (booted / "loader.toml").write_text(f"[programs]\n{line}\n")
        document = printed(booted, "replay", "log", "--policy", "loader.toml", "--json", code=3)
        assert [row["because"] for row in document["policy"]["events"]].count(because) == 1


def test_another_image_and_no_image_are_refused(booted: Path) -> None:
    text = (booted / "policy.toml").read_text()
    for images, missing in (
        ('"other/boot.efi"', ["none of programs.images was started: other/boot.efi"]),
        ("", []),
    ):
        start, _, rest = text.partition("images = [")
        (booted / "other.toml").write_text(f"{start}images = [{images}]{rest.partition(']')[2]}")
        document = printed(booted, "replay", "log", "--policy", "other.toml", "--json", code=3)
        refused = {document["events"][e["number"]]["register"] for e in document["policy"]["events"] if e["remedy"]}
        assert {4, 11} <= refused
        assert document["policy"]["missing"] == missing


def test_a_firmware_of_another_build_is_refused(booted: Path) -> None:
    text = (booted / "policy.toml").read_text().replace(str(parts.get("ovmf-code")), str(parts.get("ovmf-2025")))
    (booted / "older.toml").write_text(text)
    outcome = invoke(booted, "replay", "log", "--policy", "older.toml")
    assert outcome.code == 3
    assert "missing: no event is of the firmware that [firmware] names" in outcome.out
