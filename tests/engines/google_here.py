"""Google of this machine: an emulator of its storage on loopback, and a Dataflow that knows one project and one region."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

PROJECT, REGION = "sample-project", "europe-west4"


@contextlib.contextmanager
def storage_emulator(bucket: str) -> Iterator[str]:
    """The address of an emulator with one bucket, for STORAGE_EMULATOR_HOST."""
    server = create_server("localhost", 0, in_memory=True, default_bucket=bucket)
    server.start()
    try:
        yield f"http://localhost:{server._api._httpd.server_address[1]}"
    finally:
        server.stop()


def client(address: str) -> Client:
    return Client(project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": address})


class DataflowAnswers(BaseHTTPRequestHandler):
    """Jobs of a project in a region, or the errors that the service has for the others."""

    def do_GET(self) -> None:
        _, _, _, project, _, region, _ = self.path.partition("?")[0].split("/")
        if project != PROJECT:
            self.answer(403, {"error": {"message": f"(8d): Permission denied on resource project {project}.\nSee the help."}})
        elif region != REGION:
            self.answer(400, {"error": {"message": f"(2f): invalid regional endpoint ({region})."}})
        else:
            self.answer(200, {"jobs": []})

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: object) -> None:
        pass


@contextlib.contextmanager
def dataflow_service() -> Iterator[str]:
    """Its address, for --dataflow_endpoint."""
    server = HTTPServer(("127.0.0.1", 0), DataflowAnswers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
