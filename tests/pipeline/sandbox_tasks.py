"""Tasks for the sandbox's tests: each does one thing that a hostile page could make a library do."""

import ctypes
import os
import re
import time


def behave(header: dict, payload: bytes) -> dict:
    kind = header["kind"]
    if kind == "echo":
        return {"length": len(payload), "suffix": header["suffix"], "pid": os.getpid()}
    if kind == "print":
        print("noise", flush=True)
        os.write(1, b"more noise")
        return {"fine": True}
    if kind == "loop":
        while True:
            pass
    if kind == "loop in C":
        re.match(r"(a+)+$", "a" * 60 + "b")
    if kind == "wait":
        time.sleep(3600)
    if kind == "allocate":
        return {"length": len(b"x" * (8 << 30))}
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "raise":
        raise ValueError("a page did this")
    if kind == "exit":
        os._exit(7)
    raise AssertionError(kind)
