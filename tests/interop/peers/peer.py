"""tests/interop/peers/peer.py: the end of the interop matrix in Python's ssl module. Server: sends back what comes. Client:
sends a file in parts, expects each back."""

import argparse
import socket
import ssl
import sys

CURVES = {"secp256r1": "prime256v1"}


def context(o):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if o.role == "server" else ssl.PROTOCOL_TLS_CLIENT)
    ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    ctx.load_verify_locations(o.ca)
    if o.cert:
        ctx.load_cert_chain(o.cert, o.key)
    if o.require_client_cert:
        ctx.verify_mode = ssl.CERT_REQUIRED
    if o.group:
        ctx.set_ecdh_curve(CURVES.get(o.group, o.group))
    return ctx


def serve(o, ctx):
    listener = socket.create_server(("127.0.0.1", o.port))
    while True:
        plain, _ = listener.accept()
        try:
            with ctx.wrap_socket(plain, server_side=True) as tls:
                data = tls.recv(65536)
                while data:
                    tls.sendall(data)
                    data = tls.recv(65536)
        except OSError as why:
            print(why, file=sys.stderr, flush=True)


def read_exactly(tls, n):
    out = b""
    while len(out) < n:
        data = tls.recv(65536)
        if not data:
            break
        out += data
    return out


def connect(o, ctx, session):
    with open(o.data, "rb") as f:
        data = f.read()
    with socket.create_connection(("127.0.0.1", o.port), 10) as plain:
        with ctx.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
            piece = min(len(data) // 4, 32768)
            for at in range(0, len(data), piece):
                part = data[at:at + piece]
                tls.sendall(part)
                if read_exactly(tls, len(part)) != part:
                    sys.exit("the echo is not what was sent")
            print(tls.version(), tls.cipher(), "resumed" if tls.session_reused else "full")
            return tls.session


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role")
    parser.add_argument("--port", type=int)
    for name in ("ca", "cert", "key", "group", "suite", "data"):
        parser.add_argument("--" + name)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--require-client-cert", action="store_true")
    o = parser.parse_args()
    ctx = context(o)
    if o.role == "server":
        serve(o, ctx)
    session = connect(o, ctx, None)
    if o.resume:
        connect(o, ctx, session)


main()
