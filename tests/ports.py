"""Spare ports for the servers that tests start."""

import socket


def free_port() -> int:
    """Return a port of the loopback that no process listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
