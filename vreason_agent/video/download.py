"""Fetching a remote video into a local file, where the caller asks for it, by one checked way.

Scheme, host and every address that the host resolves to are checked, at the start and at every redirect; the connection
goes to the very address that was checked, so that a name cannot change its meaning in between. Size and time are
limited. Proxies and `netrc` are not used, nothing but the file is sent for. Decodes nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import math
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import TIMEOUT_MAX, Timer
from typing import IO, Any
from urllib.parse import SplitResult, urljoin, urlsplit

from vreason_agent.errors import ConfigError, VideoError, VideoTooLargeError
from vreason_agent.video.files import kind_of, shown

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_HOSTS_OWN = ipaddress.IPv4Address("168.63.129.16")  # a cloud's internal services, at an address of the public range
_CARRIERS = ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96")
_SPECIAL = ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16")  # not every Python knows them
_SERVICES = ("192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48")  # AS112 and AMT relays
_ISATAP = (0x00005EFE, 0x02005EFE)  # before the IPv4 address in the last bits, whatever the network
_REFUSED = tuple(map(ipaddress.ip_network, (*_CARRIERS, *_SPECIAL, *_SERVICES)))
PORTS = {"https": 443, "http": 80}
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 2**16
_HEAD_BYTES = 2**12
_HEADERS = {"User-Agent": "vreason-agent", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
_INSTEAD = "download the file yourself and give its path"


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet.

    Not public are loopback, private, link-local (where cloud metadata is served), shared, reserved, multicast and
    unspecified addresses, those set aside for protocols, documentation, 6to4 relays and segment routing, and IPv6
    addresses that lead to an IPv4 one by NAT64, 6to4, Teredo, ISATAP, translation or as compatible. An IPv4-mapped one
    counts as the address that it maps.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.is_site_local or int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
            return False
    is_refused = address == _HOSTS_OWN or any(address in network for network in _REFUSED)
    return not is_refused and address.is_global and not address.is_multicast and not address.is_reserved


@dataclass(frozen=True)
class DownloadPolicy:
    """What may be fetched. No field of it should come from whoever names the URL.

    Attributes:
        schemes: Of the URL and of every redirect: `https`, and `http` where that is allowed.
        hosts: Hosts to fetch from, of the URL and of every redirect; `None` allows every public one.
        max_bytes: Size of the file.
        max_seconds: Time for all of it, redirects included; looking up a name takes what the system's resolver takes.
        max_redirects: How often a server may send elsewhere.
        is_allowed: Whether an address may be connected to; every address of a host has to be.
    """

    schemes: tuple[str, ...] = ("https",)
    hosts: tuple[str, ...] | None = None
    max_bytes: int = 2 * 2**30
    max_seconds: float = 300.0
    max_redirects: int = 5
    is_allowed: Callable[[Address], bool] = is_public

    def __post_init__(self) -> None:
        is_limited = self.max_bytes > 0 and math.isfinite(self.max_seconds) and self.max_seconds > 0
        if not self.schemes or not set(self.schemes) <= set(PORTS) or not is_limited or self.max_redirects < 0:
            msg = f"{self!r}: use schemes from {tuple(PORTS)}, bytes and seconds above 0, and redirects from 0"
            raise ConfigError(msg)


DEFAULT_POLICY = DownloadPolicy()


def download(url: str, folder: str | os.PathLike[str], *, policy: DownloadPolicy = DEFAULT_POLICY) -> Path:
    """Fetch a video, GIF or image into a new file that only its owner may read; the caller removes it.

    Read it isolated: what comes from a network is not to be trusted.

    Args:
        url: Where it is.
        folder: Where the file is written.
        policy: What may be fetched.

    Raises:
        VideoError: The URL, its host or a redirect is not allowed, or the server did not give the whole file in time.
        VideoTooLargeError: It is larger than `policy.max_bytes`.
        VideoDecodeError: What came is of no known container; nothing is left in the folder.
        ConfigError: `url` is no text.
    """
    given: object = url
    if not isinstance(given, str):
        msg = f"{url!r:.200} is no URL; give a text such as 'https://example.com/clip.mp4'"
        raise ConfigError(msg)
    try:
        descriptor, path = tempfile.mkstemp(prefix="video-", dir=folder)  # mode 0600
    except OSError as exc:
        msg = (
            f"no file can be written into {os.fspath(folder)!r}; give a folder that is there and that you may write to"
        )
        raise VideoError(msg) from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            _fetch(url, file, policy)
        with open(path, "rb") as file:
            kind_of(file.read(_HEAD_BYTES), shown(url))
    except BaseException:
        os.unlink(path)
        raise
    return Path(path)


@contextlib.contextmanager
def downloaded(url: str, *, policy: DownloadPolicy = DEFAULT_POLICY) -> Iterator[Path]:
    """Fetch a file for the length of a block; raises as `download` does."""
    with tempfile.TemporaryDirectory(prefix="vreason-") as folder:
        yield download(url, folder, policy=policy)


def is_remote(video: str) -> bool:
    """Whether a name is a URL that `download` could be asked for; it need not allow it."""
    return video.lower().startswith(tuple(f"{scheme}://" for scheme in PORTS))


def _fetch(url: str, file: IO[bytes], policy: DownloadPolicy) -> None:
    given, deadline = repr(shown(url)), time.monotonic() + policy.max_seconds
    name = given
    for _ in range(policy.max_redirects + 1):
        with _answer(url, name, policy, deadline) as response:
            where = response.getheader("Location") if response.status in _REDIRECTS else None
            if not where:
                _copy(response, file, name, policy)
                return
        try:
            url = urljoin(url, where)
        except ValueError as exc:
            msg = f"{name} redirects to what is no URL; {_INSTEAD}"
            raise VideoError(msg) from exc
        name = f"what {given} redirects to"  # where that is, the server alone said
    msg = f"{given}: over max_redirects={policy.max_redirects} redirects; {_INSTEAD}"
    raise VideoError(msg)


def _checked(url: str, name: str, policy: DownloadPolicy) -> SplitResult:
    """Return the parts of a URL that may be fetched; messages call it by `name`."""
    is_plain = url.isascii() and url.isprintable() and not set(url) & set(" \\")  # parsers differ about the others
    try:
        parts = urlsplit(url) if is_plain else SplitResult("", "", "", "", "")
        is_plain = is_plain and parts.port != 0
    except ValueError:
        is_plain = False
    if is_plain and parts.scheme not in policy.schemes:
        msg = f"{name}: only {' and '.join(policy.schemes)} may be fetched; {_INSTEAD}"
        raise VideoError(msg)
    if not is_plain or not parts.hostname or "@" in parts.netloc:
        msg = f"{name} is no plain URL; give one such as https://example.com/clip.mp4, percent-encoded"
        raise VideoError(msg)
    if policy.hosts is not None and parts.hostname not in map(str.lower, policy.hosts):
        msg = f"{name}: its host is not among the allowed ones; allow it in DownloadPolicy.hosts, or {_INSTEAD}"
        raise VideoError(msg)
    return parts


def _resolved(name: str, parts: SplitResult, policy: DownloadPolicy) -> list[tuple[int, Any]]:
    """Return family and socket address of every address of a host, all of them allowed."""
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or PORTS[parts.scheme], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        msg = f"{name}: its host cannot be found; check the URL and the network"
        raise VideoError(msg) from exc
    for *_, where in found:
        if not policy.is_allowed(ipaddress.ip_address(str(where[0]).partition("%")[0])):
            msg = f"{name}: its host leads to an address that is not public; {_INSTEAD}"
            raise VideoError(msg)
    return [(family, where) for family, _, _, _, where in found]


class _Connection(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked, ended when its time is over."""

    def __init__(self, parts: SplitResult, addresses: list[tuple[int, Any]], deadline: float) -> None:
        self.default_port = PORTS[parts.scheme]
        super().__init__(str(parts.hostname), parts.port or self.default_port)
        self._is_secure, self._addresses, self._deadline = parts.scheme == "https", addresses, deadline
        self.is_late = False
        self._open: socket.socket | None = None

    def connect(self) -> None:
        for number, (family, where) in enumerate(self._addresses, start=1):
            self.sock = socket.socket(family, socket.SOCK_STREAM)
            self._open = self.sock  # `sock` is let go of as soon as the response has it
            self.sock.settimeout(max(0.001, self._deadline - time.monotonic()))
            try:
                self.sock.connect(where)
                break
            except OSError:
                self.sock.close()
                if number == len(self._addresses):
                    raise
        if self._is_secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self._open = self.sock
            self.sock.do_handshake()

    def expire(self) -> None:
        """End it, whatever is waited for."""
        self.is_late = True
        if self._open is not None:
            with contextlib.suppress(OSError):  # not connected yet, or no more
                socket.socket.shutdown(self._open, socket.SHUT_RDWR)  # TLS would say goodbye first


@contextlib.contextmanager
def _answer(url: str, name: str, policy: DownloadPolicy, deadline: float) -> Iterator[http.client.HTTPResponse]:
    """Ask for a URL; what goes wrong until the block ends is an error without native text."""
    parts = _checked(url, name, policy)
    connection = _Connection(parts, _resolved(name, parts, policy), deadline)
    timer = Timer(min(TIMEOUT_MAX, max(0.0, deadline - time.monotonic())), connection.expire)
    timer.daemon = True
    timer.start()
    try:
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection.request("GET", path, headers=_HEADERS)
        with connection.getresponse() as response:
            yield response
        if connection.is_late:  # a body without a length just ends
            raise TimeoutError
    except (OSError, http.client.HTTPException) as exc:
        late = f"took over max_seconds={policy.max_seconds:g}"
        why = late if connection.is_late or isinstance(exc, TimeoutError) else "the connection failed or broke off"
        msg = f"{name} could not be fetched: {why}; try again, or {_INSTEAD}"
        raise VideoError(msg) from exc
    finally:
        timer.cancel()
        connection.close()


def _copy(response: http.client.HTTPResponse, file: IO[bytes], name: str, policy: DownloadPolicy) -> None:
    """Write the body of an answer into a file, if it is one that is not encoded, and not too large."""
    encoding = response.getheader("Content-Encoding", "identity").strip().lower()
    if response.status != 200 or encoding != "identity":
        msg = f"{name} was answered with status {response.status} and no plain file; check the URL in a browser"
        raise VideoError(msg)
    num_bytes, announced = 0, response.length or 0  # which is not believed
    while max(num_bytes, announced) <= policy.max_bytes and (chunk := response.read1(_CHUNK_BYTES)):
        num_bytes, announced = num_bytes + len(chunk), 0
        try:
            file.write(chunk)
            file.flush()
        except OSError as exc:  # told apart from what a connection raises
            msg = "the file that is fetched cannot be written; free some space, or give another folder (TMPDIR)"
            raise VideoError(msg) from exc
    if max(num_bytes, announced) > policy.max_bytes:
        msg = f"{name} has over max_bytes={policy.max_bytes:,} bytes; cut the part you need, or {_INSTEAD}"
        raise VideoTooLargeError(msg)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
