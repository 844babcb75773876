"""An SMTP server (aiosmtpd) that keeps what it takes, and refuses or breaks what it is told to.

    server.py PORT CERTIFICATE KEY

PORT is HTTP, PORT + 1 SMTP with STARTTLS, PORT + 2 SMTP within TLS. User `rivvi`, password `correct horse`.

    GET /                     {"smtp": port, "tls": port, "certificate": PEM}
    GET /mails/ADDRESS        what was taken for this address, decoded by Python's own parser
    PUT /faults/ADDRESS       the body says how the next e-mail to this address goes wrong:
        mail 550 text         ... (also rcpt, data, message) the command is answered so; message: after the final dot
        data cut              ... the connection is closed at this command
        message cut           ... it is closed after the final dot, and nothing is taken
        message taken-cut     ... it is taken, and the connection closed
        message taken-silence ... it is taken, and never answered
        message taken-garbage ... it is taken, and answered with what is no answer

A fault of `mail` goes by the address of the sender.
"""

import asyncio
import email
import email.policy
import json
import logging
import ssl
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from aiosmtpd.smtp import SMTP, AuthResult

PORT, CERTIFICATE, KEY = int(sys.argv[1]), sys.argv[2], sys.argv[3]
LOCK = threading.Lock()
MAILS = {}
FAULTS = {}


def fault_of(address, command):
    """The fault of this address at this command, which is then over."""
    with LOCK:
        where, _, what = FAULTS.get(address, "").partition(" ")
        if where != command:
            return None
        del FAULTS[address]
        return what


def cut(server):
    server.transport.abort()
    return "421 closing"


def keep(envelope):
    message = email.message_from_bytes(envelope.original_content, policy=email.policy.SMTP)
    sender = message["from"].addresses[0]
    mail = {
        "envelope_from": envelope.mail_from,
        "to": envelope.rcpt_tos[0],
        "sender": sender.addr_spec,
        "sender_name": sender.display_name or None,
        "subject": str(message["subject"] or ""),
        "text": message.get_content(),
        "id": str(message["message-id"]),
        "headers": message.keys(),
    }
    with LOCK:
        MAILS.setdefault(envelope.rcpt_tos[0], []).append(mail)


class Server(SMTP):
    async def smtp_DATA(self, arg):
        for address in self.envelope.rcpt_tos if self.envelope else []:
            what = fault_of(address, "data")
            if what:
                return await self.push(cut(self) if what == "cut" else what)
        return await super().smtp_DATA(arg)


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        what = fault_of(address, "mail")
        if what:
            return cut(server) if what == "cut" else what
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        what = fault_of(address, "rcpt")
        if what:
            return cut(server) if what == "cut" else what
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        what = fault_of(envelope.rcpt_tos[0], "message")
        if what == "cut":
            return cut(server)
        if what is None or what.startswith("taken"):
            keep(envelope)
        if what == "taken-cut":
            return cut(server)
        if what == "taken-silence":
            await asyncio.sleep(3600)
        if what == "taken-garbage":
            return "what?"
        return what or f"250 2.0.0 Ok: queued as {uuid.uuid4().hex}"


def authenticate(server, session, envelope, mechanism, data):
    known = data.login == b"rivvi" and data.password == b"correct horse"
    return AuthResult(success=known, handled=False)


class Control(BaseHTTPRequestHandler):
    def do_GET(self):
        address = unquote(self.path).removeprefix("/mails/")
        if self.path == "/":
            with open(CERTIFICATE) as certificate:
                answer = {"smtp": PORT + 1, "tls": PORT + 2, "certificate": certificate.read()}
        else:
            with LOCK:
                answer = MAILS.get(address, [])
        self.answer(json.dumps(answer).encode())

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        with LOCK:
            FAULTS[unquote(self.path).removeprefix("/faults/")] = body
        self.answer(b"")

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


async def main():
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE, KEY)

    def smtp(**options):
        return Server(Handler(), authenticator=authenticate, enable_SMTPUTF8=True, hostname="localhost", **options)

    loop = asyncio.get_running_loop()
    await loop.create_server(
        lambda: smtp(tls_context=tls, auth_require_tls=False), "127.0.0.1", PORT + 1
    )
    await loop.create_server(lambda: smtp(auth_require_tls=False), "127.0.0.1", PORT + 2, ssl=tls)
    control = ThreadingHTTPServer(("127.0.0.1", PORT), Control)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    await asyncio.Event().wait()


asyncio.run(main())
