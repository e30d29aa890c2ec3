"""tests/integration/test_est.py: `tpmtls ca serve`, the real program: EST asked by curl and openssl, each path and each form
of body; who may ask what; what is published in the clear; the operator's page; what changes while it runs, and kill -9."""

import base64
import hashlib
import html.parser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import harness

LAB = None
PROGRAM = harness.PROGRAM
PKCS10 = "application/pkcs10"
ROOT = "/.well-known/est"

BY_HAND = "\n[by-hand]\ndays = 90\nkey-usage = digitalSignature\npurposes = clientAuth\nnames = DNS:*\napproval = always\n"


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.must(PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/O=Example/CN=Example CA")
    LAB.write("ca/profiles.ini", LAB.read("ca/profiles.ini").decode() + BY_HAND)
    key("server")
    certify("server", "server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
    key("operator")
    certify("operator", "operator", "/CN=Olga")
    key("device")


def tearDownModule():
    LAB.close()


def key(name):
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".key")
    os.chmod(LAB.path(name + ".key"), 0o600)


def request(subject, names=None, of="device"):
    """A request, DER."""
    more = ["-addext", "subjectAltName=" + names] if names else []
    return LAB.must("openssl", "req", "-new", "-key", of + ".key", "-subj", subject, "-outform", "DER", *more).out


def certify(name, profile, subject, names=None):
    """name.pem, by the CA's own hand."""
    LAB.write(name + ".csr", request(subject, names, name))
    LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", "--profile", profile, name + ".csr", "-o", name + ".pem")


def token(*args):
    return LAB.must(PROGRAM, "ca", "token", "create", "--dir", "ca", "--expires", "1h", *args).out.decode().split()[-1]


def b64(der):
    return base64.encodebytes(der)


class Answer:
    """Of curl -i: the last head and the body."""

    def __init__(self, raw):
        head, self.body = raw.split(b"\r\n\r\n", 1)
        while re.match(rb"HTTP/1.1 100 ", head):
            head, self.body = self.body.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}

    def text(self):
        return self.body.decode()


def certificates(answer):
    """The certificates of a certs-only answer, PEM each; read by openssl."""
    assert answer.status == 200, (answer.status, answer.body)
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only", answer.headers
    out = LAB.must("openssl", "pkcs7", "-inform", "DER", "-print_certs", stdin=base64.b64decode(answer.body)).out.decode()
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", out, re.S)


def serial_of(pem):
    return LAB.must("openssl", "x509", "-noout", "-serial", stdin=pem.encode()).out.decode().strip().split("=")[1].lower()


class Service:
    """`tpmtls ca serve` with these keys in its file."""

    count = 0

    def __init__(self, *lines, options=()):
        Service.count += 1
        self.file = "serve-%d.conf" % Service.count
        self.lines = ["dir = ca", "listen = 127.0.0.1:0", "publish = 127.0.0.1:0", "status = unix:%s" % LAB.path("status-%d" % Service.count),
                      "key = server.key", "cert = server.pem"]
        self.write(*lines)
        self.program = LAB.background(PROGRAM, *options, "ca", "serve", self.file)
        self.port = self.program.wait_for(r"address=127.0.0.1:(\d+) for=est").group(1)
        self.clear = self.program.wait_for(r"address=127.0.0.1:(\d+) for=publish").group(1)
        self.program.wait_for(r"event=status ")

    def write(self, *lines):
        LAB.write(self.file, "[ca]\n" + "\n".join(self.lines + list(lines)) + "\n")

    def get(self, path, *args):
        return Answer(LAB.must("curl", "-sS", "-i", "--cacert", "ca/ca.pem", *args, "https://localhost:%s%s" % (self.port, path)).out)

    def est(self, operation, *args):
        return self.get(ROOT + "/" + operation, *args)

    def ask(self, body, *args, operation="simpleenroll", kind=PKCS10):
        name = "body-%d" % threading.get_ident()
        LAB.write(name, body)
        return self.est(operation, "--data-binary", "@" + name, "-H", "Content-Type: " + kind, *args)

    def with_token(self, word, body, **kw):
        return self.ask(body, "-u", "device:" + word, **kw)

    def with_certificate(self, name, body, **kw):
        return self.ask(body, "--cert", name + ".pem", "--key", name + ".key", **kw)

    def published(self, path, *args):
        return Answer(LAB.must("curl", "-sS", "-i", *args, "http://127.0.0.1:%s%s" % (self.clear, path)).out)

    def status(self, page="/_status"):
        path = LAB.path("status-" + self.file.split("-")[1].split(".")[0])
        return LAB.must("curl", "-sS", "--unix-socket", path, "http://localhost" + page).out.decode()

    def enrol(self, name, subject, names=None):
        """name.key and name.pem, by a token."""
        key(name)
        got = certificates(self.with_token(token(), b64(request(subject, names, name))))
        LAB.write(name + ".pem", got[0])
        return got[0]


class Case(unittest.TestCase):
    def service(self, *lines, **kw):
        s = Service(*lines, **kw)
        self.addCleanup(self.ends_well, s)
        return s

    def ends_well(self, s):
        """A sanitizer's complaint would be another code."""
        if not s.program.process.stdout.closed:
            done = s.program.stop()
            self.assertEqual(done.code, 0, s.program.text.decode("utf-8", "replace"))

    def refused(self, answer, status, word):
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn(word, answer.text())
        self.assertEqual(answer.headers["content-type"], "text/plain; charset=utf-8")


class Paths(Case):
    def test_cacerts(self):
        s = self.service()
        answer = s.est("cacerts")
        self.assertEqual(certificates(answer), [LAB.read("ca/ca.pem").decode()])
        self.assertEqual(answer.headers["content-transfer-encoding"], "base64")
        head = s.est("cacerts", "--head")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], answer.headers["content-length"])
        self.assertEqual(certificates(s.est("client/cacerts")), certificates(answer))

    def test_csrattrs(self):
        self.assertEqual(self.service().est("csrattrs").status, 204)
        answer = self.service("binding = required").est("csrattrs")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/csrattrs"))
        shown = LAB.must("openssl", "asn1parse", "-inform", "DER", stdin=base64.b64decode(answer.body)).out.decode()
        self.assertIn(":challengePassword", shown)

    def test_every_form_of_a_body(self):
        s = self.service()
        der = request("/CN=forms")
        one_line = base64.b64encode(der)
        pem = LAB.must("openssl", "req", "-inform", "DER", stdin=der).out
        for body in (one_line, one_line + b"\n", b64(der), b64(der).replace(b"\n", b"\r\n"), b" " + one_line[:7] + b"\t\r\n" + one_line[7:],
                     pem, der):
            with self.subTest(body[:20]):
                got = certificates(s.with_token(token(), body))
                self.assertEqual(len(got), 1)
        chunked = s.ask(b64(der), "-u", "x:" + token(), "-H", "Transfer-Encoding: chunked")
        self.assertEqual(len(certificates(chunked)), 1)
        parameters = s.with_token(token(), b64(der), kind="Application/PKCS10; charset=us-ascii")
        self.assertEqual(len(certificates(parameters)), 1)

    def test_certificate_that_openssl_takes(self):
        s = self.service()
        pem = s.enrol("checked", "/CN=checked", "DNS:checked.example")
        LAB.write("issued.pem", pem)
        LAB.must("openssl", "verify", "-x509_strict", "-CAfile", "ca/ca.pem", "-purpose", "sslclient", "issued.pem")

    def test_bodies_that_are_none(self):
        s = self.service("rate = 0")
        der = request("/CN=bad")
        for body, status in ((b"", 400), (b"hello", 400), (b"!!!!", 400), (b64(der)[:-20], 400), (b64(der + b"x"), 400),
                             (b64(b"\x30\x03\x02\x01\x00"), 400), (b"A" * 70000, 413)):
            with self.subTest(body[:20]):
                self.assertEqual(s.with_token(token(), body).status, status)
        self.refused(s.with_token(token(), b64(der), kind="text/plain"), 415, PKCS10)
        self.assertEqual(LAB.must(PROGRAM, "--json", "ca", "list", "--dir", "ca", "--subject", "CN=bad").out.strip(), b"[]")

    def test_other_operations(self):
        s = self.service()
        self.refused(s.ask(b"x", operation="serverkeygen"), 403, "TPM")
        self.refused(s.ask(b"x", operation="fullcmc"), 501, "CMC")
        self.refused(s.est("nothing"), 404, "path")
        self.refused(s.est("no/such/path"), 404, "path")
        self.refused(s.est("%2e%2e/cacerts", "--path-as-is"), 404, "path")
        self.refused(s.est("nolabel/cacerts"), 404, "profile")
        self.refused(s.est("simpleenroll"), 405, "POST")
        self.refused(s.ask(b"x", operation="cacerts"), 405, "GET")
        self.assertEqual(s.est("simpleenroll").headers["allow"], "POST")
        self.assertEqual(s.get("/").status, 403)
        self.assertEqual(s.get("/elsewhere").status, 404)


class Who(Case):
    def test_nobody(self):
        s = self.service()
        answer = s.ask(b64(request("/CN=nobody")))
        self.refused(answer, 401, "token")
        self.assertEqual(answer.headers["www-authenticate"], 'Basic realm="est", charset="UTF-8"')
        for password in ("wrong", "x" * 200, ""):
            self.assertEqual(s.with_token(password, b64(request("/CN=nobody"))).status, 401)

    def test_token_once(self):
        s = self.service()
        word, der = token(), request("/CN=once")
        first = certificates(s.with_token(word, b64(der)))
        again = certificates(s.with_token(word, b64(der)))
        self.assertEqual(first, again)  # the answer may have been lost
        self.refused(s.with_token(word, b64(request("/CN=another"))), 401, "token")

    def test_token_for_a_name(self):
        s = self.service()
        word = token("--subject", "named.example")
        self.refused(s.with_token(word, b64(request("/CN=other", "DNS:other.example"))), 400, "name")
        self.assertEqual(len(certificates(s.with_token(word, b64(request("/CN=named.example", "DNS:named.example"))))), 1)

    def test_renewal(self):
        s = self.service()
        first = s.enrol("renewing", "/CN=renewing", "DNS:renewing.example")
        der = request("/CN=renewing", "DNS:renewing.example", "renewing")
        got = certificates(s.with_certificate("renewing", b64(der), operation="simplereenroll"))
        self.assertNotEqual(serial_of(got[0]), serial_of(first))
        for other in (request("/CN=other", "DNS:renewing.example", "renewing"), request("/CN=renewing", None, "renewing"),
                      request("/CN=renewing", "DNS:renewing.example,DNS:more.example", "renewing")):
            self.refused(s.with_certificate("renewing", b64(other), operation="simplereenroll"), 400, "renewal: ")
        self.refused(s.with_token(token(), b64(der), operation="simplereenroll"), 403, "certificate")
        LAB.must(PROGRAM, "ca", "revoke", "--dir", "ca", serial_of(first))
        for operation in ("simplereenroll", "simpleenroll"):
            self.refused(s.with_certificate("renewing", b64(der), operation=operation), 403, "certificate: ")

    def test_label_gives_no_rights(self):
        s = self.service()
        s.enrol("labelled", "/CN=labelled")
        der = request("/CN=labelled", None, "labelled")
        for label in ("operator", "sub-ca", "server"):
            for operation in ("simplereenroll", "simpleenroll"):
                self.refused(s.with_certificate("labelled", b64(der), operation=label + "/" + operation), 400, "profile: ")
            self.refused(s.with_token(token(), b64(der), operation=label + "/simpleenroll"), 400, "profile: ")
        self.assertEqual(len(certificates(s.with_certificate("labelled", b64(der), operation="client/simplereenroll"))), 1)
        word = token("--profile", "server")
        got = certificates(s.with_token(word, b64(request("/CN=web", "DNS:web.example")), operation="server/simpleenroll"))
        self.assertIn("TLS Web Server", LAB.must("openssl", "x509", "-noout", "-ext", "extendedKeyUsage", stdin=got[0].encode()).out.decode())

    def test_operator_enrols_others(self):
        s = self.service()
        got = certificates(s.with_certificate("operator", b64(request("/CN=theirs")), operation="client/simpleenroll"))
        self.assertRegex(LAB.must("openssl", "x509", "-noout", "-subject", stdin=got[0].encode()).out.decode(), "CN ?= ?theirs")
        for label in ("operator", "sub-ca", "ocsp"):  # neither his like, nor who speaks for the CA
            self.refused(s.with_certificate("operator", b64(request("/CN=theirs")), operation=label + "/simpleenroll"), 400, "profile: ")

    def test_certificate_of_another_ca(self):
        s = self.service()
        LAB.must(PROGRAM, "ca", "init", "--dir", "other", "--subject", "/CN=Other CA")
        LAB.write("stranger.csr", request("/CN=stranger"))
        LAB.must(PROGRAM, "ca", "sign", "--dir", "other", "stranger.csr", "-o", "stranger.pem")
        done = LAB.run("curl", "-sS", "--cacert", "ca/ca.pem", "--cert", "stranger.pem", "--key", "device.key",
                       "https://localhost:%s%s/cacerts" % (s.port, ROOT))
        self.assertNotEqual(done.code, 0)
        self.assertIn("unknown ca", done.err)

    def test_waiting_for_a_person(self):
        s = self.service("retry-after = 7")
        word, der = token("--profile", "by-hand"), request("/CN=patient")
        for _ in range(2):
            answer = s.with_token(word, b64(der))
            self.refused(answer, 202, "approve")
            self.assertEqual(answer.headers["retry-after"], "7")
        waiting = json.loads(LAB.must(PROGRAM, "--json", "ca", "pending", "--dir", "ca").out)
        mine = [r["id"] for r in waiting if "patient" in r["subject"]]
        self.assertEqual(len(mine), 1)
        LAB.must(PROGRAM, "ca", "approve", "--dir", "ca", mine[0])
        self.assertEqual(len(certificates(s.with_token(word, b64(der)))), 1)

    def test_limit_of_requests(self):
        s = self.service("rate = 3")
        body = b64(request("/CN=eager"))
        self.assertEqual([s.ask(body).status for _ in range(3)], [401] * 3)
        answer = s.with_token(token(), body)
        self.refused(answer, 429, "minute")
        self.assertIn("retry-after", answer.headers)
        self.assertEqual(s.est("cacerts").status, 200)


class Binding(Case):
    """The request is tied to its connection; openssl computes the exporter, and sends what it is told to."""

    def ask_bound(self, s, change=lambda value: value, profile="client"):
        """One connection: its exporter, then a request with that in its challengePassword. What was sent stays in self.word, self.body."""
        p = subprocess.Popen(["openssl", "s_client", "-connect", "localhost:" + s.port, "-CAfile", "ca/ca.pem", "-keymatexport",
                              "EXPORTER-Channel-Binding", "-keymatexportlen", "32", "-ign_eof"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=LAB.dir)
        try:
            for line in p.stdout:
                found = re.match(rb"\s*Keying material: ([0-9A-F]+)", line)
                if found:
                    break
            value = base64.b64encode(change(bytes.fromhex(found.group(1).decode()))).decode()
            LAB.write("bound.cnf", "[req]\ndistinguished_name=d\nattributes=a\nprompt=no\n[d]\nCN=bound\n[a]\nchallengePassword=%s\n" % value)
            der = LAB.must("openssl", "req", "-new", "-key", "device.key", "-config", "bound.cnf", "-outform", "DER").out
            self.word, self.body = token("--profile", profile), b64(der)
            basic, body = base64.b64encode(b"x:" + self.word.encode()).decode(), self.body
            head = "POST %s/simpleenroll HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Basic %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
            p.stdin.write((head % (ROOT, basic, PKCS10, len(body))).encode() + body)
            p.stdin.flush()
            rest = p.stdout.read()
        finally:
            p.stdin.close()
            p.stdout.close()
            p.wait(20)
        return rest[rest.index(b"HTTP/1.1 "):]

    def test_bound(self):
        for lines in ((), ("binding = required",)):
            s = self.service(*lines)
            self.assertIn(b"HTTP/1.1 200 OK", self.ask_bound(s))
            wrong = self.ask_bound(s, lambda value: bytes(32))
            self.assertIn(b"HTTP/1.1 400 ", wrong)
            self.assertIn(b"binding: ", wrong)
        self.assertIn(b"HTTP/1.1 200 OK", self.ask_bound(self.service("binding = off"), lambda value: bytes(32)))

    def test_approved(self):
        """Judged when it came: a person takes longer than a connection lives. Another's is another request, and was not."""
        s = self.service("binding = required")
        self.assertIn(b"HTTP/1.1 202 ", self.ask_bound(s, profile="by-hand"))
        self.refused(s.with_token(self.word, self.body), 202, "approve")
        self.refused(s.with_token(token("--profile", "by-hand"), self.body), 400, "binding: ")
        self.refused(s.with_token("nobody", self.body), 401, "token: ")
        waiting = json.loads(LAB.must(PROGRAM, "--json", "ca", "pending", "--dir", "ca").out)
        mine = [r["id"] for r in waiting if "bound" in r["subject"]]
        self.assertEqual(len(mine), 1)
        LAB.must(PROGRAM, "ca", "approve", "--dir", "ca", mine[0])
        self.refused(s.with_token(token("--profile", "by-hand"), self.body), 400, "binding: ")
        for _ in range(2):  # the second: the answer was lost
            self.assertEqual(len(certificates(s.with_token(self.word, self.body))), 1)

    def test_refused_is_not_known(self):
        """What named another connection from the start is refused each time."""
        s = self.service("binding = required")
        self.assertIn(b"binding: ", self.ask_bound(s, lambda value: bytes(32), profile="by-hand"))
        self.refused(s.with_token(self.word, self.body), 400, "binding: ")

    def test_required(self):
        s = self.service("binding = required")
        self.refused(s.with_token(token(), b64(request("/CN=unbound"))), 400, "binding: ")


class Published(Case):
    def test_crl(self):
        s = self.service()
        pem = s.enrol("lost", "/CN=lost")
        answer = s.published("/ca.crl")
        self.assertEqual(answer.headers["content-type"], "application/pkix-crl")
        self.assertIn("max-age=", answer.headers["cache-control"])
        for header, value in (("If-None-Match", answer.headers["etag"]), ("If-Modified-Since", answer.headers["last-modified"])):
            known = s.published("/ca.crl", "-H", "%s: %s" % (header, value))
            self.assertEqual((known.status, known.body), (304, b""))
        LAB.must(PROGRAM, "ca", "revoke", "--dir", "ca", "--reason", "keyCompromise", serial_of(pem))
        self.wait(lambda: serial_of(pem).upper() in LAB.must("openssl", "crl", "-inform", "DER", "-noout", "-text", stdin=s.published("/ca.crl").body).out.decode())
        LAB.write("now.crl", s.published("/ca.crl").body)
        self.assertIn("verify OK", LAB.must("openssl", "crl", "-inform", "DER", "-in", "now.crl", "-CAfile", "ca/ca.pem", "-noout").err)

    def test_delta_crl(self):
        s = self.service()
        pem = s.enrol("held", "/CN=held")

        def delta():
            answer = s.published("/ca-delta.crl")
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/pkix-crl"))
            return LAB.must("openssl", "crl", "-inform", "DER", "-noout", "-text", stdin=answer.body).out.decode()

        self.assertIn("X509v3 Delta CRL Indicator: critical", delta())
        self.assertNotIn(serial_of(pem).upper(), delta())
        LAB.must(PROGRAM, "ca", "revoke", "--dir", "ca", "--reason", "certificateHold", serial_of(pem))
        self.wait(lambda: serial_of(pem).upper() in delta())
        self.assertIn("Certificate Hold", delta())
        known = s.published("/ca-delta.crl", "-H", "If-None-Match: " + s.published("/ca-delta.crl").headers["etag"])
        self.assertEqual((known.status, known.body), (304, b""))

    def wait(self, condition, seconds=15):
        limit = threading.Event()
        for _ in range(seconds * 4):
            if condition():
                return
            limit.wait(0.25)
        self.fail("it did not come true within %d s" % seconds)

    def test_certificates(self):
        s = self.service()
        der = LAB.must("openssl", "x509", "-in", "ca/ca.pem", "-outform", "DER").out
        for path in ("/ca.cer", "/ca.crt"):
            answer = s.published(path)
            self.assertEqual((answer.body, answer.headers["content-type"]), (der, "application/pkix-cert"))
        self.assertEqual(s.published("/ca.pem").body, LAB.read("ca/ca.pem"))
        self.assertEqual(s.published("/ca.cer", "-H", "If-None-Match: *").status, 304)
        self.assertEqual(s.published("/").status, 404)
        self.assertEqual(s.published(ROOT + "/cacerts").status, 404)
        self.assertEqual(s.published("/", "--data", "x").status, 415)

    def ocsp(self, s, *args):
        return LAB.must("openssl", "ocsp", "-issuer", "ca/ca.pem", "-cert", "asked.pem", "-CAfile", "ca/ca.pem", *args,
                        "-url", "http://127.0.0.1:%s/ocsp" % s.clear)

    def test_ocsp(self):
        s = self.service()
        pem = s.enrol("asked", "/CN=asked")
        for args in ((), ("-no_nonce",), ("-no_nonce",)):
            done = self.ocsp(s, *args)
            self.assertIn("asked.pem: good", done.out.decode())
            self.assertIn("Response verify OK", done.err)
            self.assertNotIn("WARNING", done.err)
        LAB.must("openssl", "ocsp", "-issuer", "ca/ca.pem", "-cert", "asked.pem", "-no_nonce", "-reqout", "asked.req")
        text = base64.b64encode(LAB.read("asked.req")).decode()
        for quoted in (text, text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")):
            answer = s.published("/ocsp/" + quoted)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/ocsp-response"))
            self.assertIn("etag", answer.headers)
            LAB.write("answer.der", answer.body)
            self.assertIn("good", LAB.must("openssl", "ocsp", "-issuer", "ca/ca.pem", "-cert", "asked.pem", "-CAfile", "ca/ca.pem", "-no_nonce", "-respin", "answer.der").out.decode())
        self.assertGreater(json.loads(s.status())["published"]["ocsp_kept"], 1)
        LAB.must(PROGRAM, "ca", "revoke", "--dir", "ca", serial_of(pem))
        self.wait(lambda: "asked.pem: revoked" in self.ocsp(s, "-no_nonce").out.decode())

    def test_ocsp_that_is_none(self):
        s = self.service()
        self.assertEqual(s.published("/ocsp/!!!").status, 400)
        self.assertEqual(s.published("/ocsp/").status, 400)
        LAB.write("none.req", b"\x30\x03\x02\x01\x00")
        answer = s.published("/ocsp", "--data-binary", "@none.req", "-H", "Content-Type: application/ocsp-request")
        self.assertEqual((answer.status, answer.body), (200, b"\x30\x03\x0a\x01\x01"))  # malformedRequest
        self.assertEqual(answer.headers["cache-control"], "no-store")
        LAB.write("long.req", b"x" * 20000)
        self.assertEqual(s.published("/ocsp", "--data-binary", "@long.req", "-H", "Content-Type: application/ocsp-request").status, 413)


class Page(html.parser.HTMLParser):
    """Its tags; unclosed ones are faults."""

    VOID = {"meta", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.faults = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID and tag != "th":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


class Operator(Case):
    def test_page(self):
        s = self.service()
        LAB.write("page-body", b64(request("/O=<script>alert(1)<\\/script>&\"/CN=evil")))
        s.with_token(token("--profile", "by-hand"), LAB.read("page-body"))
        answer = s.get("/", "--cert", "operator.pem", "--key", "operator.key")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
        page = Page(answer.text())
        self.assertEqual((page.faults, page.open), ([], []))
        kinds = {tag for tag, _ in page.tags}
        self.assertNotIn("script", kinds)
        self.assertLessEqual({"svg", "rect", "table", "style"}, kinds)
        self.assertFalse([a for _, attrs in page.tags for a in attrs if a in ("src", "href") or a.startswith("on")])
        self.assertIn("tpmtls ca approve", answer.text())
        self.assertIn("&lt;script", answer.text())

    def test_others(self):
        s = self.service()
        self.refused(s.get("/"), 403, "operator")
        s.enrol("curious", "/CN=curious")
        self.refused(s.get("/", "--cert", "curious.pem", "--key", "curious.key"), 403, "operator")
        self.assertEqual(s.get("/", "--data", "x", "--cert", "operator.pem", "--key", "operator.key").status, 405)

    def test_in_a_browser(self):
        if shutil.which("chromium") is None:
            self.skipTest("no chromium here (./dev setup users)")
        s = self.service()
        tunnel = LAB.background(PROGRAM, "proxy", "client", "--listen", "127.0.0.1:0", "--shutdown-timeout", "0", "--connect", "localhost:" + s.port, "--key",
                                "operator.key", "--cert", "operator.pem", "--ca", "ca/ca.pem")
        self.addCleanup(tunnel.__exit__)
        port = tunnel.wait_for(r"event=listening tunnel=client address=127.0.0.1:(\d+)").group(1)
        for size, dark in (("1200,1400", "1"), ("420,1800", "0")):
            image = "page-%s.png" % size.split(",", maxsplit=1)[0]
            LAB.must("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir=" + LAB.path("chromium"),
                     "--window-size=" + size, "--blink-settings=preferredColorScheme=" + dark, "--screenshot=" + LAB.path(image),
                     "http://127.0.0.1:%s/" % port)
            self.assertGreater(len(LAB.read(image)), 20000)
        shown = LAB.must("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + LAB.path("chromium"), "--dump-dom",
                         "http://127.0.0.1:%s/" % port).out.decode()
        self.assertIn("Certificates by state", shown)


class Life(Case):
    def test_many_at_once(self):
        s = self.service("rate = 0")
        crowd, got = 24, []
        words = [token() for _ in range(crowd)]
        bodies = [b64(request("/CN=crowd-%d" % i)) for i in range(crowd)]

        def one(i):
            name = "crowd-%d" % i
            LAB.write(name, bodies[i])
            got.append(serial_of(certificates(s.est("simpleenroll", "--data-binary", "@" + name, "-H", "Content-Type: " + PKCS10, "-u", "x:" + words[i]))[0]))

        threads = [threading.Thread(target=one, args=(i,)) for i in range(crowd)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(set(got)), crowd)
        served = json.loads(s.status())
        self.assertEqual(served["served"]["issued"], crowd)
        self.assertLessEqual(served["store"]["batches"], crowd)
        self.assertIn('tpmtls_ca_enrolments_total{outcome="issued"} %d' % crowd, s.status("/_metrics"))
        self.assertEqual(s.status("/_ready"), "ready\n")

    def test_killed(self):
        s = self.service("rate = 0")
        pem = s.enrol("kept", "/CN=kept")
        s.program.process.kill()
        s.program.finish()
        again = self.service()
        der = request("/CN=kept", None, "kept")
        self.assertEqual(len(certificates(again.with_certificate("kept", b64(der), operation="simplereenroll"))), 1)
        self.assertIn(serial_of(pem), LAB.must(PROGRAM, "ca", "list", "--dir", "ca", "--subject", "CN=kept").out.decode().lower())
        LAB.must(PROGRAM, "ca", "audit", "verify", "--dir", "ca")

    def test_reload(self):
        s = self.service()

        def server_serial():
            out = LAB.run("openssl", "s_client", "-connect", "localhost:" + s.port, "-CAfile", "ca/ca.pem").out
            return LAB.must("openssl", "x509", "-noout", "-serial", stdin=out).out

        before, old = server_serial(), LAB.read("server.pem")
        self.addCleanup(LAB.write, "server.pem", old)
        certify("server", "server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
        s.program.wait_for(r"event=reloaded")
        self.assertNotEqual(server_serial(), before)
        s.write("binding = required")
        s.program.wait_for(r"event=reloaded(.|\n)*event=reloaded")
        self.assertEqual(s.est("csrattrs").status, 200)
        s.write("max-connections = 7")
        s.program.wait_for(r"event=reload_failed .*restart")
        s.write("nonsense = 1")
        s.program.process.send_signal(signal.SIGHUP)
        s.program.wait_for(r"nonsense(.|\n)*event=reload_failed")
        self.assertEqual(s.est("csrattrs").status, 200)
        self.assertIn("fault", json.loads(s.status())["reload_error"])

    def test_profiles_are_read_again(self):
        s = self.service()
        self.assertEqual(s.est("fresh/cacerts").status, 404)
        old = LAB.read("ca/profiles.ini").decode()
        self.addCleanup(LAB.write, "ca/profiles.ini", old)
        LAB.write("ca/profiles.ini", old + BY_HAND.replace("by-hand", "fresh"))
        s.program.wait_for(r"event=reloaded")
        self.assertEqual(s.est("fresh/cacerts").status, 200)

    def test_keys_in_the_tpm(self):
        LAB.must(PROGRAM, "key", "create", "-o", "tpm-ca.key")
        LAB.must(PROGRAM, "ca", "init", "--dir", "tpmca", "--subject", "/CN=TPM CA", "--key", "tpm-ca.key")
        LAB.must(PROGRAM, "key", "create", "-o", "tpm-server.key")
        LAB.must(PROGRAM, "csr", "--key", "tpm-server.key", "--subject", "/CN=localhost", "--san", "DNS:localhost", "-o", "tpm-server.csr")
        LAB.must(PROGRAM, "ca", "sign", "--dir", "tpmca", "--profile", "server", "tpm-server.csr", "-o", "tpm-server.pem")
        LAB.write("tpm.conf", "[ca]\ndir = tpmca\nlisten = 127.0.0.1:0\nkey = tpm-server.key\ncert = tpm-server.pem\n")
        word = LAB.must(PROGRAM, "ca", "token", "create", "--dir", "tpmca").out.decode().split()[-1]
        LAB.write("tpm-body", b64(request("/CN=by-tpm")))
        p = LAB.background(PROGRAM, "ca", "serve", "tpm.conf")
        self.addCleanup(p.__exit__)
        port = p.wait_for(r"address=127.0.0.1:(\d+) for=est").group(1)
        for _ in range(3):
            answer = Answer(LAB.must("curl", "-sS", "-i", "--cacert", "tpmca/ca.pem", "-u", "x:" + word, "--data-binary", "@tpm-body", "-H",
                                     "Content-Type: " + PKCS10, "https://localhost:%s%s/simpleenroll" % (port, ROOT)).out)
            self.assertEqual(len(certificates(answer)), 1)

    def test_end(self):
        s = self.service()
        kept = socket.create_connection(("127.0.0.1", int(s.port)))  # says nothing
        self.assertEqual(s.program.stop().code, 0)
        kept.close()

    def test_stopped_with_a_request_under_way(self):
        s = self.service()
        der, word = request("/CN=last"), token()
        LAB.write("last", b64(der))
        asking = subprocess.Popen(["curl", "-sS", "-i", "--limit-rate", "400", "--cacert", "ca/ca.pem", "-u", "x:" + word, "--data-binary",
                                   "@last", "-H", "Content-Type: " + PKCS10, "https://localhost:%s%s/simpleenroll" % (s.port, ROOT)],
                                  stdout=subprocess.PIPE, cwd=LAB.dir)
        threading.Event().wait(0.5)
        self.assertEqual(s.program.stop().code, 0)
        out, _ = asking.communicate(timeout=30)
        if out:  # it was there before the end, and has its answer then
            self.assertEqual(len(certificates(Answer(out))), 1)


TRIXIE = os.environ.get("TPMTLS_TRIXIE", os.path.expanduser("~/.cache/tpmtls/trixie"))


class StrongSwan(Case):
    """pki --estca and --est of Debian 13, in its root (./dev interop --debian13 makes it)."""

    def test_chain_enrolment_renewal(self):
        if os.getuid() != 0 or not os.path.exists(os.path.join(TRIXIE, "usr/bin/pki")):
            self.skipTest("no strongSwan of Debian 13 here, or not root")
        place = tempfile.mkdtemp(prefix="tpmtls-est.", dir=os.path.join(TRIXIE, "tmp"))
        self.addCleanup(shutil.rmtree, place)
        shutil.copy(LAB.path("ca/ca.pem"), place)
        with open(os.path.join(place, "tls13.conf"), "w", encoding="ascii") as f:
            f.write("libtls {\n  version_max = 1.3\n}\n")  # else it offers 1.2
        LAB.write("swan.conf", "[ca]\ndir = ca\nlisten = [::1]:0\nkey = server.key\ncert = server.pem\n")
        p = LAB.background(PROGRAM, "ca", "serve", "swan.conf")  # it tries the first address of a name
        self.addCleanup(p.__exit__)
        port = p.wait_for(r"address=\[::1\]:(\d+) for=est").group(1)
        script = """set -e
            export STRONGSWAN_CONF=$PWD/tls13.conf
            est="--url https://localhost:%s --cacert ca.pem"
            pki --estca $est --caout got --outform pem --force
            pki --gen --type ecdsa --size 256 --outform pem > k.pem
            pki --req --type priv --in k.pem --dn CN=swan --san swan.example --outform pem > r.pem
            pki --est $est --userpass "x:%s" --in r.pem --outform pem > one.pem
            pki --est $est --cert one.pem --key k.pem --in r.pem --outform pem > two.pem""" % (port, token())
        done = LAB.run("chroot", TRIXIE, "sh", "-c", "cd /tmp/%s\n%s" % (os.path.basename(place), script), timeout=120)
        self.assertEqual(done.code, 0, done.err)
        for name in ("one.pem", "two.pem"):
            with open(os.path.join(place, name), "rb") as f:
                LAB.write(name, f.read())
            LAB.must("openssl", "verify", "-x509_strict", "-CAfile", "ca/ca.pem", name)
        self.assertNotEqual(LAB.read("one.pem"), LAB.read("two.pem"))
        self.assertTrue(any(name.startswith("got") for name in os.listdir(place)))


class Files(Case):
    def check(self, text):
        LAB.write("check.conf", text)
        return LAB.tpmtls("ca", "serve", "--check", "check.conf")

    def test_faults(self):
        good = "[ca]\ndir = ca\nlisten = 127.0.0.1:0\nkey = server.key\ncert = server.pem\n"
        done = self.check(good)
        self.assertEqual(done.code, 0, done.err)
        self.assertIn(b"127.0.0.1:0", done.out)
        for text, sentence in (("", "there is no section [ca]"), ("[ca]\n", "which CA?"), (good + "dir = x\n", "given already"),
                               (good + "rate = many\n", "rate"), (good + "lisen = x\n", "lisen"), (good + "[more]\n", "not known"),
                               (good.replace("key = server.key\n", ""), "key"), (good + "psk = x\n", "psk"),
                               (good + "binding = perhaps\n", "binding"), ("dir = ca\n" + good, "before the first section"),
                               (good + "[ca]\n", "already"), (good + "what\n", "neither"), (good + "store = " + "x" * 300 + "\n", "too long"),
                               (good.replace("127.0.0.1:0", "nowhere"), "nowhere")):
            with self.subTest(sentence):
                done = self.check(text)
                self.assertEqual(done.code, 2, done.err)
                self.assertIn(sentence, done.err)

    def test_no_ca(self):
        LAB.write("no.conf", "[ca]\ndir = nowhere\nlisten = 127.0.0.1:0\nkey = server.key\ncert = server.pem\n")
        done = LAB.tpmtls("ca", "serve", "no.conf")
        self.assertEqual(done.code, 1)
        self.assertIn("nowhere", done.err)


if __name__ == "__main__":
    harness.tap_main()
