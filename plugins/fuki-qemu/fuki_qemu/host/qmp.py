"""QEMU's monitor (QMP), as far as it is needed."""

import json
import socket
import time
from collections import deque
from collections.abc import Collection
from typing import Any

from fuki_build.errors import FukiError

Event = dict[str, Any]


class Monitor:
    """A connection to a monitor; a guest that ends takes it along, which is `None` to whoever waits."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        self._events: deque[Event] = deque()
        self._read(None)  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 - what each command returns differs
        """What a command returns. Raises `FukiError` for one that fails, or when QEMU has ended."""
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._connection.settimeout(None)
        try:
            self._connection.sendall(json.dumps(message).encode())
        except OSError as error:
            raise FukiError(f"QEMU has ended, and takes no {command}") from error
        while (answer := self._read(None)) is not None:
            if "error" in answer:
                raise FukiError(f"QEMU refuses {command}: {answer['error'].get('desc', '')}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)
        raise FukiError(f"QEMU has ended during {command}")

    def wait(self, names: Collection[str], seconds: float | None) -> Event | None:
        """The next event of these names, others are dropped; None where QEMU has ended.

        Raises `TimeoutError` after `seconds`.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            message = self._events.popleft() if self._events else self._read(end)
            if message is None or message.get("event") in names:
                return message

    def _read(self, end: float | None) -> Event | None:
        while b"\n" not in self._rest:
            self._connection.settimeout(None if end is None else max(0.001, end - time.monotonic()))
            try:
                more = self._connection.recv(65536)
            except TimeoutError:
                raise
            except OSError:
                more = b""
            if not more:
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        message: Event = json.loads(line)
        return message
