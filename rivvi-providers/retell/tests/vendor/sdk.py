"""Retell's own SDK as a server for tests: python sdk.py PORT

GET  /         200, once it is up
POST /sign     {"body", "key", "timestamp"}         -> {"signature"}
POST /verify   {"body", "key", "signature"}         -> {"verified"}, by this machine's clock
POST /check    {"type", "value"}                    -> {"problem"}: null if the value is one of that type of `retell.types`
POST /converse {"base_url", "key", "to", "from"}    -> {"problem"}: null if the SDK, reading strictly, understands every
                                                       answer of the server at that URL: place, get, list, stop, concurrency
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydantic import TypeAdapter
from retell import Retell, types
from retell.lib import webhook_auth


def sign(asked):
    signature = webhook_auth.symmetric["sign"](asked["body"], asked["key"], asked["timestamp"])
    return {"signature": signature}


def verify(asked):
    return {"verified": webhook_auth.verify(asked["body"], asked["key"], asked["signature"])}


def check(asked):
    try:
        TypeAdapter(getattr(types, asked["type"])).validate_python(asked["value"])
        return {"problem": None}
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}"}


def converse(asked):
    try:
        client = Retell(
            api_key=asked["key"], base_url=asked["base_url"], max_retries=0, _strict_response_validation=True
        )
        placed = client.call.create_phone_call(
            from_number=asked["from"], to_number=asked["to"], metadata={"n": 1}, idempotency_key="once"
        )
        again = client.call.create_phone_call(
            from_number=asked["from"], to_number=asked["to"], metadata={"n": 1}, idempotency_key="once"
        )
        assert again.call_id == placed.call_id, "an idempotency key makes one call"
        assert client.call.retrieve(placed.call_id).call_id == placed.call_id
        criteria = {"to_number": {"type": "string", "op": "eq", "value": asked["to"]}}
        listed = client.call.list(filter_criteria=criteria, sort_order="descending", limit=1000)
        assert [item.call_id for item in listed.items] == [placed.call_id]
        client.call.stop(placed.call_id)
        client.concurrency.retrieve()
        return {"problem": None}
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}"}


VERBS = {"/sign": sign, "/verify": verify, "/check": check, "/converse": converse}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        verb = VERBS.get(self.path)
        if verb is None:
            self.answer(404, {})
        else:
            self.answer(200, verb(asked))

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
