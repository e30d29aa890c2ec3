"""tests/integration/est_forms.py: an EST server that answers in each form in which servers were seen to answer, or which the
standards' examples have; for the tests of `tpmtls enroll` and `tpmtls renew`. Its certificates are openssl's.

    est_forms.py DIR          prints "port N"; DIR/form (JSON) says how it answers, anew for each request; DIR/log has what was asked

Words of `form`: body (lines, crlf, crlf-76 as globalsign/est, one-line, spaced, der, pem, indefinite), certs (leaf, chain, root-first, twice), http10 (true: with a length, cut off behind it; to the end: without one), chunked,
transfer_encoding (the header Content-Transfer-Encoding), status, text, retry_after, waits (how many 202), redirect, status_header, csrattrs (base64),
token (demanded by HTTP Basic), refuse_certificate, issue (good, other-key, other-ca, other-name, ended, early, other-use, server-use, no-signature), life and age (s), root
(1, 2: rolled over, 3: rolled over with nobody vouching), repeated (what becomes of a request that came before: refuse, former: the
certificate that was issued for it).
"""
import base64
import datetime
import json
import os
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONFIG = """
[ca]
default_ca = d
[d]
database = {dir}/index
serial = {dir}/serial
new_certs_dir = {dir}
default_md = sha256
policy = p
copy_extensions = copy
unique_subject = no
x509_extensions = leaf
[p]
commonName = optional
organizationName = optional
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[other-use]
keyUsage = critical,digitalSignature
extendedKeyUsage = emailProtection
[server-use]
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
[no-signature]
keyUsage = critical,keyAgreement
extendedKeyUsage = clientAuth,serverAuth
[any-use]
keyUsage = critical,digitalSignature
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[req]
distinguished_name = dn
[dn]
"""
LOCK = threading.Lock()


def openssl(*args, data=None):
    done = subprocess.run(["openssl", *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (" ".join(args), done.stderr.decode()))
    return done.stdout


class Authority:
    def __init__(self, folder):
        self.dir = folder
        self.config = self.path("openssl.cnf")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(CONFIG.format(dir=folder))
        open(self.path("index"), "w", encoding="utf-8").close()
        with open(self.path("serial"), "w", encoding="utf-8") as f:
            f.write("1000\n")
        for name in ("root1", "root2", "sub", "other"):
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.path(name + ".key"))
        for name in ("root1", "root2", "other"):
            openssl("req", "-x509", "-new", "-key", self.path(name + ".key"), "-subj", "/CN=Test Root", "-days", "3650", "-out",
                    self.path(name + ".pem"), "-config", self.config, "-extensions", "root")
        self.cross("root2", "root1", "new-with-old.pem")
        self.cross("root1", "root2", "old-with-new.pem")
        openssl("req", "-new", "-key", self.path("sub.key"), "-subj", "/CN=Test Sub", "-out", self.path("sub.csr"), "-config", self.config)
        for root in ("root1", "root2"):
            self.sign("sub.csr", root, "sub-%s.pem" % root, extensions="root")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("server.key"), "-subj",
                "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", self.path("server.csr"))
        self.sign("server.csr", "root1", "server.pem")

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def cross(self, of, by, out):
        openssl("req", "-new", "-key", self.path(of + ".key"), "-subj", "/CN=Test Root", "-out", self.path(of + ".csr"), "-config", self.config)
        self.sign(of + ".csr", by, out, extensions="root")

    def sign(self, csr, by, out, extensions="leaf", life=30 * 86400, age=3600, subject=None):
        now = datetime.datetime.now(datetime.timezone.utc)
        dates = [(now + datetime.timedelta(seconds=s)).strftime("%Y%m%d%H%M%SZ") for s in (-age, life - age)]
        with LOCK:
            openssl("ca", "-config", self.config, "-batch", "-notext", "-in", self.path(csr), "-cert", self.path(by.replace("sub", "sub") + ".pem"),
                    "-keyfile", self.path(by.split("-")[0] + ".key"), "-startdate", dates[0], "-enddate", dates[1], "-out", self.path(out),
                    "-extensions", extensions, *(["-subj", subject] if subject else []))


def der_of(pem):
    return base64.b64decode("".join(line for line in pem.decode().splitlines() if not line.startswith("-----")))


def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    size = bytes([n]) if n < 128 else bytes([0x80 | (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + body


SIGNED = bytes.fromhex("06092a864886f70d010702")
DATA = bytes.fromhex("06092a864886f70d010701")


def certs_only(certs, indefinite):
    """RFC 7030's examples have an empty [1] crls, too."""
    if indefinite:
        return (b"\x30\x80" + SIGNED + b"\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80" + DATA + b"\x00\x00\xa0\x80" + b"".join(certs) +
                b"\x00\x00\x31\x00" + b"\x00\x00" * 3)
    inner = tlv(0x30, b"\x02\x01\x01", tlv(0x31), tlv(0x30, DATA), tlv(0xa0, *certs), tlv(0xa1), tlv(0x31))
    return tlv(0x30, SIGNED, tlv(0xa0, inner))


def body_of(der, form):
    text = base64.b64encode(der).decode()
    width = 76 if form == "crlf-76" else 64
    lines = [text[i:i + width] for i in range(0, len(text), width)]
    return {"lines": "\n".join(lines) + "\n", "crlf": "\r\n".join(lines) + "\r\n", "crlf-76": "\r\n".join(lines) + "\r\n", "one-line": text, "spaced": "\t" + " \r\n".join(lines) + "  \n\n",
            "pem": "-----BEGIN PKCS7-----\n" + "\n".join(lines) + "\n-----END PKCS7-----\n"}.get(form, text).encode() if form != "der" else der


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    authority = None
    issued = {}

    def log_message(self, *args):
        pass

    @property
    def form(self):
        try:
            return json.loads(self.authority.read("form"))
        except FileNotFoundError:
            return {}

    def note(self, body):
        peer = self.connection.getpeercert()
        with LOCK, open(self.authority.path("log"), "a", encoding="utf-8") as f:
            f.write(json.dumps({"method": self.command, "path": self.path, "authorization": self.headers.get("Authorization"),
                                "type": self.headers.get("Content-Type"), "body": body.decode("latin-1"),
                                "certificate": peer is not None}) + "\n")

    def answer(self, status, body=b"", content_type=None, **headers):
        form = self.form
        if form.get("http10"):
            self.protocol_version = "HTTP/1.0"
            self.close_connection = True
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        if form.get("transfer_encoding"):
            self.send_header("Content-Transfer-Encoding", form["transfer_encoding"])
        if form.get("status_header"):  # libest, and the examples of RFC 7030
            self.send_header("Status", "%d OK" % status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if form.get("chunked") and status != 204:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(0, len(body), 100):
                self.wfile.write(b"%x\r\n" % len(body[i:i + 100]) + body[i:i + 100] + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
            return
        if form.get("http10") != "to the end":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if form.get("http10") == "to the end":
            try:
                self.connection.unwrap()  # close_notify: else nobody knows that it is whole
            except OSError:
                pass

    def certificates(self, certs):
        form = self.form
        indefinite = form.get("body") == "indefinite"
        self.answer(200, body_of(certs_only(certs, indefinite), form.get("body", "lines")), "application/pkcs7-mime; smime-type=certs-only")

    def serve(self):
        form = self.form
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.note(body)
        operation = self.path.rsplit("/", 1)[-1]
        to = form.get("redirect")
        if to and not self.path.startswith("/moved"):
            target = {"path": "/moved/" + operation, "origin": "https://localhost:%d/moved/%s" % (self.server.server_port, operation),
                      "elsewhere": "https://localhost:1/moved/" + operation, "loop": self.path}[to]
            return self.answer(307, b"", "text/plain", Location=target)
        if not self.path.startswith(("/.well-known/est/", "/moved/")):
            return self.answer(404, b"nothing here", "text/plain")
        handler = {"cacerts": self.cacerts, "csrattrs": self.csrattrs, "simpleenroll": self.enroll, "simplereenroll": self.reenroll}
        return handler.get(operation, lambda form, body: self.answer(404))(form, body)

    do_GET = do_POST = serve

    def cacerts(self, form, body):
        names = {1: ["root1.pem"], 2: ["root1.pem", "old-with-new.pem", "new-with-old.pem", "root2.pem"], 3: ["root1.pem", "old-with-new.pem", "root2.pem"]}
        certs = [der_of(self.authority.read(name)) for name in names[form.get("root", 1)]]
        if form.get("certs") in ("leaf", "no-sub") and form.get("sub"):
            certs.append(der_of(self.authority.read(self.sub(form) + ".pem")))
        self.certificates(certs)

    def csrattrs(self, form, body):
        text = form.get("csrattrs")
        if text is None:
            return self.answer(form.get("no_csrattrs", 204))
        return self.answer(200, text.encode(), "application/csrattrs")

    @staticmethod
    def sub(form):
        return "sub-root1" if form.get("root", 1) == 1 else "sub-root2"

    def enroll(self, form, body):
        given = self.headers.get("Authorization") or ""
        if form.get("token") and given != "Basic " + base64.b64encode(form["token"].encode()).decode():
            return self.answer(401, b"who are you?", "text/plain", WWW_Authenticate='Basic realm="est"')
        return self.issue(form, body)

    def reenroll(self, form, body):
        if self.connection.getpeercert() is None or form.get("refuse_certificate"):
            return self.answer(403, b"this certificate is not good here", "text/plain")
        return self.issue(form, body)

    def issue(self, form, body):
        count = self.authority.path("waits")
        waited = int(self.authority.read("waits")) if os.path.exists(count) else 0
        if waited < form.get("waits", 0):
            with open(count, "w", encoding="utf-8") as f:
                f.write(str(waited + 1))
            headers = {"Retry-After": form["retry_after"]} if "retry_after" in form else {}
            return self.answer(202, b"an operator has to look at it", "text/plain", **headers)
        if form.get("status"):
            return self.answer(form["status"], form.get("text", "no").encode(), form.get("text_type", "text/plain"))
        before = self.issued.get(body)
        if before and form.get("repeated") == "refuse":
            return self.answer(400, b"this request has been here before", "text/plain")
        if before and form.get("repeated") == "former":
            return self.certificates(before)
        with open(self.authority.path("in.csr"), "wb") as f:
            f.write(b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(base64.b64decode(body)) + b"-----END CERTIFICATE REQUEST-----\n")
        self.issued[body] = self.chain(form)
        return self.certificates(self.issued[body])

    def chain(self, form):
        a, how = self.authority, form.get("issue", "good")
        root = "root1" if form.get("root", 1) == 1 else "root2"
        by = self.sub(form) if form.get("sub") else root
        csr, age, life = "in.csr", form.get("age", 3600), form.get("life", 30 * 86400)
        if how == "other-key":
            csr = "server.csr"
        if how == "other-ca":
            by = "other"
        if how == "ended":
            age, life = 7200, 3600
        if how == "early":
            age = -86400
        section = how if how in ("other-use", "server-use", "no-signature", "any-use") else "leaf"
        a.sign(csr, by, "out.pem", extensions=section, age=age, life=life, subject="/CN=somebody else" if how == "other-name" else None)
        leaf = der_of(a.read("out.pem"))
        above = [der_of(a.read(name + ".pem")) for name in ([by, root] if form.get("sub") else [root])]
        return {"leaf": [leaf], "chain": [leaf] + above, "root-first": list(reversed(above)) + [leaf], "twice": [leaf] + above + [leaf] + above}[
            form.get("certs", "leaf")]


def main(folder):
    Handler.authority = Authority(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
    context.verify_mode = ssl.CERT_OPTIONAL
    for name in ("root1.pem", "root2.pem", "sub-root1.pem", "sub-root2.pem"):
        context.load_verify_locations(os.path.join(folder, name))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("port %d" % server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
