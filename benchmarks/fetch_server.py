"""The web that the fetch benchmarks ask: 46 kB pages after 50 ms, plain and TLS, on loopback addresses.

    python benchmarks/fetch_server.py PORT [CERT KEY]

asyncio over raw sockets: a server must cost much less than the clients that it measures.
"""

import asyncio
import gzip
import random
import ssl
import sys

LATENCY_S = 0.05
ADDRESSES = 200  # 127.0.0.1 .. 127.0.0.200


def article() -> bytes:
    """46 kB of HTML that gzips to about 20 kB."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(3000)]
    text = " ".join(chance.choices(words, k=9000))[:45_800]
    return f"<!doctype html><html><head><title>t</title></head><body><p>{text}</p></body></html>".encode()


PAGE = gzip.compress(article(), 6, mtime=0)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
ANSWER = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE
NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"


class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.received = b""

    def data_received(self, data):
        self.received += data
        while b"\r\n\r\n" in self.received:
            request, _, self.received = self.received.partition(b"\r\n\r\n")
            path = request.split(b" ", 2)[1]
            answer = NOTHING if path.endswith((b".txt", b".json")) else ANSWER
            asyncio.get_running_loop().call_later(LATENCY_S, self.answer, answer)

    def answer(self, answer):
        if not self.transport.is_closing():
            self.transport.write(answer)


async def serve(port: int, context: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    hosts = [f"127.0.0.{number}" for number in range(1, ADDRESSES + 1)]
    server = await loop.create_server(Server, hosts, port, ssl=context, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    context = None
    if len(sys.argv) > 2:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*sys.argv[2:])
    asyncio.run(serve(int(sys.argv[1]), context))
