"""`fuki replay --policy`: real logs judged by policies that name digests, versions, variables and kinds of events."""

import json
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuki_build.cli.replay_policy import judge_by
from fuki_build.formats.tcg import event_data, event_log
from fuki_build.formats.tcg.event_log import TYPES, EventLog, LoggedEvent
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.recipe.log_policy_file import ReadLogPolicy, read_policy_file
from fuki_build.testing import invoke
from fuki_build.testing.documents import printed
from tests.formats.test_event_log import LOGS, record, spec_event

ON = LOGS / "secure-boot-on.log"
VARIABLES = """
[secure-boot]
state = "on"
pk = ["PK.esl"]
kek = ["KEK.esl"]
db = ["db.esl"]
dbx = ["dbx.esl"]
"""
IMAGE = (4, 9, 11, 12)


def named(log: EventLog, registers: tuple[int, ...] = (0, *IMAGE)) -> str:
    """[[events]] with every digest of these registers that firmware does not measure on every machine."""
    rows = [
        f'[[events]]\nregister = {event.register}\ndigest = "sha256:{event.digests["sha256"].hex()}"\n'
        for event in log.events
        if event.extends and event.register in registers and event.type_name not in ("EV_SEPARATOR", "EV_EFI_ACTION")
    ]
    return "".join(rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in (*LOGS.glob("*.esl"), ON, LOGS / "secure-boot-off.log"):
        shutil.copy(file, tmp_path)
    return tmp_path


def judged(folder: Path, policy: str, log: str = ON.name, code: int = 3) -> dict[str, Any]:
    (folder / "policy.toml").write_text(policy)
    return printed(folder, "replay", log, "--policy", "policy.toml", "--json", code=code)


def rulings(document: Mapping[str, Any], register: int, kind: str = "") -> list[str]:
    events = zip(document["events"], document["policy"]["events"], strict=True)
    return [r["ruling"] for e, r in events if e["register"] == register and e["type"].startswith(kind)]


WHOLE = 'tolerate = ["boot-variables", "configuration", "smbios", "tables"]\n' + VARIABLES


def test_a_log_of_which_everything_is_named_holds(folder: Path):
    document = judged(folder, WHOLE + named(event_log.decode(ON.read_bytes())), code=0)
    assert (document["policy"]["holds"], document["policy"]["missing"], document["policy"]["bank"]) == (
        True,
        [],
        "sha256",
    )
    assert set(rulings(document, 1)) == {"accepted", "tolerated"}
    assert set(rulings(document, 7)) == {"accepted"}


def test_an_empty_policy_accepts_nothing_but_what_every_machine_measures(folder: Path):
    document = judged(folder, "")
    accepted = {
        document["events"][judged["number"]]["type"]
        for judged in document["policy"]["events"]
        if judged["ruling"] == "accepted"
    }
    assert accepted == {"EV_SEPARATOR", "EV_EFI_ACTION"}
    assert all(bool(judged["remedy"]) is (judged["ruling"] == "refused") for judged in document["policy"]["events"])


def test_the_remedies_accept_what_was_refused(folder: Path):
    """Each digest that an empty policy's rulings offer for [[events]] is one that is accepted then."""
    remedies = [judged["remedy"] or "" for judged in judged(folder, "")["policy"]["events"]]
    tables = [text.partition("[[events]] with ")[2].split(" and ") for text in remedies if "[[events]] with" in text]
    assert len(tables) > 20
    document = judged(folder, "".join(f"[[events]]\n{register}\n{digest}\n" for register, digest in tables))
    assert set(rulings(document, 11)) == {"accepted"}


def test_secure_boot_that_is_off_is_refused_where_it_must_be_on(folder: Path):
    document = judged(folder, VARIABLES, "secure-boot-off.log")
    assert rulings(document, 7, "EV_EFI_VARIABLE")[0] == "refused"
    assert any("no accepted event is of SecureBoot" in text for text in document["policy"]["missing"])

    document = judged(folder, '[secure-boot]\nstate = "off"\n', "secure-boot-off.log")
    assert set(rulings(document, 7)) == {"accepted"}


def test_a_variable_with_more_than_is_named_is_refused_and_a_dbx_with_less(folder: Path):
    (folder / "db.esl").write_bytes((folder / "KEK.esl").read_bytes())
    (signatures,) = efi_signature_list.decode((folder / "dbx.esl").read_bytes())
    more = replace(signatures.signatures[0], data=bytes(32))
    longer = replace(signatures, signatures=(*signatures.signatures, more))
    (folder / "dbx.esl").write_bytes(efi_signature_list.encode([longer]))

    document = judged(folder, VARIABLES)
    because = {row["because"] for row in document["policy"]["events"] if row["ruling"] == "refused"}
    assert "1 of its 1 entries are not in secure-boot.db" in because
    assert "it lacks 1 of the 2 entries of secure-boot.dbx" in because
    assert "what vouches there (db) is not in secure-boot.db or secure-boot.authorities" in because


def test_certificates_name_what_lists_name(folder: Path):
    for name in ("PK", "KEK", "db"):
        (signatures,) = efi_signature_list.decode((folder / f"{name}.esl").read_bytes())
        (folder / f"{name}.esl").write_bytes(signatures.signatures[0].data)
    assert set(rulings(judged(folder, VARIABLES), 7)) == {"accepted"}


def test_firmware_that_is_named_has_to_be_in_the_log(folder: Path):
    document = judged(folder, '[firmware]\nversions = ["1.0"]\n')
    assert document["policy"]["missing"] == ["no event is of the firmware that [firmware] names"]
    document = judged(folder, '[firmware]\nversions = ["2026.08+ds-2"]\n')
    assert (document["policy"]["missing"], rulings(document, 0, "EV_S_CRTM")) == ([], ["accepted"])


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("[firmwar]\n", "policy.toml: firmwar: unknown key 'firmwar'\n  hint: did you mean 'firmware'?"),
        ("[programs]\nloader = []\n", "policy.toml: programs.loader: unknown key 'loader'"),
        ('tolerate = ["boot-variable"]\n', "policy.toml: tolerate[0]: there is no kind 'boot-variable'"),
        ('tolerate = ["boot-variable"]\n', "did you mean 'boot-variables'?"),
        ("[[events]]\nregister = 99\n", "policy.toml: events[0]"),
        ('[secure-boot]\nstate = "maybe"\n', "policy.toml: secure-boot.state: invalid enum value 'maybe'"),
        ('[firmware]\ndigests = ["sha256:12"]\n', "policy.toml: firmware.digests: 'sha256:12' is no digest"),
        ('bank = "md5"\n', "policy.toml: bank: there is no bank 'md5'"),
        ("tolerate =\n", "policy.toml: it is not valid TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_there(folder: Path, policy: str, words: str):
    (folder / "policy.toml").write_text(policy)
    outcome = invoke(folder, "replay", ON.name, "--policy", "policy.toml")
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.out == ""


def test_files_that_are_named_have_to_be_there(folder: Path):
    (folder / "policy.toml").write_text('[programs]\nloaders = ["shim.efi"]\n')
    outcome = invoke(folder, "replay", ON.name, "--policy", "policy.toml")
    assert outcome.code == 1
    assert "shim.efi" in outcome.err


def test_a_policy_names_its_images_itself(folder: Path):
    (folder / "policy.toml").write_text("")
    outcome = invoke(folder, "replay", ON.name, "--policy", "policy.toml", "--image", "x.efi")
    assert outcome.code == 2
    assert "a policy names the images itself" in outcome.err


def test_sha1_judges_only_where_the_policy_says_so(folder: Path):
    event = record(4, 4, {"sha1": bytes.fromhex("9069ca78e7450a285173431b3e52c5c25299e473")}, bytes(4))
    (folder / "old.log").write_bytes(spec_event({"sha1": 20}) + event)
    (folder / "policy.toml").write_text("")
    outcome = invoke(folder, "replay", "old.log", "--policy", "policy.toml")
    assert outcome.code == 3
    assert 'bank = "sha1" in the policy' in outcome.err
    assert judged(folder, 'bank = "sha1"\n', "old.log", code=0)["policy"]["bank"] == "sha1"


def test_a_log_without_the_bank_of_the_policy_is_refused(folder: Path):
    (folder / "policy.toml").write_text('bank = "sm3"\n')
    outcome = invoke(folder, "replay", ON.name, "--policy", "policy.toml")
    assert outcome.code == 3
    assert "the log has no bank sm3" in outcome.err


def test_a_cut_log_is_no_success_even_if_nothing_is_refused(folder: Path):
    data = ON.read_bytes()
    (folder / "cut.log").write_bytes(data[:-10])
    (folder / "policy.toml").write_text(WHOLE + named(event_log.decode(data)))
    outcome = invoke(folder, "replay", "cut.log", "--policy", "policy.toml", "--json")
    assert (outcome.code, json.loads(outcome.out)["policy"]["holds"]) == (3, True)
    assert "the log is damaged" in outcome.err


def test_the_log_of_a_confidential_guest_is_judged_by_its_own_registers(folder: Path):
    """The same events as a guest with RTMRs has them: UEFI 2.10, 38.4.1."""
    log = event_log.decode(ON.read_bytes())
    numbers = {0: 1, 1: 1, 7: 1, **dict.fromkeys(range(2, 7), 2), **dict.fromkeys(range(8, 16), 3)}
    events = b""
    for event in log.events[1:]:
        events += record(numbers[event.register], event.type, {"sha384": event.digests["sha384"]}, event.data)
    (folder / "ccel").write_bytes(spec_event({"sha384": 48}) + events)

    document = judged(folder, WHOLE + '[firmware]\nversions = ["2026.08+ds-2"]\n', "ccel")
    assert (document["kind"], document["policy"]["bank"], document["policy"]["missing"]) == ("cc", "sha384", [])
    refused = {
        (document["events"][row["number"]]["register"], document["events"][row["number"]]["type"])
        for row in document["policy"]["events"]
        if row["ruling"] == "refused"
    }
    assert refused == {
        (1, "EV_EFI_PLATFORM_FIRMWARE_BLOB"),
        (2, "EV_EFI_BOOT_SERVICES_APPLICATION"),
        (3, "EV_EVENT_TAG"),
        (3, "EV_IPL"),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[EventLog, ReadLogPolicy]:
    """A real log, and a policy by which it holds."""
    log = event_log.decode(ON.read_bytes())
    path = tmp_path_factory.mktemp("whole") / "policy.toml"
    path.write_text(WHOLE.replace('["', f'["{LOGS}/').replace(f"{LOGS}/boot-variables", "boot-variables") + named(log))
    return log, read_policy_file(path, log)


def with_event(log: EventLog, number: int, event: LoggedEvent) -> EventLog:
    return replace(log, events=(*log.events[:number], event, *log.events[number + 1 :]))


@given(st.data())
def test_an_event_with_another_digest_is_not_accepted(whole: tuple[EventLog, ReadLogPolicy], data: st.DataObject):
    log, policy = whole
    number = data.draw(st.integers(1, len(log.events) - 1))
    event = log.events[number]
    changed = replace(event, digests={**event.digests, "sha256": data.draw(st.binary(min_size=32, max_size=32))})

    view = judge_by(with_event(log, number, changed), policy, "policy.toml")
    before = judge_by(log, policy, "policy.toml").events[number].ruling
    assert view.events[number].ruling != "accepted"
    # What the data proves is refused then; what nothing proves is tolerated as before, whatever it is.
    assert view.holds is (before == "tolerated" and event_data.digest_is_of_data(event) is None)


@given(st.data())
def test_no_label_makes_a_strange_program_good(whole: tuple[EventLog, ReadLogPolicy], data: st.DataObject):
    """Type and data of an event are not measured: a log may say of a program what it likes."""
    log, policy = whole
    kind = data.draw(st.sampled_from([kind for kind in TYPES if kind != event_log.EV_NO_ACTION]))
    content = data.draw(st.sampled_from([event.data for event in log.events]) | st.binary(max_size=64))
    digest = sha256(b"a strange program").digest()
    for register in (4, 11):
        event = LoggedEvent(register, kind, dict.fromkeys(("sha256",), digest), content)
        view = judge_by(replace(log, events=(*log.events, event)), policy, "policy.toml")
        assert view.events[-1].ruling == "refused"
