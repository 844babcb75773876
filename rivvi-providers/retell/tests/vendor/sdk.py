"""Retell's own SDK, for tests; see scripts/services.d/vendor-sdks/server.py.

sign     {"body", "key", "timestamp"}         -> {"signature"}
verify   {"body", "key", "signature"}         -> {"verified"}, by this machine's clock
check    {"type", "value"}                    -> {"problem"}: null if the value is one of that type of `retell.types`
converse {"base_url", "key", "to", "from"}    -> {"problem"}: null if the SDK, reading strictly, understands every
                                                  answer of the server at that URL: place, get, list, stop, concurrency
"""

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


VERBS = {"sign": sign, "verify": verify, "check": check, "converse": converse}
