"""tests/interop/doh.py: a resolver behind HTTPS (RFC 8484) for one browser: every name is 127.0.0.1, and its HTTPS record
(RFC 9460) carries the ECHConfigList that it was given. `python3 doh.py PORT CERT KEY LIST-FILE`; loopback alone."""

import base64
import http.server
import ssl
import struct
import sys
import urllib.parse

A, HTTPS, IN = 1, 65, 1
SVCB_ALPN, SVCB_ECH = 1, 5


def name_end(message, at):
    while message[at] != 0:
        at += 1 + message[at]
    return at + 1


def parameter(key, value):
    return struct.pack(">HH", key, len(value)) + value


def answer(query, ech):
    """The query's own question and, for the types that there are, one record for it."""
    end = name_end(query, 12)
    kind, _ = struct.unpack(">HH", query[end:end + 4])
    data = b""
    if kind == A:
        data = bytes((127, 0, 0, 1))
    elif kind == HTTPS:
        # priority 1; the name itself, also for _PORT._https.NAME, of which "." would mean the whole (section 2.5.2)
        labels = query[12:end]
        while labels[1:2] == b"_":
            labels = labels[1 + labels[0]:]
        data = struct.pack(">H", 1) + labels + parameter(SVCB_ALPN, b"\x08http/1.1") + parameter(SVCB_ECH, ech)
    record = b"\xc0\x0c" + struct.pack(">HHIH", kind, IN, 60, len(data)) + data if data else b""
    return query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1 if record else 0, 0, 0) + query[12:end + 4] + record


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ech = b""

    def reply(self, query):
        body = answer(query, self.ech)
        end = name_end(query, 12)
        print("asked", query[12:end], query[end:end + 2], flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "application/dns-message")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        words = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["dns"][0]
        self.reply(base64.urlsafe_b64decode(words + "=" * (-len(words) % 4)))

    def do_POST(self):
        self.reply(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *args):
        pass


def main():
    port, cert, key, ech = sys.argv[1:]
    with open(ech, "rb") as f:
        Handler.ech = f.read()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
