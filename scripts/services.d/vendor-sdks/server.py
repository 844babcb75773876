"""Vendors' SDKs as a server for tests: python server.py PORT NAME=FILE...

GET  /             200, once it is up
POST /NAME/VERB    a JSON object, given to the function VERB in `VERBS` of that file, whose answer is sent as JSON
"""

import importlib.util
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {f"/{name}/{verb}": function for verb, function in module.VERBS.items()}


VERBS = {}
for argument in sys.argv[2:]:
    VERBS.update(load(*argument.split("=", 1)))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        verb = VERBS.get(self.path)
        if verb is None:
            self.answer(404, {})
            return
        try:
            self.answer(200, verb(asked))
        except Exception as error:
            self.answer(500, {"error": f"{type(error).__name__}: {error}"})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
