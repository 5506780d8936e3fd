"""`fuki export reapi`: what the actions say; tests/peers/test_remote_execution.py has them executed."""

import base64
import hashlib
import json
import shlex
import subprocess

import pytest

from fuki_build.testing import invoke, refused, succeed
from tests.conftest import RECIPE
from tests.support.workshop import workshop_recipe

AXES = '[fuki.matrix]\ncloud = ["aws", "gcp"]\n'
MATRIX = RECIPE + AXES
KEYS = (
    '[fuki.sign]\nbackend = "local"\nkey = "secret/db.key"\ncertificate = "db.crt"\n'
    '[[fuki.pcr-policy]]\nbackend = "local"\nkey = "secret/pcr.key"\npublic-key = "pcr.pub"\n'
)


@pytest.fixture(autouse=True)
def recipe(workshop):
    (workshop / "fuki.toml").write_text(MATRIX)


def exported(directory, *arguments: str):
    return json.loads(succeed(directory, "export", "reapi", "--json", *arguments).out)["cells"]


def files(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


class TestActions:
    def test_blobs_stand_under_their_digests_and_a_script_hands_the_action_to_trexe(self, workshop):
        cells = exported(workshop, "--fuki", "/opt/fuki", "--platform", "arch=x64", "--env", "A=1", "--set", "a=b")
        written = files(workshop / "reapi")
        assert json.loads(written["actions.json"])["cells"] == cells
        for name, content in written.items():
            if name.startswith("blobs/"):
                assert name == f"blobs/{hashlib.sha256(content).hexdigest()}"
        for cell in cells:
            for digest in (cell["action"], cell["command"], cell["input-root"]):
                hash_, _, size = digest.partition("/")
                assert len(written[f"blobs/{hash_}"]) == int(size)
            # One input root for both, with all inputs.
            assert cell["input-root"] == cells[0]["input-root"]

        words = shlex.split(written["cloud=gcp.sh"].decode(), comments=True)
        start = words.index("/opt/fuki")
        assert words[start:] == cells[1]["arguments"]
        assert words[start:] == [
            *("/opt/fuki", "build", "fuki.toml", "--set", "a=b", "--unsigned", "--cell", "cloud=gcp"),
        ]
        assert {"--platform-properties=arch=x64", "--env=A=1", "--output-path=acme_41.3_gcp.efi"} < set(words)
        inputs = ["fuki.toml", "initrd.img", "os-release", "stub", "vmlinuz"]
        assert [word for word in words if word.startswith("--input-path")] == [f"--input-path={n}:{n}" for n in inputs]

    def test_a_variable_that_the_recipe_takes_from_the_environment_is_part_of_the_command(self, workshop, monkeypatch):
        recipe = workshop_recipe(AXES, environment=["CHANNEL"])
        (workshop / "fuki.toml").write_text(recipe)
        actions = set()
        for channel in ("stable", "beta"):
            monkeypatch.setenv("CHANNEL", channel)
            cell = exported(workshop)[0]
            assert cell["environment"]["CHANNEL"] == channel
            actions.add(cell["action"])
        assert len(actions) == 2

    def test_the_versions_of_fuki_and_its_plugins_tell_results_apart(self, workshop):
        (cell, _) = exported(workshop)
        versions = succeed(workshop, "--version").out.split()[-1]
        assert f"fuki-build=={versions}" in cell["salt"]


class TestKeys:
    @pytest.fixture
    def signed(self, workshop):
        (workshop / "secret").mkdir()
        certify = ["req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=db"]
        extension = ["-addext", "extendedKeyUsage=codeSigning", "-keyout", "secret/db.key", "-out", "db.crt"]
        openssl(workshop, *certify, *extension)
        openssl(workshop, "genrsa", "-out", "secret/pcr.key", "2048")
        openssl(workshop, "rsa", "-in", "secret/pcr.key", "-pubout", "-out", "pcr.pub")
        (workshop / "fuki.toml").write_text(MATRIX + KEYS)
        return workshop

    def test_no_key_and_no_path_of_one_is_in_what_is_exported(self, signed):
        outcome = succeed(signed, "export", "reapi")
        assert "the images will be unsigned: sign them with 'fuki digests' and 'fuki attach'" in outcome.err
        keys = [(signed / "secret" / name).read_text() for name in ("db.key", "pcr.key")]
        secrets = [line for key in keys for line in key.splitlines()]
        secrets += [base64.b64decode("".join(key.splitlines()[1:-1])).hex() for key in keys]
        written = files(signed / "reapi")
        assert len(written) > 6

        for name, content in written.items():
            assert not [secret for secret in secrets if secret.encode() in content or secret in content.hex()], name
            assert not [word for word in (b"secret", b"db.key", b"pcr.key") if word in content], name

        cells = json.loads(written["actions.json"])["cells"]
        assert [cell["signs"] for cell in cells] == [True, True]
        # The public key is one, since the image has it.
        assert [item["path"] for item in cells[0]["inputs"]] == [
            *("fuki.toml", "initrd.img", "os-release", "pcr.pub", "stub", "vmlinuz"),
        ]

    def test_what_an_action_builds_is_signed_behind_it_as_a_build_with_the_keys_does(self, signed, tmp_path):
        (cell, _) = exported(signed)
        succeed(signed, "build", "--cell", "cloud=aws")
        elsewhere = tmp_path / "worker"
        elsewhere.mkdir()
        for item in cell["inputs"]:
            (elsewhere / item["path"]).write_bytes((signed / item["path"]).read_bytes())
        succeed(elsewhere, *cell["arguments"][1:])

        (image,) = (elsewhere / name for name in cell["outputs"])
        for key in ("secret/pcr.key", "secret/db.key"):
            document = json.loads(succeed(elsewhere, "digests", image.name).out)
            for item in document["digests"]:
                command = ["pkeyutl", "-sign", "-inkey", key, "-pkeyopt", f"digest:{item['algorithm']}"]
                signature = openssl(signed, *command, given=bytes.fromhex(item["digest"]))
                item["signature"] = base64.b64encode(signature).decode()
            (elsewhere / "signed.json").write_text(json.dumps(document))
            certificate = ["--certificate", signed / "db.crt"] if "db" in key else []
            succeed(elsewhere, "attach", image.name, "--signatures", "signed.json", *certificate)
        assert image.read_bytes() == (signed / image.name).read_bytes()

    def test_a_policy_without_a_public_key_is_refused(self, signed):
        (signed / "fuki.toml").write_text((MATRIX + KEYS).replace('public-key = "pcr.pub"\n', ""))
        error = refused(signed, "export", "reapi")
        assert "fuki.pcr-policy[0]" in error
        assert "public-key" in error
        assert not (signed / "reapi").exists()


def openssl(directory, *arguments: str, given=b""):
    return subprocess.run(["openssl", *arguments], cwd=directory, input=given, capture_output=True, check=True).stdout


class TestMistakes:
    def test_an_input_outside_of_the_directory_is_refused(self, workshop):
        elsewhere = workshop / "elsewhere"
        elsewhere.mkdir()
        error = refused(elsewhere, "export", "reapi", "..")
        assert "outside of the directory that actions have as their input root" in error
        assert not (elsewhere / "reapi").exists()
        error = refused(workshop, "export", "reapi", "--initrd", workshop / "initrd.img")
        assert "--initrd" in error
        assert "relative to the current directory" in error

    def test_firmware_that_is_made_elsewhere_is_refused(self, workshop):
        firmware = '[[fuki.firmware]]\nsource = "command"\nid = "made"\ncommand = ["cat", "stub"]\n'
        firmware += 'chids = ["c7352a90-6932-5bb7-b916-d272f6e71955"]\n'
        (workshop / "fuki.toml").write_text(MATRIX + firmware)
        assert "the firmware made comes from a program or package" in refused(workshop, "export", "reapi")

    @pytest.mark.parametrize(("name", "arguments"), [("a:b.img", ()), ("initrd.img", ("--platform", "a=b,c"))])
    def test_what_trexe_would_split_is_refused(self, workshop, name, arguments):
        (workshop / "a:b.img").write_bytes(b"")
        (workshop / "fuki.toml").write_text(MATRIX.replace("initrd.img", name))
        assert "trexe cannot be given" in refused(workshop, "export", "reapi", *arguments)
        assert not (workshop / "reapi").exists()

    @pytest.mark.parametrize("option", ["--platform", "--env"])
    def test_a_property_without_a_value_is_a_mistake_of_the_command_line(self, workshop, option):
        outcome = invoke(workshop, "export", "reapi", option, "linux")
        assert outcome.code == 2
        assert f"{option} wants NAME=VALUE, not 'linux'" in outcome.err
