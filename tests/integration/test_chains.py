"""tests/integration/test_chains.py: whom `connect` and `serve` believe, and what a host is called: chains made by openssl
as people make them, each refusal beside the chain that is right."""

import hashlib
import unittest

import harness

LAB = None
PROGRAM = harness.PROGRAM
CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
SERVER = "subjectAltName=%s\nextendedKeyUsage=serverAuth\n"


def setUpModule():
    global LAB
    LAB = harness.Lab()
    root("ca", "/CN=CA")
    issue("server", "ca", SERVER % "DNS:localhost,IP:127.0.0.1,DNS:sub.customer.example")


def tearDownModule():
    LAB.close()


def key(name):
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".key")


def root(name, subject, signs_with=None):
    if signs_with is None:
        key(name)
    LAB.must("openssl", "req", "-x509", "-key", (signs_with or name) + ".key", "-out", name + ".pem", "-subj", subject, "-days",
             "30", "-addext", "keyUsage=critical,keyCertSign,cRLSign")


def issue(name, ca, extensions, more=()):
    """As `openssl x509 -req` does it; before 3.2 it writes no key identifier that is not asked for."""
    key(name)
    LAB.must("openssl", "req", "-new", "-key", name + ".key", "-subj", "/CN=" + name, "-out", name + ".csr")
    LAB.write(name + ".ext", extensions)
    LAB.must("openssl", "x509", "-req", "-in", name + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-CAcreateserial", "-days",
             "20", "-extfile", name + ".ext", "-out", name + ".pem", *more)


def bundle(name, *parts):
    LAB.write(name + ".pem", b"".join(LAB.read(part + ".pem") for part in parts))
    LAB.write(name + ".key", LAB.read(parts[0] + ".key"))


def digest(name):
    return hashlib.sha256(LAB.must("openssl", "x509", "-in", name + ".pem", "-outform", "DER").out).hexdigest()


def key_digest(name):
    return hashlib.sha256(LAB.must("openssl", "pkey", "-in", name + ".key", "-pubout", "-outform", "DER").out).hexdigest()


class Case(unittest.TestCase):
    def serve(self, name="server", *args):
        server = LAB.serve("--echo", *args, key=name)
        self.addCleanup(server.__exit__)
        return server

    def connect(self, server, *args, host="localhost", ca=("--ca", "ca.pem")):
        return LAB.tpmtls("connect", "%s:%s" % (host, server.port), *ca, *args, stdin=b"hello\n")

    def assert_ok(self, result):
        self.assertEqual((result.code, result.out), (0, b"hello\n"), result.err)

    def assert_refused(self, result, *words, code=3):
        self.assertEqual(result.code, code, result.err)
        for word in words:
            self.assertIn(word, result.err)


class Names(Case):
    """What is dialled, asked for and checked is one name."""

    def test_another_way_to_write_an_address_is_none(self):
        server = self.serve()
        self.assert_ok(self.connect(server, host="127.0.0.1"))
        for host in ("0177.0.0.1", "127.1", "0x7f.0.0.1", "2130706433", "127.0.0.01"):
            self.assert_refused(self.connect(server, host=host), "is no host name and no address",
                                "this is not how an IPv4 address is written", code=2)
        self.assert_refused(self.connect(server, "--servername", "0177.0.0.1"), "no host name and no address", code=2)

    def test_a_dot_at_the_end(self):
        server = self.serve()
        self.assert_ok(self.connect(server, "--servername", "localhost."))
        self.assert_ok(self.connect(server, host="localhost."))
        self.assert_refused(self.connect(server, "--servername", "other.example."), 'is not for "other.example"')

    def test_a_dot_in_front_is_no_wildcard(self):
        server = self.serve()
        self.assert_ok(self.connect(server, "--servername", "sub.customer.example"))
        self.assert_refused(self.connect(server, "--servername", "customer.example"), "is not for")
        self.assert_refused(self.connect(server, "--servername", ".customer.example"), "a part of it is empty", code=2)

    def test_letters_that_dns_does_not_have(self):
        server = self.serve()
        self.assert_refused(self.connect(server, "--servername", "b\u00fccher.example"), "letters outside of ASCII", "xn--", code=2)
        self.assert_refused(self.connect(server, host="b\u00fccher.example"), "letters outside of ASCII", "xn--", code=2)
        self.assert_refused(self.connect(server, "--servername", "10.0.0.1 evil"), "a character that names do not have", code=2)

    def test_the_zone_is_for_dialling(self):
        """In a network of our own, where the loopback device has an address that only its zone tells from others."""
        namespace = LAB.namespace_command()
        if namespace is None:
            self.skipTest("no network namespace may be made here")
        issue("zone", "ca", SERVER % "IP:fe80::77")
        LAB.write("zone.sh", """ip link set lo up && ip addr add fe80::77/64 dev lo nodad || exit 9
            "$1" serve '[::]:4433' --echo --key zone.key --cert zone.pem 2>zone.err & server=$!
            for i in $(seq 100); do grep -q 'listening on' zone.err && break; sleep 0.1; done
            echo hello | "$1" connect '[fe80::77%lo]:4433' --ca ca.pem; echo "code $?"
            echo hello | "$1" connect '[fe80::77%lo]:4433' --ca ca.pem --servername fe80::78; echo "code $?"
            kill $server""")
        done = LAB.run(*namespace, "sh", "zone.sh", PROGRAM)
        self.assertEqual(done.out, b"hello\ncode 0\ncode 3\n", done.err)


class Ways(Case):
    def test_forms_of_others(self):
        """As Windows, EST and Fedora hand certificates out: what it is, and the command that makes ours of it, which does."""
        server = self.serve()
        LAB.must("openssl", "crl2pkcs7", "-nocrl", "-certfile", "ca.pem", "-out", "ca.p7b")
        LAB.must("openssl", "crl2pkcs7", "-nocrl", "-certfile", "ca.pem", "-outform", "DER", "-out", "der.p7b")
        LAB.must("openssl", "x509", "-in", "ca.pem", "-trustout", "-out", "ca.trust.pem")
        for name in ("ca.p7b", "der.p7b", "ca.trust.pem"):
            refused = self.connect(server, ca=("--ca", name))
            self.assertEqual(refused.code, 1, refused.err)
            command = refused.err.split("`openssl ")[1].split("`")[0].replace("FILE.pem", "made.pem")
            LAB.must("openssl", *command.split())
            self.assert_ok(self.connect(server, ca=("--ca", "made.pem")))

    def test_two_cas_of_one_name_in_one_file(self):
        root("twin", "/CN=CA")
        issue("of-twin", "twin", SERVER % "DNS:localhost")
        for order in (("ca", "twin"), ("twin", "ca")):
            LAB.write("both.pem", b"".join(LAB.read(name + ".pem") for name in order))
            for name in ("server", "of-twin"):
                self.assert_ok(self.connect(self.serve(name), ca=("--ca", "both.pem")))
        self.assert_refused(self.connect(self.serve("of-twin")), 'was issued by "CN=CA", who is not trusted')

    def test_a_renewed_ca(self):
        """easy-rsa's renew-ca: the same key, another serial number; the leaf has the old one."""
        root("renewed", "/CN=CA", signs_with="ca")
        issue("old-leaf", "ca", "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always,issuer:always\n" +
              SERVER % "DNS:localhost")
        self.assert_ok(self.connect(self.serve("old-leaf")))
        self.assert_ok(self.connect(self.serve("old-leaf"), ca=("--ca", "renewed.pem")))

    def test_a_ca_pinned_by_its_certificate(self):
        """By its key, it has the rules that the server sends for that key; so says the manual."""
        issue("bound", "ca", CA + "nameConstraints=critical,permitted;DNS:good.example\nauthorityKeyIdentifier=keyid\n")
        root("unbound", "/CN=bound", signs_with="bound")
        issue("leaf", "bound", SERVER % "DNS:localhost")
        bundle("honest", "leaf", "bound")
        bundle("forged", "leaf", "unbound")
        by_cert, by_key = ("--pin", "cert-sha256:" + digest("bound")), ("--pin", "sha256:" + key_digest("bound"))
        self.assert_refused(self.connect(self.serve("honest"), ca=by_cert), "name constraints")
        self.assert_refused(self.connect(self.serve("honest"), ca=by_key), "name constraints")
        self.assert_refused(self.connect(self.serve("forged"), ca=by_cert), "pinned")
        self.assert_ok(self.connect(self.serve("forged"), ca=by_key))
        self.assert_ok(self.connect(self.serve(), ca=("--pin", "cert-sha256:" + digest("server"))))
        self.assert_refused(self.connect(self.serve(), ca=("--pin", "cert-sha256:12")), "sha256:", "-outform DER | openssl dgst", code=2)


class Form(Case):
    def test_lax(self):
        issue("odd", "ca", "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=none\n" + SERVER % "DNS:localhost")
        refused = self.connect(self.serve("odd"))
        self.assert_refused(refused, "authorityKeyIdentifier", "RFC 5280", "--insecure-lax-certificates")
        self.assert_ok(self.connect(self.serve("odd"), "--insecure-lax-certificates"))
        self.assert_refused(self.connect(self.serve("odd"), "--insecure-lax-certificates", "--servername", "x.example"), "is not for")

    def test_a_client_of_version_1(self):
        """What `openssl x509 -req` without extensions makes (before 3.2), as many guides have it."""
        key("v1")
        LAB.must("openssl", "req", "-new", "-key", "v1.key", "-subj", "/CN=v1", "-out", "v1.csr")
        LAB.must("openssl", "x509", "-req", "-in", "v1.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "20", "-out", "v1.pem")
        if b"Version: 1" not in LAB.must("openssl", "x509", "-in", "v1.pem", "-noout", "-text").out:
            self.skipTest("this openssl makes certificates of version 3")
        issue("v3", "ca", "extendedKeyUsage=clientAuth\n")
        for more in ((), ("--insecure-lax-certificates",)):
            server = self.serve("server", "--client-ca", "ca.pem", "--require-client-cert", *more)
            self.assert_ok(self.connect(server, "--key", "v3.key", "--cert", "v3.pem"))
            self.assertNotEqual(self.connect(server, "--key", "v1.key", "--cert", "v1.pem").out, b"hello\n")
            server.wait_for("is of X.509 version 1")


if __name__ == "__main__":
    harness.tap_main()
