"""A web server of Python's standard library. It takes a socket that is open already (file descriptor 3), or the port in PORT."""

import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/whoami":
            about = {
                "program": "python",
                "process": os.getpid(),
                "instance": os.environ.get("NARTHEX_INSTANCE"),
                "path": self.path,
                "prefix": self.headers.get("X-Forwarded-Prefix", ""),
            }
            self.answer(200, "application/json", json.dumps(about))
        elif self.path == "/healthz":
            self.answer(200, "text/plain", "well")
        elif self.path == "/":
            page = f'<!doctype html><title>Python</title><h1>Python, process {os.getpid()}</h1><p><a href="whoami">who am I</a>'
            self.answer(200, "text/html; charset=utf-8", page)
        else:
            self.answer(404, "text/plain", "there is no such page")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, "text/plain", f"{len(body)} bytes")

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        # Over a Unix socket there is no address; whose request it is, the header says.
        return self.headers.get("X-Forwarded-For", "-")


def make_server():
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000")))
        return ThreadingHTTPServer(address, Handler)
    server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=3)
    server.get_request = lambda: (server.socket.accept()[0], ("unix", 0))
    return server


server = make_server()
# From another thread: shutdown waits for the loop that a signal's handler would interrupt.
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("listening", flush=True)
server.serve_forever()
sys.exit(0)
