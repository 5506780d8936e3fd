"""Tokens: finding the one that a URI identifies, and logging in to it once."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fuki_build.errors import SigningError
from fuki_build.formats import pkcs11_uri
from fuki_build.formats.pkcs11_uri import Pkcs11Uri
from fuki_build.hooks import SigningContext
from msgspec.structs import replace
from pkcs11 import Session, Token
from pkcs11.attributes import AttributeMapper
from pkcs11.constants import Attribute, TokenFlag
from pkcs11.exceptions import AnotherUserAlreadyLoggedIn, PKCS11Error, UserAlreadyLoggedIn
from pkcs11.types import PROTECTED_AUTH

from fuki_pkcs11.modules import LOCK, others_in_use
from fuki_pkcs11.reasons import DEVICE_HINT, DEVICE_TROUBLES, reason, refusal

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Module  # noqa: N812 - that is what it is

_MAX_LISTED = 8


class Pin:
    """A token's PIN, requested when needed, and once for all keys. `where` is the option that names `source`."""

    def __init__(self, source: str | None, where: str, token: Token, context: SigningContext) -> None:
        self.named = source is not None
        self._source = source
        self._where = where
        self._purpose = f"PIN of token {token.label!r}"
        self._context = context

    def ask(self) -> str:
        pin = self._context.secret(self._source, self._purpose, self._where)
        if not pin:
            raise SigningError(f"the {self._purpose} is empty", where=self._where)
        return pin


class OpenToken:
    """A token with a session, logged in if the token requires that, as long as the context lasts."""

    def __init__(self, token: Token, session: Session, pin: Pin) -> None:
        self.ended = False
        self.session = session
        self.pin = pin
        self.uri = describe(token)
        self.has_keypad = _has_keypad(token, pin)


def describe(token: Token) -> Pkcs11Uri:
    """The facts that usually distinguish a token from others."""
    return Pkcs11Uri(token=token.label, serial=_serial(token))


def listed(uris: list[Pkcs11Uri]) -> str:
    """A text for hints, sorted, since tokens have no order of their own."""
    texts = sorted(map(pkcs11_uri.encode, uris))
    return ", ".join([*texts[:_MAX_LISTED], *["…"][: len(texts) > _MAX_LISTED]])


def _serial(token: Token) -> str:
    return token.serial.decode(errors="replace").rstrip("\0 ")


def _facts(module: "Module", token: Token) -> Pkcs11Uri:
    """All attributes that a URI can give of a token and its surroundings (RFC 7512, 2.3)."""
    return Pkcs11Uri(
        token=token.label,
        manufacturer=token.manufacturer_id,
        serial=_serial(token),
        model=token.model,
        library_manufacturer=module.manufacturer_id,
        library_description=module.library_description,
        library_version=module.library_version,
        slot_id=token.slot.slot_id,
        slot_description=token.slot.slot_description,
        slot_manufacturer=token.slot.manufacturer_id,
    )


def _matches(uri: Pkcs11Uri, facts: Pkcs11Uri) -> bool:
    of_token = replace(uri, object=None, type=None, id=None, module_path=None, module_name=None, pin_source=None)
    fields = ((getattr(of_token, name), getattr(facts, name)) for name in Pkcs11Uri.__struct_fields__)
    return all(expected is None or expected == fact for expected, fact in fields)


def _tokens(module: "Module") -> Iterator[Token]:
    """The usable tokens. A slot that reports an error must not keep others from being found."""
    with refusal("the PKCS #11 module does not list its tokens", "key"):
        slots = module.get_slots(token_present=True)

    for slot in slots:
        with suppress(PKCS11Error):
            token = slot.get_token()
            if token.flags & TokenFlag.TOKEN_INITIALIZED:
                yield token


def find_token(module: "Module", uri: Pkcs11Uri) -> Token:
    """The only token that the URI identifies. Raises `SigningError` for none or several."""
    tokens = list(_tokens(module))
    matching = [token for token in tokens if _matches(uri, _facts(module, token))]

    if len(matching) == 1:
        return matching[0]
    if matching:
        hint = f"say more in the URI: {listed([describe(token) for token in matching])}"
        raise SigningError(f"{len(matching)} tokens are what the PKCS #11 URI asks for", where="key", hint=hint)

    hint = f"there are: {listed([describe(token) for token in tokens])}" if tokens else "the module has no token at all"
    raise SigningError("no token is what the PKCS #11 URI asks for", where="key", hint=hint)


def log_in(module: "Module", uri: Pkcs11Uri, source: str | None, where: str, context: SigningContext) -> OpenToken:
    """The token that the URI identifies, with a session: one login serves all keys of a command, and of the process.

    `source` is the PIN's source, `where` the option that names it. A rejected login is not repeated for another key,
    because tokens lock after a few.
    """
    token = find_token(module, uri)
    key = (module.so, token.slot.slot_id)
    outcome = context.once(("pkcs11", *key), lambda: _opened(key, token, Pin(source, where, token, context)))
    if isinstance(outcome, SigningError):
        raise outcome
    return outcome


class _Login:
    """A session of this process, and the number of contexts that use it. Its end is a logout for all of them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.users = 0


_logins: dict[tuple[str, int], _Login] = {}
"""By the path of the module and the number of the slot."""


@contextmanager
def _opened(key: tuple[str, int], token: Token, pin: Pin) -> Iterator[OpenToken | SigningError]:
    try:
        with LOCK:
            # A login is the process's (PKCS #11 2.40, 5.6): a second one would be rejected.
            login = _logins[key] if key in _logins else _Login(_open(key, token, pin))
            _logins[key] = login
            login.users += 1
    except SigningError as error:
        yield error
        return

    opened = OpenToken(token, login.session, pin)
    try:
        yield opened
    finally:
        with LOCK:
            opened.ended = True
            login.users -= 1
            if not login.users:
                del _logins[key]
                # The token may have been removed.
                with suppress(PKCS11Error):
                    login.session.close()


def _open(key: tuple[str, int], token: Token, pin: Pin) -> Session:
    credential = _credential(token, pin)
    try:
        return token.open(user_pin=credential, attribute_mapper=_mapper())
    except PKCS11Error as error:
        message = f"cannot log in to token {token.label!r}: {reason(error)}"
        where = "pin" if credential else "key"
        raise SigningError(message, where=where, hint=_why_not(key, error, credential)) from error


def _why_not(key: tuple[str, int], error: PKCS11Error, credential: object) -> str | None:
    if isinstance(error, (UserAlreadyLoggedIn, AnotherUserAlreadyLoggedIn)):
        others = others_in_use(Path(key[0]))
        return f"name one module for all keys of the token; in use is {', '.join(others) or 'another'}"
    if isinstance(error, DEVICE_TROUBLES):
        return DEVICE_HINT
    return "it is not tried again: tokens lock after a few wrong PINs" if credential else None


def _credential(token: Token, pin: Pin) -> object:
    """The PIN, PROTECTED_AUTH for a token with a keypad, or None if no login is needed."""
    flags = token.flags
    if not flags & TokenFlag.LOGIN_REQUIRED:
        return None

    for flag, message, hint in _TROUBLES:
        if flags & flag:
            raise SigningError(f"the PIN of token {token.label!r} {message}", where="key", hint=hint)

    if _has_keypad(token, pin):
        sys.stderr.write(f"token {token.label!r} waits for its PIN to be entered on the device\n")
        return PROTECTED_AUTH

    if not flags & TokenFlag.USER_PIN_INITIALIZED:
        hint = "the token's own tools set it, for instance pkcs11-tool --init-pin"
        raise SigningError(f"token {token.label!r} has no user PIN yet", where="key", hint=hint)

    return pin.ask()


_TROUBLES = (
    (TokenFlag.USER_PIN_LOCKED, "is locked", "its security officer can unlock it"),
    (
        TokenFlag.USER_PIN_FINAL_TRY,
        "has one try left, and is not put at risk",
        "log in once by other means, for instance with pkcs11-tool --login --list-objects",
    ),
)


def _has_keypad(token: Token, pin: Pin) -> bool:
    """Whether the PIN is entered on the device, or in a window of its module; a named source takes precedence."""
    return bool(token.flags & TokenFlag.PROTECTED_AUTHENTICATION_PATH) and not pin.named


def _mapper() -> AttributeMapper:
    """A mapper with labels as bytes: a token may have labels that are not UTF-8."""
    mapper = AttributeMapper()
    mapper.register_handler(Attribute.LABEL, bytes, bytes)
    return mapper
