"""The answers of modules and tokens, in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from fuki_build.errors import SigningError
from pkcs11 import exceptions
from pkcs11.exceptions import PKCS11Error

_GONE = "the token was removed, or has ended the session"
_IN_USE = "this process is logged in to the token already, through another module"
DEVICE_TROUBLES = (exceptions.GeneralError, exceptions.FunctionFailed, exceptions.DeviceError)
"""Errors that modules report when the device behind them does not respond; there is no better code for that."""
DEVICE_HINT = (
    "look at the module's configuration, and whether the device is there, its service runs and this user may use it; "
    "for a TPM, /dev/tpmrm0 with the group tss, or TPM2_PKCS11_TCTI"
)
_REASONS: dict[type[Exception], str] = {
    exceptions.PinIncorrect: "the PIN is wrong",
    exceptions.PinInvalid: "the PIN has characters that the token does not take",
    exceptions.PinLenRange: "the PIN is too short or too long for the token",
    exceptions.PinLocked: "the PIN is locked",
    exceptions.PinExpired: "the PIN has expired",
    exceptions.UserPinNotInitialized: "the token has no user PIN yet",
    exceptions.UserNotLoggedIn: "the token wants a login",
    exceptions.UserAlreadyLoggedIn: _IN_USE,
    exceptions.AnotherUserAlreadyLoggedIn: _IN_USE,
    exceptions.SessionCount: "the token has no session left",
    exceptions.DeviceRemoved: _GONE,
    exceptions.TokenNotPresent: _GONE,
    exceptions.SessionHandleInvalid: _GONE,
    exceptions.SessionClosed: _GONE,
    exceptions.KeyHandleInvalid: _GONE,
    exceptions.ObjectHandleInvalid: _GONE,
    exceptions.DeviceError: "the device reports an error",
    exceptions.GeneralError: "its device or service does not answer, or its configuration is wrong",
    exceptions.FunctionFailed: "its device or service does not answer as it should",
    exceptions.TokenNotRecognised: "the module does not know this kind of token",
    exceptions.DeviceMemory: "the device is out of memory",
    exceptions.MechanismInvalid: "the token does not have this mechanism",
    exceptions.KeyTypeInconsistent: "the key cannot be used with this mechanism",
    exceptions.KeySizeRange: "the token does not take keys of this size",
    exceptions.FunctionCancelled: "the operation was cancelled",
}


def reason(error: Exception) -> str:
    """The reason of an error: the token's answer, else python-pkcs11's text or the name of its exception."""
    return _REASONS.get(type(error), str(error) or type(error).__name__)


@contextmanager
def refusal(failure: str, where: str, hint: str | None = None) -> Iterator[None]:
    """Turn python-pkcs11's exceptions into a `SigningError` with the `failure`, what could not be done, and the reason.

    Besides its own errors, python-pkcs11 raises `ValueError` for numbers (of kinds of keys) that it does not know.
    """
    try:
        yield
    except (PKCS11Error, ValueError) as error:
        if hint is None and isinstance(error, DEVICE_TROUBLES):
            hint = DEVICE_HINT
        raise SigningError(f"{failure}: {reason(error)}", where=where, hint=hint) from error
