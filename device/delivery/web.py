# SPDX-License-Identifier: Apache-2.0
"""HTTP(S) by the standard library: the source of files where an application hands in none of its own.

Proxies and certificates are found by the standard library's rules (``https_proxy``, ``no_proxy``, ``SSL_CERT_FILE``).
Name resolution alone has the system's own time limit. This module does not try again, and does not know what is
fetched.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from pocketrec.device.base.errors import FetchError
from pocketrec.device.delivery.urls import is_address, origin, shown

_LONGEST: Final = 86_400.0  # seconds: the system's timers know no more than a few months
_LOGIN: Final = "Authorization"


class _Watched(http.client.HTTPConnection):
    """A connection that is cut where connection and head of the answer take longer than its timeout."""

    def connect(self) -> None:
        self._timer = threading.Timer(float(self.timeout or 30.0), self._cut)
        self._timer.daemon = True
        self._timer.start()
        try:
            super().connect()
        except BaseException:
            self._timer.cancel()
            raise

    def getresponse(self) -> http.client.HTTPResponse:
        try:
            return super().getresponse()
        finally:
            self._timer.cancel()

    def _cut(self) -> None:
        with contextlib.suppress(OSError, TypeError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # not SSLSocket's, which is not made for two threads


class _WatchedSecurely(_Watched, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Watched, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_WatchedSecurely, request, context=self._context)  # type: ignore[attr-defined]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, ten at most, to HTTP(S) alone, never from HTTPS to HTTP; a password stays with its host."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        secure = req.full_url.lower().startswith("https:")
        if not newurl.lower().startswith("https:" if secure else ("http:", "https:")) or not is_address(newurl):
            told = f"{req.full_url} leads to {shown(newurl)}"
            raise FetchError(f"{told}, which is not followed: name the right address")
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        login = req.unredirected_hdrs.get(_LOGIN)
        if following is not None and login and origin(newurl) == origin(req.full_url):
            following.add_unredirected_header(_LOGIN, login)
        return following


class Web:
    """A source: call it with an address, headers and seconds, and it gives an answer, whatever its status."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(_Http, _Https, _Redirects)
        self._opener.addheaders = [("User-Agent", "pocketrec")]  # a version would tell devices apart

    def __call__(self, url: str, headers: Mapping[str, str], timeout: float) -> Any:
        """The answer to a GET.

        Raises:
            FetchError: it will not be had by trying again.
            OSError, http.client.HTTPException: it may be.
        """
        request = urllib.request.Request(url)
        for name, value in headers.items():
            add = request.add_unredirected_header if name == _LOGIN else request.add_header
            add(name, value)
        try:
            return self._opener.open(request, timeout=min(timeout, _LONGEST))
        except urllib.error.HTTPError as error:
            return error
        except urllib.error.URLError as error:
            if type(error.reason).__name__ == "SSLCertVerificationError":
                raise FetchError(f"the certificate of {url} is not trusted ({error.reason}): check address and clock, "
                                 "or name the authority's file in SSL_CERT_FILE") from None  # fmt: skip
            raise ConnectionError(str(error.reason)) from None
        except ValueError as error:  # UnicodeError too
            raise FetchError(f"{url} is not an address, or leads to none ({error}): name the right one") from None
