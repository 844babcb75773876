"""The SDKs of Twilio and Vonage, for tests; see scripts/services.d/vendor-sdks/server.py.

twilio_sign    {"token", "url", "params", "algorithm"}               -> {"signature"}
twilio_verify  {"token", "url", "params", "signature", "algorithm"}  -> {"verified"}
vonage_sign    {"secret", "method", "params"}                        -> {"signature"}; the methods are HMACs
vonage_verify  {"secret", "method", "params"}                        -> {"verified"}, with `sig` among the parameters
vonage_token   {"secret", "token"}                                   -> {"verified"}, of a token that signs a webhook
vonage_sms     {"params"}       -> {"problem"}: null if they are what the SDK would send for them, but for the credentials
vonage_message {"body"}         -> {"problem"}: the same for a body of the Messages API
make_key       {}               -> {"private", "public"}, as PEM
read_token     {"token", "public"}  -> {"claims"} of a token for a request
make_token     {"claims", "secret"} -> {"token"} that signs a webhook
"""

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twilio.request_validator import RequestValidator
from vonage_http_client.auth import Auth
from vonage_jwt.verify_jwt import verify_signature
from vonage_messages.models import Sms
from vonage_sms.requests import SmsMessage


def twilio_sign(asked):
    validator = RequestValidator(asked["token"])
    return {"signature": validator.compute_signature(asked["url"], asked["params"], asked["algorithm"])}


def twilio_verify(asked):
    validator = RequestValidator(asked["token"])
    arguments = (asked["url"], asked["params"], asked["signature"], asked["algorithm"])
    return {"verified": validator.validate(*arguments)}


def auth(asked):
    return Auth(api_key="abcd1234", signature_secret=asked["secret"], signature_method=asked["method"])


def vonage_sign(asked):
    return {"signature": auth(asked).sign_params(asked["params"])}


def vonage_verify(asked):
    return {"verified": auth(asked).check_signature(asked["params"])}


def vonage_token(asked):
    return {"verified": verify_signature(asked["token"], asked["secret"])}


def same(model, given, ignored=()):
    """Whether a model makes of the given values just these."""
    given = {name: value for name, value in given.items() if name not in ignored}
    names = {"from": "from_"}
    try:
        fields = {names.get(name, name.replace("-", "_")): value for name, value in given.items()}
        made = model(**fields).model_dump(by_alias=True, exclude_none=True, mode="json")
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}"}
    texts = {name: str(value) for name, value in made.items()}
    different = {name for name in given.keys() | made.keys() if str(given.get(name)) != texts.get(name)}
    return {"problem": f"differ: {sorted(different)}" if different else None}


def vonage_sms(asked):
    return same(SmsMessage, asked["params"], ("api_key", "api_secret", "sig", "timestamp"))


def vonage_message(asked):
    return same(Sms, asked["body"])


def make_key(_):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {"private": private.decode(), "public": public.decode()}


def read_token(asked):
    return {"claims": jwt.decode(asked["token"], asked["public"], algorithms=["RS256"])}


def make_token(asked):
    return {"token": jwt.encode(asked["claims"], asked["secret"], algorithm="HS256")}


VERBS = {
    function.__name__: function
    for function in (
        twilio_sign, twilio_verify, vonage_sign, vonage_verify, vonage_token, vonage_sms, vonage_message, make_key,
        read_token, make_token,
    )
}
