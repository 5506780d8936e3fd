"""A guest's serial console: what of it reaches a terminal, and how much of it is kept.

What a guest prints is a stranger's: on a terminal, escape sequences can set the title, fill the clipboard, or have the
terminal answer. Those that move the cursor, erase and colour are let through, because firmware and shells need them.
Source: ECMA-48, and xterm's control sequences.
"""

import codecs
import re

from msgspec import Struct

_TEXT = re.compile(r"[\b\t\n\r -~\u00a0-\U0010ffff]+")
_CONTROL_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)([0-?]{0,32})([ -/]*)([@-~])")
_STRING = re.compile(r"\x1b[PX\]^_]|[\x90\x98\x9d-\x9f]")
"""What begins a string that goes to the terminal itself; `_STRING_END` ends it, and a line break, which none has."""
_STRING_END = re.compile(r"\x07|\x9c|\x1b\\|(?=[\n\r\x18\x1a\x1b])")
_ESCAPE = re.compile(r"\x1b(?:[ -/]+[0-~]|[0-Z\\-~])")
_UNFINISHED = re.compile(r"(?:\x1b[ -/]*|(?:\x1b\[|\x9b)[0-?]*[ -/]*)\Z")
_LONGEST = 64
_HARMLESS = frozenset("@ABCDEFGHJKLMPSTXdfm")
"""Final bytes of sequences that move the cursor, erase, insert, delete, scroll and colour."""
_SHOWN = {("?25", "h"), ("?25", "l")}
"""Showing and hiding the cursor."""
_EVERY_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[PX\]^_][^\x07\x1b\n\r]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[^\n\t -~\u00a0-\U0010ffff]")


class TerminalFilter:
    """Takes a console's bytes in any pieces, and gives what may go to a terminal."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._in_string = False

    def feed(self, data: bytes) -> str:
        text, self._held = self._held + self._decoder.decode(data), ""

        shown: list[str] = []
        at = 0
        while at < len(text):
            if self._in_string:
                at = self._skip_string(text, at)
                continue

            if match := _TEXT.match(text, at):
                shown.append(match[0])
            elif match := _CONTROL_SEQUENCE.match(text, at):
                shown += [match[0]] if _is_harmless(*match.groups()) else []
            elif match := _STRING.match(text, at):
                self._in_string = True
            elif not (match := _ESCAPE.match(text, at)):
                unfinished = _UNFINISHED.match(text, at)
                # The rest may come with the next piece; what is longer than any real sequence is none.
                if unfinished and len(unfinished[0]) < _LONGEST:
                    self._held = unfinished[0]
                    break
            at = match.end() if match else at + 1
        return "".join(shown)

    def _skip_string(self, text: str, at: int) -> int:
        """Where the string ends, or the text does."""
        end = _STRING_END.search(text, at)
        if end is None:
            return len(text)
        if end[0] == "" and text[end.end() :] == "\x1b":
            # Whether a backslash follows is not known yet.
            self._held = "\x1b"
            return len(text)
        self._in_string = False
        return end.end()


def _is_harmless(parameters: str, intermediate: str, final: str) -> bool:
    if (parameters, final) in _SHOWN:
        return not intermediate
    return final in _HARMLESS and not intermediate and not parameters.startswith(("<", "=", ">", "?"))


def plain(data: bytes) -> str:
    """A console as text alone: no escape sequences, and of control characters line breaks and tabs."""
    return _CONTROLS.sub("", _EVERY_ESCAPE.sub("", data.decode(errors="replace")))


class ConsoleRecord(Struct):
    """The start and the end of what a console said, up to `limit` bytes each."""

    limit: int
    head: bytearray
    tail: bytearray
    left_out: int = 0

    @classmethod
    def of(cls, limit: int) -> "ConsoleRecord":
        return cls(limit, bytearray(), bytearray())

    def add(self, data: bytes) -> None:
        space = self.limit - len(self.head)
        self.head += data[:space]
        self.tail += data[space:]
        excess = len(self.tail) - self.limit
        # Not for each byte: what is cut off moves the rest.
        if excess > self.limit:
            self.left_out += excess
            del self.tail[:excess]

    def content(self) -> bytes:
        """All of it, with a line where some of it is left out."""
        excess = max(0, len(self.tail) - self.limit)
        left_out = self.left_out + excess
        line = b"\n[fuki: %d bytes are left out here]\n" % left_out if left_out else b""
        return bytes(self.head) + line + bytes(self.tail[excess:])
