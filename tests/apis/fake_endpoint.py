"""A chat-completions endpoint on this machine that replies as it is told."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class FakeEndpoint(HTTPServer):
    """Replies with the next of a list of ``(status, reply)`` and keeps what it was sent."""

    def __init__(self):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.replies, self.seen = [], []
        self.url = f'http://127.0.0.1:{self.server_port}/v1'


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        server = self.server
        server.seen.append((self.path, dict(self.headers), json.loads(body)))
        status, reply = server.replies.pop(0) if server.replies else (200, '1')
        if not isinstance(reply, dict):
            reply = {'choices': [{'message': {'content': reply}}]}
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@contextmanager
def running_endpoint():
    """The endpoint in a thread of its own, for as long as the context lasts."""
    server = FakeEndpoint()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
