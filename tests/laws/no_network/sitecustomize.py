"""On the path of a run and of all its children: every connection is refused and noted in the file $LAWS_CONNECTIONS."""

import os
import socket
import sys
from typing import Any, NoReturn


def refused(*words: Any, **_named: Any) -> NoReturn:
    with open(os.environ["LAWS_CONNECTIONS"], "a") as file:
        file.write(f"{sys.argv} {words[1:]}\n")
    raise OSError("this run has no network")


socket.socket.connect = refused  # type: ignore[method-assign]
socket.socket.connect_ex = refused  # type: ignore[method-assign]
socket.socket.sendto = refused  # type: ignore[method-assign]
socket.getaddrinfo = refused
