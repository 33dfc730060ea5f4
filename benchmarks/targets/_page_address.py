"""The page's address, as others reach it and as a phone's camera reads it."""

import io
import ipaddress
import socket

# Addresses of documentation: nothing is sent to them.
_ANYWHERE = {
    "0.0.0.0": (socket.AF_INET, "192.0.2.1", "127.0.0.1"),
    "::": (socket.AF_INET6, "2001:db8::1", "::1"),
}


def address(server, token):
    """The address of a page. The token that lets it in stands behind `#`, which
    browsers keep to themselves."""
    host = _reachable(server.host)
    bracketed = f"[{host}]" if ":" in host else host
    return f"http://{bracketed}:{server.port}/#{token}"


def _reachable(host):
    """An address by which others reach what listens on `host`."""
    if host not in _ANYWHERE:
        return host
    family, elsewhere, here = _ANYWHERE[host]
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        try:
            # Chooses the interface of the way out, and sends nothing.
            udp.connect((elsewhere, 9))
        except OSError:
            return here
        return udp.getsockname()[0]


def invitation(server, url):
    """What a person is told who shall open the page: a line and, where a phone can
    reach it, a QR code."""
    if ipaddress.ip_address(server.host).is_loopback:
        return (
            f"Open {url} in a browser on this machine. For a phone use --address "
            "0.0.0.0; or, with threads and WebGPU too, a cable: `adb reverse "
            f"tcp:{server.port} tcp:{server.port}`, and the same address there."
        )
    import segno

    picture = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(picture, compact=True)
    return f"Open {url} on the phone:\n{picture.getvalue().rstrip()}"
