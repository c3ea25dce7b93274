"""A task for a sandbox that does what no page may bring it to."""

import socket


def connect(header: dict, payload: bytes) -> dict:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 80))
    return {}
