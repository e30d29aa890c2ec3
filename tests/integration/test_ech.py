"""tests/integration/test_ech.py: Encrypted Client Hello from the command line, both roles: where the configs come from,
what goes over the wire, rejection and the one retry, rotation, keys in the TPM."""

import base64
import os
import re
import time
import unittest

import harness
import nameserver
from nameserver import record

LAB = None
SECRET, PUBLIC = "secret.example", "public.example"


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.env["XDG_STATE_HOME"] = LAB.path("state")
    LAB.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
    certificate("server", PUBLIC, SECRET, "localhost")
    certificate("inner-only", SECRET)
    for name in ("a", "b", "c"):
        LAB.write(name + ".b64", make_key(name + ".ech"))
    LAB.write("p.b64", make_key("p.ech", "--kem", "p256"))


def tearDownModule():
    LAB.close()


def certificate(name, *names):
    named = [word for n in names for word in ("--san", "DNS:" + n)]
    LAB.must(harness.PROGRAM, "csr", "--key", "soft.key", "--subject", "/CN=" + names[0], *named, "-o", name + ".csr")
    LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", name + ".csr", "--profile", "server", "-o", name + ".pem")


def make_key(path, *args):
    """The ECHConfigList in base64, as it was printed."""
    return LAB.must(harness.PROGRAM, "ech-key", "-o", path, "--public-name", PUBLIC, *args).out.decode().strip()


def config_of(path):
    """The ECHConfigList of a file, in base64."""
    return re.search("BEGIN ECHCONFIG-----(.*)-----END", LAB.read(path).decode(), re.S).group(1).replace("\n", "")


class Case(unittest.TestCase):
    def serve(self, *args, cert="server"):
        server = LAB.background(harness.PROGRAM, "--json", "-v", "serve", "127.0.0.1:0", "--key", "soft.key", "--cert",
                                cert + ".pem", "--trace", *args)
        self.addCleanup(server.__exit__)
        server.port = server.wait_for(r'"address":"[^"]*:(\d+)"').group(1)
        return server

    def nameserver(self, zone):
        server = nameserver.Nameserver(zone)
        self.addCleanup(server.close)
        return server

    def connect(self, port, *args, code=0, host="127.0.0.1", name=SECRET, options=("--json",)):
        named = ("--servername", name) if name else ()
        result = LAB.tpmtls(*options, "connect", host + ":" + port, *named, "--ca", "ca/ca.pem", *args, stdin=b"hello\n")
        self.assertEqual(result.code, code, result.err)
        self.assertEqual(result.out, b"hello\n" if code == 0 else b"", result.err)
        return result

    def ech(self, result):
        """What the one connection that was made says of ECH."""
        events = result.events("connected")
        self.assertEqual(len(events), 1, result.err)
        return events[0]["ech"]


class Offered(Case):
    def test_a_file_in_every_form(self):
        server = self.serve("--ech-key", "a.ech")
        text = config_of("a.ech")
        self.assertEqual(LAB.read("a.b64").decode(), text)
        LAB.write("only.pem", "-----BEGIN ECHCONFIG-----\n%s\n-----END ECHCONFIG-----\n" % text)
        LAB.write("bytes", base64.b64decode(text))
        for form in ("a.ech", "only.pem", "bytes", "a.b64", text):
            self.assertEqual(self.ech(self.connect(server.port, "--ech", form)), "accepted")
        server.wait_for('"event":"connected".*"ech":"accepted"')

    def test_the_name_is_not_on_the_wire(self):
        """Neither in the first ClientHello nor in the second one; the application behind it knows it."""
        for extra in ((), ("--force-retry",)):
            server = self.serve("--ech-key", "a.ech", "--alpn", "hidden/1", "--exec", "read x; echo hello; echo $TPMTLS_SERVER_NAME >&2", *extra)
            tap = harness.Tap(server.port)
            result = self.connect(tap.port, "--ech", "a.ech", "--alpn", "hidden/1", "--trace")
            self.assertEqual(self.ech(result), "accepted")
            self.assertEqual(result.events("handshake")[0]["hello_retry_request"], bool(extra))
            self.assertEqual(result.events("handshake")[0]["alpn"], "hidden/1")
            self.assertIn(PUBLIC.encode(), tap.sent[0])
            self.assertNotIn(SECRET.encode(), tap.sent[0])
            self.assertNotIn(b"hidden/1", tap.sent[0])
            server.wait_for(SECRET)

    def test_a_config_has_no_extensions(self):
        """BoringSSL's servers refuse one that has."""
        self.assertEqual(base64.b64decode(config_of("a.ech"))[-2:], b"\0\0")
        self.assertEqual(base64.b64decode(config_of("a.ech"))[-2 - len(PUBLIC):-2], PUBLIC.encode())

    def test_without_it_the_name_is_on_the_wire(self):
        """That the search of the test before finds it."""
        server = self.serve()
        tap = harness.Tap(server.port)
        self.assertIsNone(self.ech(self.connect(tap.port)))
        self.assertIn(SECRET.encode(), tap.sent[0])

    def test_grease(self):
        plain, keyed = self.serve(), self.serve("--ech-key", "a.ech")
        for server in (plain, keyed):
            self.assertEqual(self.ech(self.connect(server.port, "--ech", "grease")), "grease")
        keyed.wait_for('"event":"connected".*"ech":"rejected"')
        self.connect(plain.port, "--ech", "grease", "--ech-required", code=1)

    def test_for_a_person(self):
        server = self.serve("--ech-key", "a.ech")
        self.assertIn("ECH accepted", self.connect(server.port, "--ech", "a.ech", options=("-v",)).err)
        self.assertNotIn("ECH", self.connect(server.port, options=("-v",)).err)

    def test_a_session_is_resumed_in_the_inner_hello(self):
        server = self.serve("--ech-key", "a.ech")
        more = ("--ech", "a.ech", "--resume", "sealed", "--trace")
        self.assertFalse(self.connect(server.port, *more).events("connected")[0]["resumed"])
        result = self.connect(server.port, *more)
        self.assertTrue(result.events("connected")[0]["resumed"], result.err)
        self.assertEqual(self.ech(result), "accepted")
        # The key is another one now: the ticket is still good for the second connection.
        other = self.serve("--ech-key", "b.ech")
        result = self.connect(other.port, *more)
        self.assertEqual((self.ech(result), len(result.events("ech_retry"))), ("accepted", 1))

    def test_what_cannot_be_used(self):
        LAB.write("none", "nothing\n")
        LAB.write("other-version", base64.b64encode(b"\0\x08\xfe\x0c\0\4abcd"))
        for form, words in (("none", "holds no ECHConfigList"), ("AAAA", "neither a file nor"), ("soft.key", "holds no"),
                            ("other-version", "no ECHConfig of RFC 9849"), ("ca", "")):
            self.assertIn(words, self.connect("1", "--ech", form, code=1, options=()).err)
        self.connect("1", "--ech", "a.ech", "--dns-server", "127.0.0.1", code=2)
        self.connect("1", "--ech-required", code=2)


class Rejected(Case):
    def test_one_retry_with_the_servers_configs(self):
        server = self.serve("--ech-key", "b.ech")
        tap = harness.Tap(server.port)
        result = self.connect(tap.port, "--ech", "a.ech")
        self.assertEqual(self.ech(result), "accepted")
        self.assertEqual([e["configs"] for e in result.events("ech_retry")], [True])
        self.assertEqual(len(tap.sent), 2)
        self.assertNotIn(SECRET.encode(), b"".join(tap.sent))
        server.wait_for("alert ech_required")

    def test_a_server_without_ech(self):
        server = self.serve()
        result = self.connect(server.port, "--ech", "a.ech")
        self.assertEqual([e["configs"] for e in result.events("ech_retry")], [False])
        self.assertIsNone(self.ech(result))
        tap = harness.Tap(server.port)
        result = self.connect(tap.port, "--ech", "a.ech", "--ech-required", code=5)
        self.assertEqual((result.events("ech_retry"), len(tap.sent)), ([], 1))
        self.assertNotIn(SECRET.encode(), tap.sent[0])

    def test_the_public_name_is_verified(self):
        """Whoever has no certificate for it gets no second connection."""
        server = self.serve("--ech-key", "b.ech", cert="inner-only")
        tap = harness.Tap(server.port)
        result = self.connect(tap.port, "--ech", "a.ech", code=3, options=())
        self.assertIn(PUBLIC, result.err)
        self.assertEqual(len(tap.sent), 1)

    def test_of_each_kem_the_first_is_sent(self):
        """A client that is rejected gets the first X25519 key and the first P-256 key; all others still open."""
        server = self.serve("--ech-key", "a.ech", "--ech-key", "b.ech", "--ech-key", "p.ech")
        for known in ("a.ech", "b.ech", "p.ech"):
            result = self.connect(server.port, "--ech", known)
            self.assertEqual((self.ech(result), result.events("ech_retry")), ("accepted", []))
        result = self.connect(server.port, "--ech", "c.ech")
        self.assertEqual((self.ech(result), len(result.events("ech_retry"))), ("accepted", 1))


class Rotated(Case):
    def test_a_directory_is_read_again(self):
        os.mkdir(LAB.path("keys"), 0o700)
        first, second = make_key("keys/1.ech"), ""
        server = self.serve("--ech-key", "keys")
        self.assertEqual(self.ech(self.connect(server.port, "--ech", first)), "accepted")
        second = make_key("keys/2.ech")
        server.wait_for("the ECH keys were read again")
        for config in (first, second):
            result = self.connect(server.port, "--ech", config)
            self.assertEqual((self.ech(result), result.events("ech_retry")), ("accepted", []))
        LAB.write("keys/3.ech", "nonsense")
        os.chmod(LAB.path("keys/3.ech"), 0o600)
        server.wait_for("the ECH keys stay as they were: .*ECHCONFIG")
        self.assertEqual(self.ech(self.connect(server.port, "--ech", first)), "accepted")
        seen = len(server.text)
        os.remove(LAB.path("keys/3.ech"))
        os.remove(LAB.path("keys/1.ech"))
        self.wait_more(server, seen, "the ECH keys were read again")
        result = self.connect(server.port, "--ech", first)
        self.assertEqual((self.ech(result), len(result.events("ech_retry"))), ("accepted", 1))

        os.remove(LAB.path("keys/2.ech"))
        server.wait_for("no ECH key is in use any more: there is no")
        result = self.connect(server.port, "--ech", first)  # to the client as a server without ECH
        self.assertEqual((self.ech(result), [e["configs"] for e in result.events("ech_retry")]), (None, [False]))

    def wait_more(self, server, seen, words):
        for _ in range(200):
            if words.encode() in server.text[seen:]:
                return
            time.sleep(0.05)
        self.fail("no '%s' in %s" % (words, server.text[seen:]))

    def test_who_may_read_it(self):
        LAB.write("open.ech", LAB.read("a.ech"))
        os.chmod(LAB.path("open.ech"), 0o644)
        result = LAB.tpmtls("serve", "127.0.0.1:0", "--key", "soft.key", "--cert", "server.pem", "--ech-key", "open.ech")
        self.assertEqual(result.code, 1)
        self.assertIn("open.ech", result.err)
        result = LAB.tpmtls("ech-key", "-o", "a.ech", "--public-name", PUBLIC)
        self.assertEqual(result.code, 1)
        for bad in ("no_name", "1.2.3.4", "a..b", ""):
            self.assertNotEqual(LAB.tpmtls("ech-key", "-o", "bad.ech", "--public-name", bad).code, 0)
        self.assertFalse(os.path.exists(LAB.path("bad.ech")))


class InTheTpm(Case):
    def test_the_key_never_leaves(self):
        os.mkdir(LAB.path("held"), 0o700)
        text = make_key("held/1.ech", "--in-tpm")
        self.assertEqual(config_of("held/1.ech"), text)
        self.assertNotIn(b"-----BEGIN PRIVATE KEY", LAB.read("held/1.ech"))
        server = self.serve("--ech-key", "held", "--ech-key", "a.ech")
        self.assertEqual(self.ech(self.connect(server.port, "--ech", text)), "accepted")
        server.wait_for('"phase":"handshake","command":"TPM2_ECDH_ZGen"')
        seen = len(server.text)
        self.assertEqual(self.ech(self.connect(server.port, "--ech", "a.ech")), "accepted")
        self.assertNotIn(b"ECDH_ZGen", server.text[seen:])  # another config_id: the TPM is not asked
        second = make_key("held/2.ech", "--in-tpm")
        server.wait_for("the ECH keys were read again")
        for config in (text, second, text):
            result = self.connect(server.port, "--ech", config)
            self.assertEqual((self.ech(result), result.events("ech_retry")), ("accepted", []))
        os.remove(LAB.path("held/1.ech"))
        server.wait_for("(?s)read again.*read again")
        result = self.connect(server.port, "--ech", text)
        self.assertEqual((self.ech(result), len(result.events("ech_retry"))), ("accepted", 1))
        self.assertEqual(server.stop().code, 0)

    def test_another_tpm_cannot(self):
        make_key("mine.ech", "--in-tpm")
        result = LAB.tpmtls("--tpm", "embedded:" + LAB.path("tpm2"), "serve", "127.0.0.1:0", "--key", "soft.key", "--cert",
                            "server.pem", "--ech-key", "mine.ech")
        self.assertEqual(result.code, 4, result.err)

    def test_the_config_of_another_key(self):
        make_key("one.ech", "--in-tpm")
        make_key("two.ech", "--in-tpm")
        key = LAB.read("one.ech").decode().split("-----BEGIN ECHCONFIG")[0]
        LAB.write("mixed.ech", key + LAB.read("two.ech").decode().split("PRIVATE KEY-----\n")[-1])
        os.chmod(LAB.path("mixed.ech"), 0o600)
        result = LAB.tpmtls("serve", "127.0.0.1:0", "--key", "soft.key", "--cert", "server.pem", "--ech-key", "mixed.ech")
        self.assertEqual(result.code, 1)
        self.assertIn("not of the config beside it", result.err)

    def test_the_servers_key_is_there_as_well(self):
        """Both keys of one TPM take turns."""
        LAB.tpm_identity("hard", "p256", "/CN=" + SECRET, "server", "DNS:" + SECRET)
        text = make_key("both.ech", "--in-tpm")
        server = LAB.serve("--ech-key", "both.ech", "--trace", key="hard", options=("--json",))
        self.addCleanup(server.__exit__)
        for _ in range(3):
            self.assertEqual(self.ech(self.connect(server.port, "--ech", text)), "accepted")
        server.wait_for(r'(?s)(?:"phase":"handshake","command":"TPM2_Sign".*){3}')
        self.assertEqual(server.text.count(b'"TPM2_ECDH_ZGen"'), 3)
        self.assertEqual(server.text.count(b'"phase":"handshake","command":"TPM2_Sign"'), 3)


class Dns(Case):
    def setUp(self):
        self.config = base64.b64decode(LAB.read("a.b64"))
        self.server = self.serve("--ech-key", "a.ech")
        self.asked = "_%s._https.%s" % (self.server.port, SECRET)

    def dns(self, zone, *args, **kw):
        self.names = self.nameserver(zone)
        return self.connect(kw.pop("port", self.server.port), "--ech", "dns", "--dns-server", self.names.at, *args, **kw)

    def test_the_record_of_the_name(self):
        result = self.dns({self.asked: [record(1, ech=self.config)]}, "--ech-required")
        self.assertEqual(self.ech(result), "accepted")
        self.assertEqual(self.names.asked, [self.asked])

    def test_the_best_record(self):
        """Not one with a mandatory key that is not known, nor one that is malformed; of two the lower SvcPriority."""
        other = base64.b64decode(LAB.read("c.b64"))
        zone = {self.asked: [record(1, mandatory=b"\0\x09", key9=b"", ech=other), record(2, port=b"\0", ech=other), b"\0",
                             record(5, ech=other), record(3, mandatory=b"\0\5", ech=self.config), record(1, key100=b"x")]}
        result = self.dns(zone)
        self.assertEqual((self.ech(result), result.events("ech_retry")), ("accepted", []))

    def test_an_alias(self):
        zone = {self.asked: [record(0, "pool.example")], "pool.example": [record(1, ech=self.config)]}
        self.assertEqual(self.ech(self.dns(zone)), "accepted")
        self.assertEqual(self.names.asked, [self.asked, "pool.example"])

    def test_an_alias_of_itself(self):
        result = self.dns({self.asked: [record(0, self.asked)]})
        self.assertEqual(self.ech(result), "grease")
        self.assertEqual(len(self.names.asked), 8)
        self.dns({self.asked: [record(0, self.asked)]}, "--ech-required", code=1)

    def test_no_record(self):
        for zone in ({}, {self.asked: []}, {self.asked: [record(1, port=b"\0\1")]}, {self.asked: nameserver.SERVFAIL}):
            self.assertEqual(self.ech(self.dns(zone)), "grease")
            self.dns(zone, "--ech-required", code=1)

    def test_where_the_server_is(self):
        """Target and port of the record; the name that is asked for and verified stays. Not where the user said where."""
        port = int(self.server.port)
        moved = [record(1, "localhost", port=port.to_bytes(2, "big"), ech=self.config)]
        zone = {"_1._https.moved.example": moved, "_1._https." + SECRET: moved}
        certificate("moved", "moved.example", PUBLIC)
        server = self.serve("--ech-key", "a.ech", cert="moved")
        moved[0] = record(1, "localhost", port=int(server.port).to_bytes(2, "big"), ech=self.config)
        self.assertEqual(self.ech(self.dns(zone, port="1", host="moved.example", name=None)), "accepted")
        self.dns(zone, port="1", code=1)

    def test_what_cannot_be_asked(self):
        self.connect(self.server.port, "--ech", "dns", name=None, code=2)
        for bad in ("x", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "::1"):
            self.connect(self.server.port, "--ech", "dns", "--dns-server", bad, code=2)


if __name__ == "__main__":
    harness.tap_main()
