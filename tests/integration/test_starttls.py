"""connect --starttls against small servers of Python, which speak the protocol as far as TLS and then TLS 1.3; against servers
that do not want to, that say something else, and that are silent. And what a refusal tells of a self-signed server."""
import hashlib
import re
import shutil
import socket
import ssl
import struct
import unittest

import harness
from harness import PROGRAM, OneShotServer


def setUpModule():
    global lab, own_pin
    lab = harness.Lab()
    lab.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "own.key",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", "own.pem")
    spki = lab.must("sh", "-c", "openssl x509 -in own.pem -noout -pubkey | openssl pkey -pubin -outform DER").out
    own_pin = "sha256:" + hashlib.sha256(spki).hexdigest()


def tearDownModule():
    lab.close()


def line(peer):
    text = b""
    while not text.endswith(b"\n") and len(text) < 1000:
        more = peer.recv(1)
        if not more:
            break
        text += more
    return text


def smtp(peer, heard):
    peer.sendall(b"220-mail.example ESMTP\r\n220 ready\r\n")
    heard.append(line(peer))
    peer.sendall(b"250-mail.example\r\n250-STARTTLS\r\n250 8BITMIME\r\n")
    heard.append(line(peer))
    peer.sendall(b"220 go ahead\r\n")


def imap(peer, heard):
    peer.sendall(b"* OK IMAP4rev2 ready\r\n")
    heard.append(line(peer))
    peer.sendall(heard[-1].split()[0] + b" OK begin\r\n")


def ldap(peer, heard):
    heard.append(peer.recv(31, socket.MSG_WAITALL))
    peer.sendall(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")


def postgres(peer, heard):
    heard.append(peer.recv(8, socket.MSG_WAITALL))
    peer.sendall(b"S")


HEARD = {"smtp": [b"EHLO localhost\r\n", b"STARTTLS\r\n"], "imap": [b"t STARTTLS\r\n"],
         "ldap": [b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"],
         "postgres": [struct.pack(">II", 8, 80877103)]}


def tls_behind(before, heard):
    """What a OneShotServer does: the protocol, then TLS; what comes is sent back in capitals."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lab.path("own.pem"), lab.path("own.key"))

    def talk(peer):
        if before:
            before(peer, heard)
        with context.wrap_socket(peer, server_side=True) as secure:
            secure.sendall(secure.recv(1000).upper())
            secure.unwrap()
    return talk


def connect(port, *words, stdin=b"hello", **kw):
    return lab.tpmtls("connect", "localhost:" + port, *words, stdin=stdin, **kw)


class Protocols(unittest.TestCase):
    def test_each(self):
        for name, before in (("smtp", smtp), ("imap", imap), ("ldap", ldap), ("postgres", postgres)):
            heard = []
            with OneShotServer(tls_behind(before, heard)) as server:
                done = connect(server.port, "--starttls", name, "--ca", "own.pem")
            self.assertEqual((done.code, done.out), (0, b"HELLO"), name + done.err)
            self.assertEqual(heard, HEARD[name])

    def test_without_the_option(self):
        """The control: the same server is not spoken to."""
        with OneShotServer(tls_behind(smtp, [])) as server:
            done = connect(server.port, "--ca", "own.pem")
        self.assertNotEqual(done.code, 0)

    def test_trust_is_judged_as_ever(self):
        with OneShotServer(tls_behind(smtp, [])) as server:
            self.assertEqual(connect(server.port, "--starttls", "smtp").code, 3)

    def refused(self, name, *said, quiet=False):
        def talk(peer):
            for text in said:
                peer.sendall(text)
                if text is not said[-1]:
                    peer.recv(1000)
            while quiet and peer.recv(1000):
                pass
        with OneShotServer(talk) as server:
            done = connect(server.port, "--starttls", name, "--ca", "own.pem", "--connect-timeout", "1" if quiet else "30")
        self.assertEqual((done.code, done.out), (1, b""), done.err)
        return done.err

    def test_refusals(self):
        self.assertIn("SMTP: the server does not begin TLS: 'STARTTLS is not among its extensions'",
                      self.refused("smtp", b"220 x\r\n", b"250 PIPELINING\r\n"))
        self.assertIn("IMAP: the server does not begin TLS: 't BAD no'", self.refused("imap", b"* OK\r\n", b"t BAD no\r\n"))
        self.assertIn("PostgreSQL: the server does not begin TLS: 'N: it has no TLS", self.refused("postgres", b"N"))
        self.assertIn("does not speak LDAP", self.refused("ldap", b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertIn("the connection ended before TLS could begin", self.refused("smtp", b"220 x\r\n"))

    def test_nothing_behind_the_consent(self):
        self.assertIn("stand behind the server's consent", self.refused("smtp", b"220 x\r\n", b"250 STARTTLS\r\n", b"220 go\r\n250 more\r\n"))

    def test_silence(self):
        self.assertIn("no answer in time, before TLS", self.refused("imap", b"", quiet=True))

    def test_usage(self):
        done = lab.tpmtls("connect", "localhost:1", "--starttls", "pop3")
        self.assertEqual(done.code, 2)
        self.assertIn("off, smtp, imap, ldap or postgres", done.err)

    def test_real_servers(self):
        """Those that are installed, as far as their refusal of what comes next: TLS 1.3 was spoken until then."""
        if shutil.which("slapd") is None:
            self.skipTest("slapd is not installed")
        lab.write("slapd.conf", "include /etc/ldap/schema/core.schema\npidfile %s\nTLSCertificateFile %s\nTLSCertificateKeyFile %s\n"
                  "TLSCACertificateFile %s\nmodulepath /usr/lib/ldap\nmoduleload back_null\ndatabase null\nsuffix dc=example\n" %
                  tuple(lab.path(name) for name in ("slapd.pid", "own.pem", "own.key", "own.pem")))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = str(probe.getsockname()[1])
        with lab.background("slapd", "-f", "slapd.conf", "-h", "ldap://127.0.0.1:" + port, "-d", "256") as server:
            server.wait_for("slapd starting")
            done = connect(port, "--starttls", "ldap", "--ca", "own.pem", "-v", stdin=b"")
        self.assertIn("connected as CN=localhost", done.err)


class Pins(unittest.TestCase):
    """A server that is refused tells by which pin it would be taken."""

    def refusal(self, *words):
        with OneShotServer(tls_behind(None, [])) as server:
            done = connect(server.port, *words)
        self.assertEqual(done.code, 3, done.err)
        return done.err

    def test_self_signed(self):
        err = self.refusal()
        self.assertIn("is self-signed", err)
        self.assertIn("pin that: " + own_pin, err)
        self.assertIn("(--pin)", err)
        pin = re.search(r"pin that: (sha256:[0-9a-f]{64})", err).group(1)
        with OneShotServer(tls_behind(None, [])) as server:
            done = connect(server.port, "--pin", pin)
        self.assertEqual((done.code, done.out), (0, b"HELLO"), done.err)

    def test_another_pin(self):
        err = self.refusal("--pin", "sha256:" + 64 * "0")
        self.assertIn("pin that: " + own_pin, err)

    def test_pin_and_ca(self):
        self.assertIn("pin that: " + own_pin, self.refusal("--ca", "own.pem", "--pin", "sha256:" + 64 * "0"))


if __name__ == "__main__":
    harness.tap_main()
