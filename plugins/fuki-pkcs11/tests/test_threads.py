"""Modules and logins are the process': contexts side by side, and one within another, do not take them away."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest
from fuki_build import signing_key
from fuki_build.errors import SigningError
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningContext, SigningKey

from fuki_pkcs11 import Pkcs11Signer

DIGEST = hashlib.sha256(b"an image").digest()
USER = "C_Login 0x1"


def table(hsm, key: str = "object=rsa2048") -> dict[str, str]:
    uri = f"pkcs11:token=fuki%20test;{key}"
    return {"backend": "pkcs11", "key": uri, "module-path": hsm.module, "pin": "env:FUKI_TEST_PIN"}


def assert_signs(key: SigningKey) -> None:
    assert x509.verifies(key.public_key, key.sign(DIGEST, "sha256"), DIGEST, "sha256")


def test_a_key_goes_on_after_another_of_its_token_was_closed(hsm):
    with signing_key(table(hsm), ["pkcs11"]) as outer:
        with signing_key(table(hsm, "object=p256"), ["pkcs11"]) as inner:
            assert_signs(inner)
            assert_signs(outer)
        assert_signs(outer)
    with signing_key(table(hsm), ["pkcs11"]) as again:
        assert_signs(again)


def test_nested_contexts_share_one_login_and_the_last_ends_it(hsm, shim, tmp_path: Path):
    options = hsm.options(module_path=shim.module)
    with SigningContext(tmp_path, tmp_path) as first:
        Pkcs11Signer().open(options, first)
        with SigningContext(tmp_path, tmp_path) as second:
            Pkcs11Signer().open(options, second)
        assert shim.count("C_Finalize") == shim.count("C_Logout") == 0
    assert [call.split()[0] for call in shim.calls[-3:]] == ["C_Logout", "C_CloseSession", "C_Finalize"]
    assert shim.count(USER) == shim.count("C_Finalize") == 1


def test_contexts_may_end_in_any_order(hsm, tmp_path: Path):
    first, second = SigningContext(tmp_path, tmp_path), SigningContext(tmp_path, tmp_path)
    with second:
        with first:
            Pkcs11Signer().open(hsm.options(), first)
            key = Pkcs11Signer().open(hsm.options("object=p384"), second)
        assert_signs(key)


def test_a_key_is_of_no_use_after_its_context(hsm, tmp_path: Path):
    with SigningContext(tmp_path, tmp_path) as context:
        key = Pkcs11Signer().open(hsm.options(), context)
        with SigningContext(tmp_path, tmp_path) as other:
            left = Pkcs11Signer().open(hsm.options("object=p256"), other)
        with pytest.raises(SigningError, match="did not sign: the signing context that opened it has ended"):
            left.sign(DIGEST, "sha256")
        assert_signs(key)


@pytest.mark.parametrize("proxy_first", [True, False])
def test_one_token_through_two_modules_is_told(hsm, tmp_path: Path, proxy_first: bool):
    """SoftHSM by itself, and behind p11-kit's proxy."""
    proxy = next(str(path) for path in Path("/usr/lib").glob("*/p11-kit-proxy.so"))
    first, second = (proxy, hsm.module) if proxy_first else (hsm.module, proxy)
    with SigningContext(tmp_path, tmp_path) as context:
        key = Pkcs11Signer().open(hsm.options(module_path=first), context)
        with pytest.raises(SigningError) as caught:
            Pkcs11Signer().open(hsm.options("object=p256", module_path=second), context)
        assert caught.value.hint
        assert str(Path(first).resolve()) in caught.value.hint
        assert "name one module for all keys" in caught.value.hint
        assert_signs(key)


def test_threads_open_sign_and_close_at_the_same_time(hsm):
    """In a process of its own: what went wrong here was a segmentation fault."""
    script = f"""
        import hashlib
        from concurrent.futures import ThreadPoolExecutor
        from fuki_build import signing_key
        from fuki_build.formats.asn1 import x509

        digest = hashlib.sha256(b"an image").digest()

        def work(number):
            uri = "pkcs11:token=fuki%20test;object=" + ("rsa2048", "p256")[number % 2]
            key = dict(backend="pkcs11", key=uri, pin="env:FUKI_TEST_PIN") | {{"module-path": {hsm.module!r}}}
            with signing_key(key, ["pkcs11"]) as opened:
                signatures = [opened.sign(digest, "sha256") for _ in range(4)]
            return all(x509.verifies(opened.public_key, one, digest, "sha256") for one in signatures)

        with ThreadPoolExecutor(4) as pool:
            print(all(pool.map(work, range(24))))
    """
    done = subprocess.run([sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_threads_with_one_token_ask_for_the_pin_once_while_it_is_in_use(hsm, shim, tmp_path: Path):
    options: Callable[..., object] = hsm.options
    with SigningContext(tmp_path, tmp_path) as held:
        Pkcs11Signer().open(options(module_path=shim.module), held)

        def work(_: int) -> None:
            with SigningContext(tmp_path, tmp_path) as context:
                assert_signs(Pkcs11Signer().open(options(module_path=shim.module), context))

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(6)))
    assert shim.count(USER) == 1
