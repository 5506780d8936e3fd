"""Other people's signing programs, and one key in all the forms that they take: files, a token, an NSS database."""

import os
import stat
import subprocess
from pathlib import Path

import parts
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key, write_pkcs12

PASSPHRASE = "open sesame"  # noqa: S105 - of a key that lives as long as a test
PIN = "73519"
NSS_PASSWORD = "nss password"  # noqa: S105
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
URI = "pkcs11:token=fuki;object=db;type=private"
MACHINE_LIBRARIES = "/usr/lib/x86_64-linux-gnu"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def lay_out_keys(directory: Path) -> Path:
    """One key in `db.key`, `encrypted.key`, `db.p12` and the NSS database `nss`; its certificate in `db.crt`.

    `ca.crt` is the issuer's, `chain.crt` has both; `passphrase`, `pin`, `nss-password` and `wrong` hold secrets.
    """
    authority = make_identity("Acme CA", authority=True)
    signer = make_identity("Acme db", issuer=authority)
    write_key(directory / "db.key", signer.key)
    write_key(directory / "encrypted.key", signer.key, PASSPHRASE)
    write_certificates(directory / "db.crt", signer.certificate)
    write_certificates(directory / "chain.crt", signer.certificate, authority.certificate)
    write_certificates(directory / "ca.crt", authority.certificate)
    write_pkcs12(directory / "db.p12", signer, authority.certificate, passphrase=PASSPHRASE)

    for name, secret in (("passphrase", PASSPHRASE), ("pin", PIN), ("nss-password", NSS_PASSWORD), ("wrong", "86420")):
        (directory / name).write_text(f"{secret}\n")

    (directory / "nss").mkdir()
    run("certutil", "-N", "-d", "sql:nss", "-f", "nss-password", cwd=directory)
    run("pk12util", "-i", "db.p12", "-d", "sql:nss", "-k", "nss-password", "-w", "passphrase", cwd=directory)
    return directory


def make_token(directory: Path, key: Path) -> Path:
    """A SoftHSM2 token with a key; the configuration that SOFTHSM2_CONF is to name."""
    (directory / "tokens").mkdir()
    configuration = directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {directory}/tokens\n")
    tool = ("env", f"SOFTHSM2_CONF={configuration}", "softhsm2-util")
    run(*tool, "--init-token", "--free", "--label", "fuki", "--so-pin", "87654321", "--pin", PIN)
    run(*tool, "--import", key, "--token", "fuki", "--label", "db", "--id", "01", "--pin", PIN)
    return configuration


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(stat.S_IRWXU)
    return path


def install_programs(directory: Path) -> Path:
    """Fill a directory with systemd-sbsign, osslsigncode and pesign, for PATH; the machine has sbsign.

    osslsigncode 2.5, which bookworm has, signs as well, but does not accept signatures of sbsign and systemd-sbsign.
    """
    shared, sbsign = parts.get("libsystemd-shared").parent, parts.get("systemd-sbsign")
    script(directory / "systemd-sbsign", f'LD_LIBRARY_PATH={shared} exec {sbsign} "$@"')
    for name in ("osslsigncode", "pesign"):
        program = parts.get(name)
        script(directory / name, _by_own_loader(program, program.parents[2]))
    return directory


def install_with_provider(directory: Path) -> Path:
    """As `systemd-sbsign`, with sid's OpenSSL and its provider for PKCS #11."""
    provider = parts.get("pkcs11-provider").parent
    command = _by_own_loader(parts.get("systemd-sbsign"), provider.parents[3], parts.get("libsystemd-shared").parent)
    return script(directory / "systemd-sbsign", f"OPENSSL_MODULES={provider} {command}")


def _by_own_loader(program: Path, root: Path, *libraries: Path) -> str:
    """How to run a program that needs a newer libc than the machine's: `root` has one, with its loader."""
    (libc,) = root.glob("usr/lib/*/libc.so.6")
    path = os.pathsep.join(map(str, (*libraries, libc.parent, MACHINE_LIBRARIES)))
    return f'exec {libc.parent}/ld-linux-x86-64.so.2 --library-path {path} {program} "$@"'
