"""However a server misbehaves, an answer ends soon, in little memory, and in one kind of error."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from fuki_build import network

Serve = Callable[..., str]
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(piece, …)` answers one request with these pieces, `pause` seconds before each; its address."""
    threads: list[threading.Thread] = []
    done = threading.Event()

    def serve(*pieces: bytes, pause: float = 0) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def answer() -> None:
            with closing(listener), suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    for piece in pieces:
                        if done.wait(pause):
                            return
                        connection.sendall(piece)
                    # A connection that is closed with something unread is reset.
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield serve
    done.set()
    for thread in threads:
        thread.join()


def refused(url: str) -> str:
    with pytest.raises(OSError) as raised:  # noqa: PT011 - its text is what it has
        network.post(url, b"question", {})
    return str(raised.value)


def test_an_answer_is_given_whole(serve: Serve):
    assert network.post(serve(HEAD, b"Content-Length: 6\r\n\r\n", b"ans", b"wer"), b"question", {}) == b"answer"


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n"])
def test_a_byte_now_and_then_does_not_hold_a_call(serve: Serve, monkeypatch: pytest.MonkeyPatch, start: bytes):
    """Neither in the status line, nor in headers, nor in what follows."""
    monkeypatch.setattr(network, "ANSWER_TIMEOUT", 0.3)
    assert refused(serve(start, *[b"x"] * 1000, pause=0.05)) == "it does not answer in time"


def test_silence_does_not_hold_a_call(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(network, "ANSWER_TIMEOUT", 0.2)
    assert refused(serve(b"", pause=60)) == "it does not answer in time"


@pytest.mark.parametrize("start", [HEAD + b"\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n200000\r\n"])
def test_an_answer_of_any_size_is_not_read(serve: Serve, start: bytes):
    assert refused(serve(start, b"x" * 4_000_000)) == "the answer has more than 1048576 bytes"


@pytest.mark.parametrize(
    "answer",
    [
        b"no HTTP at all\r\n\r\n",
        b"",
        HEAD + b"Content-Length: 1000\r\n\r\nshort",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        HEAD + b"A: b\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_one_error(serve: Serve, answer: bytes):
    assert refused(serve(answer))


def test_this_machine_is_asked_without_a_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert network.post(serve(HEAD, b"Content-Length: 2\r\n\r\nok"), b"", {}) == b"ok"


@pytest.mark.parametrize("url", ["http://127.0.0.1", "http://[::1]:80", "http://localhost", "http://169.254.169.254/x"])
def test_addresses_of_this_machine_are_known(url: str):
    assert network.is_local(url)


@pytest.mark.parametrize(
    "url", ["http://localhost.example.com", "http://10.0.0.1", "http://127.0.0.1.example", "x", "http://["]
)
def test_others_are_none(url: str):
    assert not network.is_local(url)


def downloaded(url: str, limit: int = 1 << 20, **headers: str) -> bytes:
    pieces: list[bytes] = []
    network.download(url, pieces.append, headers, limit=limit)
    return b"".join(pieces)


def test_a_file_is_given_in_pieces_and_whole(serve: Serve):
    content = bytes(range(256)) * 8192
    url = serve(HEAD, f"Content-Length: {len(content)}\r\n\r\n".encode(), content)
    assert downloaded(url, limit=4 << 20) == content


@pytest.mark.parametrize("start", [HEAD + b"\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n200000\r\n"])
def test_a_file_larger_than_its_limit_is_not_read(serve: Serve, start: bytes):
    with pytest.raises(OSError, match="the answer has more than 100000 bytes"):
        downloaded(serve(start, b"x" * 4_000_000), limit=100_000)


def test_a_file_that_never_ends_does_not_hold_a_call(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(network, "DOWNLOAD_TIMEOUT", 0.3)
    with pytest.raises(OSError, match="it does not answer in time"):
        downloaded(serve(HEAD + b"\r\n", *[b"x"] * 1000, pause=0.05))


def test_a_file_that_is_not_there_is_one_error(serve: Serve):
    with pytest.raises(OSError, match="Not Found"):
        downloaded(serve(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))


@pytest.fixture
def watch() -> Iterator[Callable[..., tuple[str, list[bytes]]]]:
    """`watch(answer)` serves one answer; its address, and the request that came."""
    threads: list[threading.Thread] = []

    def watch(answer: bytes) -> tuple[str, list[bytes]]:
        listener = socket.create_server(("127.0.0.1", 0))
        requests: list[bytes] = []

        def run() -> None:
            with closing(listener):
                connection, _ = listener.accept()
                with connection:
                    requests.append(connection.recv(65536))
                    connection.sendall(answer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return f"127.0.0.1:{listener.getsockname()[1]}", requests

    yield watch
    for thread in threads:
        thread.join()


def test_another_host_that_a_server_leads_to_is_shown_no_credentials(watch):
    other, seen_there = watch(HEAD + b"Content-Length: 2\r\n\r\nok")
    first, seen = watch(f"HTTP/1.1 307 x\r\nLocation: http://{other}/blob\r\nContent-Length: 0\r\n\r\n".encode())
    assert downloaded(f"http://{first}/", Authorization="Bearer open-sesame", Accept="*/*") == b"ok"
    assert b"Bearer open-sesame" in seen[0]
    assert b"open-sesame" not in seen_there[0]
    assert b"Accept: */*" in seen_there[0]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_a_server_leads_to_http_only(watch, target: str):
    address, _ = watch(f"HTTP/1.1 302 x\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
    with pytest.raises(OSError, match=r"is not (asked|allowed)"):
        downloaded(f"http://{address}/")
