"""A web server on this computer whose faults can be set; it counts requests."""

import contextlib
import http.server
import re
import threading


class FileServer:
    """Serves `files`, with ranges and ETags, and keeps account of what it did.

    Attributes:
        files: `{"/path": bytes}`; any other path is answered with 404.
        requests: `(path, range)` of each GET, `range` being the first byte asked
            for, or `None`.
        sent: Bytes of bodies that were sent.
        cuts: For each request to come, after how many bytes it is cut; `None`: not.
        drops: How many requests to come get no answer at all.
        stall_after: Bytes after which every answer stops without an end.
        status: What every request is answered with, if not `None`.
        reason: The phrase beside the status; `None`: the usual one.
        validators: Headers that tell a version of a file from another.
        content_type: Of every answer.
        ranges: `"yes"`, `"no"` (always the whole file), `"blind"` (whatever
            If-Range says), `"short"` (half of what was asked for).
        chunked: Whether bodies come in chunks, without a Content-Length.
        gate: Answers wait until this event is set.
        arrived: Set by the first request.
    """

    def __init__(self, files):
        self.files = files
        self.requests = []
        self.sent = 0
        self.cuts = []
        self.drops = 0
        self.stall_after = None
        self.status = self.reason = None
        self.validators = {"ETag": '"first"'}
        self.content_type = "application/octet-stream"
        self.ranges = "yes"
        self.chunked = False
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        self.stopped = threading.Event()

    @contextlib.contextmanager
    def running(self):
        handler = type("Handler", (_Handler,), {"files": self})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            self.stopped.set()
            self.gate.set()
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.files
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else None
        server.requests.append((self.path, first))
        server.arrived.set()
        server.gate.wait(60)
        self.close_connection = True
        if server.drops:
            server.drops -= 1
            return None
        body = server.files.get(self.path)
        status = server.status or (200 if body is not None else 404)
        body = body or b""
        if status != 200:
            return self._answer(status, {}, b"gone")
        current = self.headers.get("If-Range") in (None, *server.validators.values())
        if first is None or server.ranges == "no":
            return self._answer(200, server.validators, body)
        if not current and server.ranges != "blind":
            return self._answer(200, server.validators, body)
        if first >= len(body):
            return self._answer(416, {"Content-Range": f"bytes */{len(body)}"}, b"")
        last = len(body) - 1
        if server.ranges == "short":
            last = (first + last) // 2
        span = {"Content-Range": f"bytes {first}-{last}/{len(body)}"}
        return self._answer(206, span | server.validators, body[first : last + 1])

    def _answer(self, status, headers, body):
        server = self.files
        self.send_response(status, server.reason)
        self.send_header("Content-Type", server.content_type)
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        stop = server.stall_after if cut is None else cut
        whole = stop is None
        body = body[:stop]
        server.sent += len(body)
        if server.chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) + b"0\r\n\r\n" * whole
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
            self.wfile.flush()
            if not whole and cut is None:
                server.stopped.wait(60)
