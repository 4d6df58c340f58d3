"""Whether a server can listen at an address."""

from __future__ import annotations

import socket


def port_fault(host: str, port: int) -> str:
    """Returns why nothing can listen on a port, such as that something does; empty where it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
        except OverflowError:
            return f"found {port}; allowed: 0 to 65535"
    return ""
