"""The backends in a recipe and on the command line: what they did is verified, by fuki and by others."""

import json
import shutil
from pathlib import Path

import parts
import pytest
from fuki_build.testing import recipe, refused, succeed
from fuki_build.testing.secure_boot import EXPIRED, make_identity, write_certificates, write_key
from fuki_build.testing.timestamp_authority import timestamp_authority
from signing_programs import PASSPHRASE, PIN, URI, run, script

RECIPE = recipe(plugins=["sbsign"], stub="stub.efi")
KEY = 'key = "db.key"\ncertificate = "db.crt"\n'
NSS = 'nickname = "db"\ndirectory = "nss"\npin = "file:nss-password"\n'
SIGNERS = {"local": KEY, "sbsign": KEY, "systemd-sbsign": KEY, "osslsigncode": KEY, "pesign": NSS}
programs_only = pytest.mark.parametrize("backend", [name for name in SIGNERS if name != "local"])


@pytest.fixture
def directory(keys: Path, tmp_path: Path, programs: Path) -> Path:  # noqa: ARG001 - for PATH
    """Keys, and what an image is made of."""
    directory = tmp_path / "recipe"
    shutil.copytree(keys, directory)
    (directory / "stub.efi").symlink_to(parts.get("stub-x64"))
    (directory / "vmlinuz").symlink_to(parts.get("kernel-x64"))
    return directory


def build(directory: Path, *signers: str, more: str = "") -> Path:
    write_recipe(directory, *signers, more=more)
    succeed(directory, "build", "-o", "acme.efi")
    return directory / "acme.efi"


def write_recipe(directory: Path, *signers: str, more: str = "") -> None:
    tables = [f'[[fuki.sign]]\nbackend = "{name}"\n{SIGNERS[name]}{more}' for name in signers]
    (directory / "fuki.toml").write_text(RECIPE + "\n".join(tables))


def told(directory: Path, image: Path) -> list[str]:
    """The verdict of `fuki verify` about each signature."""
    report = json.loads(succeed(directory, "verify", "--json", "--certificate", "ca.crt", image).out)
    return [signature["verdict"] for signature in report["image"]["signatures"]]


@programs_only
def test_a_recipe_is_signed_by_the_program(backend: str, directory: Path):
    image = build(directory, backend)
    run("sbverify", "--cert", directory / "ca.crt", image)
    assert told(directory, image) == ["valid"]


@pytest.mark.parametrize("first", SIGNERS)
@pytest.mark.parametrize("second", ["sbsign", "systemd-sbsign", "pesign"])
def test_several_backends_sign_one_image(first: str, second: str, directory: Path):
    image = build(directory, first, second)
    run("sbverify", "--cert", directory / "ca.crt", image)
    assert told(directory, image) == ["valid", "valid"]


@pytest.mark.parametrize("backend", ["sbsign", "systemd-sbsign", "osslsigncode"])
@pytest.mark.parametrize("kind", ["rsa3072", "rsa4096", "p256", "p384"])
def test_signatures_of_other_kinds_of_keys_are_verified(backend: str, kind: str, directory: Path):
    identity = make_identity("Acme other", kind)
    write_key(directory / "other.key", identity.key)
    write_certificates(directory / "ca.crt", identity.certificate)
    text = RECIPE + f'[fuki.sign]\nbackend = "{backend}"\nkey = "other.key"\ncertificate = "ca.crt"\n'
    (directory / "fuki.toml").write_text(text)
    succeed(directory, "build", "-o", "acme.efi")
    assert told(directory, directory / "acme.efi") == ["valid"]
    run("osslsigncode", "verify", "-CAfile", directory / "ca.crt", directory / "acme.efi")


@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_osslsigncode_s_other_digests_and_timestamps_are_verified(digest: str, directory: Path):
    with timestamp_authority(directory) as url:
        image = build(directory, "osslsigncode", more=f'digest = "{digest}"\ntimestamp = ["{url}"]\n')
    report = json.loads(succeed(directory, "verify", "--json", "--certificate", "ca.crt", image).out)
    (signature,) = report["image"]["signatures"]
    assert (signature["verdict"], signature["algorithm"], signature["timestamp"]) == ("valid", digest, True)


def test_addons_are_signed_too(directory: Path):
    (directory / "addon-stub").symlink_to(parts.get("addon-stub-x64"))
    write_recipe(directory, "sbsign")
    addon = '[[fuki.addon]]\nname = "serial"\ncmdline = "console=ttyS0"\nstub = "addon-stub"\n'
    with (directory / "fuki.toml").open("a") as file:
        file.write(f'{addon}[[fuki.output]]\nformat = "addon"\n')
    succeed(directory, "build")
    (image,) = directory.glob("**/serial.addon.efi")
    run("sbverify", "--cert", directory / "ca.crt", image)


@programs_only
def test_fuki_sign_signs_an_image_in_place(backend: str, directory: Path):
    image = directory / "image.efi"
    shutil.copyfile(directory / "stub.efi", image)
    options = [line.replace(" = ", "=").replace('"', "") for line in SIGNERS[backend].splitlines()]
    given = [word for option in options for word in ("-O", option)]
    succeed(directory, "--plugin", "sbsign", "sign", image, "--backend", backend, *given)
    assert told(directory, image) == ["valid"]


@programs_only
def test_a_time_before_1970_reaches_no_program(backend: str, directory: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "-5")
    write_recipe(directory, backend)
    assert "SOURCE_DATE_EPOCH is not a number of seconds" in refused(directory, "build", code=4)


def test_osslsigncode_does_not_sign_after_another(directory: Path):
    write_recipe(directory, "local", "osslsigncode")
    error = refused(directory, "build", code=4)
    assert "fuki.sign[1]: osslsigncode would replace the signature that the image has" in error


def test_a_certificate_of_another_key_is_found_out_though_the_program_signs(directory: Path):
    write_certificates(directory / "db.crt", make_identity("Other").certificate)
    write_recipe(directory, "systemd-sbsign")
    error = refused(directory, "build", code=4)
    assert "systemd-sbsign has signed, but the signature was not made by its certificate's key" in error


@pytest.mark.parametrize("backend", ["sbsign", "systemd-sbsign", "osslsigncode"])
@pytest.mark.parametrize("flaw", ["expired", "short"])
def test_a_certificate_that_cannot_be_used_is_refused(backend: str, flaw: str, directory: Path):
    identity = make_identity("Old", valid=EXPIRED) if flaw == "expired" else make_identity("Short", "rsa1024")
    (directory / "db.key").unlink()
    write_key(directory / "db.key", identity.key)
    write_certificates(directory / "db.crt", identity.certificate)
    write_recipe(directory, backend)
    error = refused(directory, "build", code=4)
    expected = "CN=Old expired on 2002-01-01" if flaw == "expired" else "the key of CN=Short has 1024 bits"
    assert expected in error


@pytest.mark.parametrize(
    ("backend", "option"),
    [
        ("sbsign", 'digest = "sha384"'),
        ("systemd-sbsign", "signing-time = true"),
        ("pesign", 'timestamp = "http://127.0.0.1:9/"'),
        ("osslsigncode", "signing-time = true"),
    ],
)
def test_what_a_program_would_not_do_is_refused(backend: str, option: str, directory: Path):
    write_recipe(directory, backend, more=f"{option}\n")
    key = option.partition(" ")[0]
    assert f"fuki.sign[0].{key}: {backend} has no option '{key}'" in refused(directory, "build")


def test_a_program_does_not_sign_kernels(directory: Path):
    (directory / "vmlinuz").unlink()
    shutil.copyfile(directory / "stub.efi", directory / "vmlinuz")
    write_recipe(directory, "sbsign", more="sign-kernel = true\n")
    assert "sbsign cannot sign kernels" in refused(directory, "build")


TAMPER = r'printf "\377" | dd of="$2" bs=1 seek=4096 conv=notrunc 2>/dev/null'
UNSIGN = 'osslsigncode remove-signature -in "$3" -out "$2.2" && mv "$2.2" "$2"'


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (TAMPER, "changed more of the image than its signature"),
        (":", "did not add a signature"),
        (UNSIGN, "did not keep the signatures that the image had"),
        ('printf "" >"$2"', "left no image behind"),
    ],
)
def test_what_a_program_did_to_the_image_is_verified(tail: str, message: str, directory: Path):
    program = script(directory / "program", f'while [ "$1" != --output ]; do shift; done\ncp "$3" "$2"\n{tail}')
    write_recipe(directory, "local", "sbsign")
    text = (directory / "fuki.toml").read_text()
    (directory / "fuki.toml").write_text(f'{text}program = "./{program.name}"\n')
    assert f"fuki.sign[1]: sbsign {message}" in refused(directory, "build", code=4)


def test_no_secret_is_in_what_fuki_writes_and_tells(directory: Path, softhsm: str):
    token = f'[[fuki.sign]]\nbackend = "sbsign"\nkey = "{URI}"\ncertificate = "db.crt"\nengine = "pkcs11"\n'
    token += f'module = "{softhsm}"\npin = "file:pin"\n'
    file = '[[fuki.sign]]\nbackend = "systemd-sbsign"\nkey = "encrypted.key"\ncertificate = "db.crt"\n'
    file += 'passphrase = "file:passphrase"\n'
    outputs = '[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n'
    (directory / "fuki.toml").write_text(RECIPE + token + file + outputs)

    unlocking = {PIN, PASSPHRASE}
    given = set(directory.rglob("*"))

    done = succeed(directory, "build", "--json")
    written = [path.read_bytes() for path in set(directory.rglob("*")) - given if path.is_file()]
    assert len(written) == 2

    for secret in unlocking:
        assert secret not in done.out + done.err
        assert not [data for data in written if secret.encode() in data]
