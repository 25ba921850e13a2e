"""An endpoint that is told of changes by a Subscription."""

import queue
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Hook:
    def __init__(self):
        told = self.told = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(204)
                self.end_headers()
                told.put(self.headers["X-Secret"])

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def subscription(self, criteria):
        endpoint = f"http://127.0.0.1:{self.server.server_port}/told"
        channel = {"type": "rest-hook", "endpoint": endpoint, "header": ["X-Secret: s3cret"]}
        return {"status": "requested", "reason": "a test", "criteria": criteria, "channel": channel}

    def is_told(self):
        assert self.told.get(timeout=30) == "s3cret"
