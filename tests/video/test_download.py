"""The checked download: what it refuses, by a server on loopback whose address a test allows."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vreason_agent.errors import ConfigError, VideoDecodeError, VideoError, VideoTooLargeError
from vreason_agent.video import DownloadPolicy, Isolation, ReadOptions, download, downloaded, probe, read_frames
from vreason_agent.video.download import is_public, is_remote
from vreason_agent.video.files import shown

Reply = Callable[[BaseHTTPRequestHandler], None]
HERE = DownloadPolicy(schemes=("http",), max_seconds=10.0, is_allowed=lambda address: address.is_loopback)


class Server:
    """Answers each path as a test says, and notes what was asked for."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, dict(self.headers)))
                server.replies[self.path.partition("?")[0]](self)

            def log_message(self, *_: Any) -> None:
                pass

        self.ended = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients break off
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str, reply: Reply | None = None) -> str:
        if reply is not None:
            self.replies[path.partition("?")[0]] = reply
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def sends(body: bytes, *, status: int = 200, length: int | None = -1, **headers: str) -> Reply:
    """Answer with a body; `length` is what is announced, by default the truth, with `None` nothing."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length < 0 else length))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def redirects(where: str, status: int = 302) -> Reply:
    return sends(b"elsewhere", status=status, Location=where)


@pytest.fixture
def movie(write_cv) -> bytes:
    return write_cv("movie.mp4").read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fetched").mkdir()
    return tmp_path / "fetched"


def refused(url: str, folder: Path, match: str, kind: type[VideoError] = VideoError, **changes: Any) -> str:
    """Check that a download is an error, that it leaves nothing behind, and return its message."""
    with pytest.raises(kind, match=match) as caught:
        download(url, folder, policy=replace(HERE, **changes))
    assert list(folder.iterdir()) == []
    return str(caught.value)


@pytest.mark.network
def test_a_file_is_fetched_for_its_owner_alone_read_in_isolation_and_removed(server: Server, movie: bytes) -> None:
    with downloaded(server.url("/a/movie.mp4?token=secret", sends(movie)), policy=HERE) as path:
        assert path.read_bytes() == movie
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
        assert read_frames(path, [1.0], options=ReadOptions(isolation=Isolation())).frame_indices == (25,)
    assert not path.parent.exists()
    (asked,) = server.asked
    assert asked[0] == "/a/movie.mp4?token=secret"
    assert set(asked[1]) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


@pytest.mark.network
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(server: Server, movie: bytes, folder: Path, status: int) -> None:
    server.url("/movie.mp4", sends(movie))
    path = download(server.url("/", redirects("movie.mp4", status)), folder, policy=HERE)
    assert probe(path).num_frames == 60


@pytest.mark.network
def test_a_body_in_chunks_without_a_length_is_fetched(server: Server, movie: bytes, folder: Path) -> None:
    path = download(server.url("/movie.mp4", sends(movie, length=None)), folder, policy=HERE)
    assert path.read_bytes() == movie


def test_another_scheme_than_https_is_refused_before_a_name_is_looked_up(folder: Path) -> None:
    for url in [
        "http://example.com/a.mp4",
        "ftp://example.com/a.mp4",
        "file:///etc/passwd",
        "concat:a|b",
        "data:video/mp4;base64,AAAA",
        "//example.com/a.mp4",
        "a.mp4",
    ]:
        refused(url, folder, r"download the file yourself|percent-encoded", schemes=("https",))


def test_a_url_that_parsers_read_differently_is_refused(folder: Path) -> None:
    for url in [
        "http://user:secret@example.com/a.mp4",
        "http://example.com\\@127.0.0.1/a.mp4",
        "http://example.com/a b.mp4",
        "http://example.com/a\r\nHost: x",
        "http://exämple.com/a.mp4",
        "http://example.com:99999/a.mp4",
        "http://example.com:0/a.mp4",
        "http:///a.mp4",
        "http://[::1/a.mp4",
    ]:
        assert "secret" not in refused(url, folder, r"give one such as https://example.com/clip.mp4, percent-encoded")


def test_an_address_that_is_not_public_is_refused() -> None:
    for address in [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "168.63.129.16",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
        ),
        *("192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1"),
        *("fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::", "fd00:ec2::254"),
        *("192.88.99.1", "3fff::1", "3fff:fff::1", "192.0.0.8", "192.0.0.9", "192.0.0.10", "192.0.0.170"),
        *("192.31.196.1", "192.52.193.1", "192.175.48.1", "2620:4f:8000::1"),
        *("5f00::1", "::1.2.3.4", "::ffff:0:1.2.3.4", "::ffff:192.88.99.1"),
        "2001:4860::5efe:7f00:1",
        "2001:4860::200:5efe:a00:1",
    ]:
        assert not is_public(ipaddress.ip_address(address))


def test_a_public_address_is_allowed() -> None:
    for address in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"]:
        assert is_public(ipaddress.ip_address(address))


@pytest.mark.network
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"])
def test_this_machine_is_refused_by_any_name_and_not_asked(server: Server, folder: Path, host: str) -> None:
    url = f"http://{host}:{server.port}/movie.mp4"
    message = refused(url, folder, "an address that is not public; download the file yourself", is_allowed=is_public)
    assert server.asked == []
    assert message.count("127.0.0.1") <= host.count("127.0.0.1")


@pytest.mark.network
def test_a_redirect_to_this_machine_is_refused(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first host passes for a public one; the address that it sends to does not."""
    server.url("/movie.mp4", sends(b""))
    resolves(monkeypatch, server, {"video.example": "127.0.0.1", "169.254.169.254": "169.254.169.254"})
    server.url("/", redirects("http://169.254.169.254/movie.mp4"))
    refused(f"http://video.example:{server.port}/", folder, "an address that is not public; download the file yourself")
    assert [path for path, _ in server.asked] == ["/"]


@pytest.mark.network
def test_one_address_of_several_that_is_not_public_refuses_the_host(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves(monkeypatch, server, {"video.example": "127.0.0.1 10.0.0.1"})
    refused(f"http://video.example:{server.port}/", folder, "an address that is not public")
    assert server.asked == []


@pytest.mark.network
def test_a_name_is_looked_up_once_so_that_its_meaning_cannot_change(
    server: Server, movie: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = resolves(monkeypatch, server, {"video.example": "127.0.0.1"})
    server.url("/movie.mp4", sends(movie))
    download(f"http://video.example:{server.port}/movie.mp4", folder, policy=HERE)
    assert looked_up == ["video.example"]
    assert server.asked[0][1]["Host"] == f"video.example:{server.port}"


def resolves(monkeypatch: pytest.MonkeyPatch, server: Server, hosts: dict[str, str]) -> list[str]:
    """Let these hosts have these addresses, each only once; returns what was looked up."""
    looked_up: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        assert looked_up.count(host) == 1
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or server.port))
            for address in hosts[host].split()
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return looked_up


@pytest.mark.network
def test_a_redirect_to_another_scheme_is_refused(server: Server, folder: Path) -> None:
    for where in ("ftp://127.0.0.1/a.mp4", "file:///etc/passwd", "https://127.0.0.1/a.mp4"):
        refused(server.url("/", redirects(where)), folder, "only http may be fetched; download the file yourself")


@pytest.mark.network
def test_a_redirect_to_what_is_no_url_is_refused(server: Server, folder: Path) -> None:
    for where in ["http://[::1", "//[", "http://[127.0.0.1]/a.mp4"]:
        refused(
            server.url("/", redirects(where)),
            folder,
            "no URL; download the file yourself|no plain URL; give one such as",
        )


@pytest.mark.network
def test_redirects_without_end_are_refused(server: Server, folder: Path) -> None:
    refused(server.url("/", redirects("/")), folder, "over max_redirects=3 redirects; download", max_redirects=3)
    assert len(server.asked) == 4


@pytest.mark.network
def test_a_host_that_is_not_listed_is_refused_at_a_redirect_too(server: Server, movie: bytes, folder: Path) -> None:
    url = server.url("/", redirects(f"http://localhost:{server.port}/movie.mp4"))
    refused(url, folder, "allow it in DownloadPolicy.hosts", hosts=("127.0.0.1",))
    refused(url, folder, "allow it in DownloadPolicy.hosts", hosts=("example.com",))
    assert [path for path, _ in server.asked] == ["/"]


@pytest.mark.network
@pytest.mark.parametrize("length", [-1, None])
def test_a_file_over_the_limit_is_refused_announced_or_not(
    server: Server, movie: bytes, folder: Path, length: int | None
) -> None:
    url = server.url("/movie.mp4", sends(movie, length=length))
    refused(url, folder, r"over max_bytes=1,000 bytes; cut", VideoTooLargeError, max_bytes=1000)


@pytest.mark.network
def test_a_file_that_breaks_off_is_refused(server: Server, movie: bytes, folder: Path) -> None:
    url = server.url("/movie.mp4", sends(movie, length=len(movie) + 1))
    refused(url, folder, "broke off; try again, or download the file yourself")


@pytest.mark.network
@pytest.mark.parametrize("length", [10**6, None])
def test_a_server_that_drips_is_left_in_time(server: Server, movie: bytes, folder: Path, length: int | None) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        sends(movie[:100], length=length)(handler)
        while not server.ended.wait(0.05):
            handler.wfile.write(b"\0")

    began = time.monotonic()
    refused(server.url("/movie.mp4", drip), folder, "took over max_seconds=0.5; try again", max_seconds=0.5)
    assert time.monotonic() - began < 5


@pytest.mark.network
def test_a_server_that_says_nothing_is_left_in_time(server: Server, folder: Path) -> None:
    def wait(handler: BaseHTTPRequestHandler) -> None:
        server.ended.wait(10)

    refused(server.url("/movie.mp4", wait), folder, "took over max_seconds=0.3; try again", max_seconds=0.3)


@pytest.mark.network
def test_another_status_is_refused_without_the_servers_words(server: Server, folder: Path) -> None:
    for status in [206, 401, 404, 500]:
        url = server.url("/movie.mp4?token=secret", sends(b"words of the server", status=status))
        message = refused(url, folder, f"status {status} and no plain file; check the URL in a browser")
        assert "words" not in message
        assert "secret" not in message


@pytest.mark.network
def test_an_encoded_body_is_refused(server: Server, movie: bytes, folder: Path) -> None:
    url = server.url("/movie.mp4", sends(movie, Content_Encoding="gzip"))
    refused(url, folder, "no plain file; check the URL in a browser")


@pytest.mark.network
def test_a_body_that_says_that_it_is_not_encoded_is_read(server: Server, movie: bytes, folder: Path) -> None:
    for encoding in ["identity", "Identity", "IDENTITY "]:
        url = server.url("/movie.mp4", sends(movie, Content_Encoding=encoding))
        assert download(url, folder, policy=HERE).read_bytes() == movie


@pytest.mark.network
@pytest.mark.parametrize(
    "where",
    [
        "ftp://hidden.example/hidden.mp4",
        "http://hidden.example/hidden.mp4",
        "http://hidden.invalid/hidden.mp4",
        "http://hidden@127.0.0.1/a.mp4",
        "/hidden.mp4",
        "/hidden_gzip.mp4",
        "/hidden_large.mp4",
        "/hidden_redirect",
    ],
)
def test_where_a_redirect_leads_is_not_repeated(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        if host == "hidden.invalid":
            raise socket.gaierror(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host if host == "127.0.0.1" else "10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    server.url("/hidden.mp4", sends(b"", status=404))
    server.url("/hidden_gzip.mp4", sends(b"x", Content_Encoding="gzip"))
    server.url("/hidden_large.mp4", sends(b"x" * 20))
    server.url("/hidden_redirect", redirects("http://[::hidden"))
    url = server.url("/given", redirects(where))
    remedies = r"download the file yourself|check the URL|give one such as|cut the part you need"
    message = refused(url, folder, remedies, max_bytes=10)
    assert "/given" in message
    assert "hidden" not in message


@pytest.mark.network
def test_what_is_no_video_by_its_first_bytes_is_removed(server: Server, folder: Path) -> None:
    for body in [b"", b"#EXTM3U\nhttp://127.0.0.1/a.ts\n", b"ffconcat version 1.0\nfile a.mp4", b"<html>"]:
        url = server.url("/movie.mp4", sends(body, Content_Type="video/mp4"))
        message = refused(url, folder, "is no video or image that can be read", VideoDecodeError)
        assert str(folder) not in message


@pytest.mark.network
def test_a_server_without_tls_is_no_https(server: Server, folder: Path) -> None:
    url = server.url("/movie.mp4").replace("http:", "https:")
    message = refused(url, folder, "the connection failed or broke off; try again", schemes=("https",))
    assert "ssl" not in message.lower()


@pytest.mark.network
def test_a_port_where_nothing_listens_is_an_error(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refused(f"http://127.0.0.1:{free.getsockname()[1]}/a.mp4", folder, "the connection failed or broke off")


@pytest.mark.network
def test_a_host_without_an_address_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "native words")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "native" not in refused("http://no.example/a.mp4", folder, "cannot be found; check the URL and the network")


@pytest.mark.network
def test_a_folder_or_disk_that_takes_no_file_is_an_error(
    server: Server, movie: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url("/movie.mp4", sends(movie))
    with pytest.raises(VideoError, match="give a folder that is there"):
        download(url, folder / "none", policy=HERE)
    true_fdopen = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: true_fdopen(os.dup(descriptor), "rb"))
    refused(url, folder, r"free some space, or give another folder")


def test_a_policy_out_of_range_is_refused() -> None:
    for changes in [
        {"schemes": ()},
        {"schemes": ("ftp",)},
        {"max_bytes": 0},
        {"max_seconds": 0.0},
        {"max_redirects": -1},
    ]:
        with pytest.raises(ConfigError, match=r"use schemes from \('https', 'http'\), bytes and seconds above 0"):
            DownloadPolicy(**changes)  # type: ignore[arg-type]


def test_by_default_only_https_from_public_addresses_is_fetched() -> None:
    policy = DownloadPolicy()
    assert (policy.schemes, policy.is_allowed) == (("https",), is_public)
    assert [is_remote(name) for name in ("https://a/b", "HTTP://a/b", "a.mp4", "ftp://a")] == [True, True, False, False]


def test_a_url_in_a_message_shows_neither_user_nor_query() -> None:
    for url, told in [
        ("https://user:secret@example.com/a.mp4?token=secret#x", "https://example.com/a.mp4"),
        ("HTTP://u:secret@x/y?secret", "HTTP://x/y"),
        ("rtsp://u:secret@x/y", "rtsp://x/y"),
        ("concat:https://u:secret@x/y?secret", "concat:https://x/y"),
        ("https://u:secret@[x/y?secret", "https://[x/y"),
        ("clip.mp4", "clip.mp4"),
        ("what?.mp4", "what?.mp4"),
    ]:
        assert shown(url) == told


def test_what_is_no_text_is_no_url(tmp_path: Path) -> None:
    for url in [None, 5, b"https://example.com/a.mp4"]:
        with pytest.raises(ConfigError, match=r"is no URL; give a text such as 'https://example\.com/clip\.mp4'"):
            download(url, tmp_path)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="is no URL; give a text"), downloaded(url):  # type: ignore[arg-type]
            pass
        assert not os.listdir(tmp_path)
