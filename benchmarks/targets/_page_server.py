"""The local web server of the page that measures in a browser."""

import contextlib
import errno
import http.server
import json
import pathlib
import shutil
import socket
import socketserver
import sys
import threading

from keras_effnet.benchmarks.targets import _page_jobs
from keras_effnet.errors import InputError

_PAGE = pathlib.Path(__file__).parent.parent / "browser"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
# More than the pages of a test have; a request that takes longer is no page's.
_CONNECTIONS, _REQUEST_SECONDS = 64, 120
_RESULT_BYTES, _SHORT_BYTES = 32 * 2**20, 16 * 2**10
_HEADERS = {
    # Nothing from elsewhere, and nothing of this page in others.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "connect-src 'self'; worker-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Both are what a browser asks for before it gives a page threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_KEPT = "private, max-age=3600, immutable"


def page_files():
    """The files of the page itself, as `PageServer` takes them."""
    return {
        f"/{path.name}".removesuffix("index.html"): (
            f"{_TYPES[path.suffix]}; charset=utf-8",
            path,
        )
        for path in _PAGE.iterdir()
        if path.suffix in _TYPES
    }


class PageServer:
    """Serves fixed files to all, and a job to the page that has the token.

    `files` are (content type, bytes or path) by the path in the address; a `port` of 0
    is any that is free. `host` and `port` then are what it listens on."""

    def __init__(self, host, port, files, jobs):
        self._server = _bound(host, port, {"files": files, "jobs": jobs})
        self.host, self.port = self._server.server_address[:2]
        self._thread = None

    def start(self):
        """Answers requests from now on."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def close(self):
        """Answers none any more and gives the port back."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()


def _bound(host, port, shared):
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        server = type("Server", (_Server,), {"address_family": family})
        return server((host, port), type("Handler", (_Handler,), shared))
    except (OSError, OverflowError) as error:
        if port and isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            reason = "it is in use; 0 takes any that is free"
        else:
            reason = getattr(error, "strerror", None) or str(error)
            reason += "; `host` is an address of this machine, 0.0.0.0 for all of them"
        raise InputError(
            f"The page can't be served there: {reason}. "
            f"Received: host={host!r}, port={port!r}"
        ) from error


class _Server(http.server.ThreadingHTTPServer):
    # The parent's asks the network for this machine's name, which may take long.
    server_bind = socketserver.TCPServer.server_bind

    daemon_threads = True

    def __init__(self, *arguments):
        self._free = threading.Semaphore(_CONNECTIONS)
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request, client_address):
        # A page may be closed while it is answered.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    def __init__(self, status):
        super().__init__(status)
        self.status = status


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "keras_effnet", ""
    timeout = 30

    def handle_one_request(self):
        # The timeout is each byte's; this one is the whole request's.
        end = threading.Timer(_REQUEST_SECONDS, self._cut)
        end.daemon = True
        end.start()
        try:
            super().handle_one_request()
        finally:
            end.cancel()

    def _cut(self):
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args):
        """Standard error belongs to the command."""

    def end_headers(self):
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def do_GET(self):
        self._answer(self._get)

    def do_POST(self):
        self._answer(self._post)

    def _answer(self, method):
        path = self.path.partition("?")[0]
        try:
            method(path)
        except _Refused as refused:
            # What is left of a body that nobody read would be the next request.
            self.close_connection = True
            self._send(refused.status)

    def _get(self, path):
        if path in self.files:
            self._send(200, *self.files[path], kept=path.startswith("/runtime/"))
            return
        self._check_token()
        if path == "/job":
            self._send_job()
            return
        job = self._job()
        if path == f"/job/model/{job.message['sha256']}":
            self._send(200, "application/octet-stream", job.model, kept=True)
            return
        part = self._part(path, "/job/inputs/", len(job.inputs))
        self._send(200, "application/octet-stream", job.inputs[part])

    def _send_job(self):
        try:
            message = self.jobs.take(self.headers.get("X-Page"))
        except _page_jobs.Busy:
            raise _Refused(409) from None
        if message is None:
            self._send(204)
        else:
            self._send(200, "application/json", json.dumps(message).encode())
            if message["kind"] == "end":
                self.jobs.end_told()

    def _post(self, path):
        self._check_token()
        if path == "/leave":
            self.jobs.leave(self.headers.get("X-Page"))
            self._body(0)
            self._send(204)
            return
        job = self._job()
        if path == "/job/alive":
            self._body(_SHORT_BYTES)
        elif path in ("/job/done", "/job/failed"):
            done = path == "/job/done"
            result = self._json(_RESULT_BYTES if done else _SHORT_BYTES)
            if not self.jobs.finish(job, {**result, "failed": not done}):
                raise _Refused(410)
        else:
            part = self._part(path, "/job/outputs/", len(job.output_sizes))
            size = job.output_sizes[part]
            body = self._body(size)
            if len(body) != size:
                raise _Refused(400)
            job.outputs[part] = body
        self._send(204)

    def _check_token(self):
        if not self.jobs.knows(self.headers.get("X-Token")):
            raise _Refused(403)

    def _job(self):
        job = self.jobs.job(self.headers.get("X-Job"))
        if job is None:
            raise _Refused(410)
        return job

    def _part(self, path, prefix, count):
        number = path.removeprefix(prefix)
        known = path.startswith(prefix) and number.isascii() and number.isdigit()
        if not known or len(number) > 9 or int(number) >= count:
            raise _Refused(404)
        return int(number)

    def _body(self, most):
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise _Refused(411)
        if len(length) > 12 or int(length) > most:
            raise _Refused(413)
        return self.rfile.read(int(length))

    def _json(self, most):
        try:
            value = json.loads(self._body(most))
        except (ValueError, RecursionError):
            raise _Refused(400) from None
        if not isinstance(value, dict):
            raise _Refused(400)
        return value

    def _send(self, status, content_type=None, source=b"", kept=False):
        is_file = isinstance(source, pathlib.Path)
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Cache-Control", _KEPT if kept else "no-store")
        if status != 204:
            size = source.stat().st_size if is_file else len(source)
            self.send_header("Content-Length", str(size))
        self.end_headers()
        if is_file:
            with source.open("rb") as file:
                shutil.copyfileobj(file, self.wfile)
        else:
            self.wfile.write(source)
