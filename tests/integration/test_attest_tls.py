"""tests/integration/test_attest_tls.py: `serve --require-attestation` and `connect --attest`: a connection whose client shows that the
TPM of its certificate is at its end; and who does not pass: a stolen certificate, a relay, another TPM, other PCRs, silence."""

import json
import os
import re
import socket
import unittest

import harness
from swtpm import manufactured

LAB = None
CHIPS = {}
PROGRAM = harness.PROGRAM


def setUpModule():
    global LAB
    LAB = harness.Lab()
    for name in ("one", "two"):
        CHIPS[name] = manufactured(LAB.path(name))
        if CHIPS[name] is None:
            return
        folder = LAB.path(name + "/ca")
        LAB.write(name + ".roots", b"".join(LAB.read(os.path.join(folder, file)) for file in sorted(os.listdir(folder))
                                            if file.endswith("cert.pem") or file == "issuer.pem"))
        on(name, "key", "create", "-o", name + ".key")
    LAB.must(PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=CA")
    for name in ("server", "soft"):
        LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".key")
        os.chmod(LAB.path(name + ".key"), 0o600)
    certify("server", "server", "/CN=localhost", ("--san", "DNS:localhost"))
    certify("soft", "client", "/CN=soft")
    for name in ("one", "two"):
        certify(name, "client", "/CN=" + name, tpm=name)
    LAB.write("policy.ini", "ek-roots = one.roots\nek-roots = two.roots\npcrs = sha256:7,16\n")


def tearDownModule():
    for chip in CHIPS.values():
        if chip is not None:
            chip.stop()
    LAB.close()


def on(chip, *args, **kw):
    return LAB.must(PROGRAM, "--tpm", CHIPS[chip].tcti, *args, **kw)


def certify(name, profile, subject, more=(), tpm=None):
    words = ("csr", "--key", name + ".key", "--subject", subject, "-o", name + ".csr", "--force", *more)
    if tpm:
        on(tpm, *words)
    else:
        LAB.must(PROGRAM, *words)
    LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", "--profile", profile, name + ".csr", "-o", name + ".pem")


class Case(unittest.TestCase):
    def setUp(self):
        if None in CHIPS.values() or len(CHIPS) < 2:
            self.skipTest("swtpm_setup is not installed (package swtpm-tools)")

    def serve(self, *options, policy="policy.ini"):
        more = ("--require-attestation", policy) if policy else ("--require-client-cert",)
        server = LAB.background(PROGRAM, "--json", "serve", "127.0.0.1:0", "--key", "server.key", "--cert", "server.pem", "--client-ca",
                                "ca/ca.pem", *more, *options)
        self.addCleanup(server.stop)
        self.server = server
        return "localhost:" + server.wait_for(r'"address":"[^"\s]*:(\d+)"').group(1)

    def connect(self, at, chip, *options, name=None, stdin=b"hello\n", attest=True):
        name = name or chip
        words = ["connect", at, "--ca", "ca/ca.pem", "--key", name + ".key", "--cert", name + ".pem", *options]
        return LAB.run(PROGRAM, "--tpm", CHIPS[chip].tcti, *words, *(("--attest",) if attest else ()), stdin=stdin)

    def refused(self, result, reason, said=None):
        if said is None:
            self.assertNotEqual(result.code, 0)
        self.assertNotIn(b"hello", result.out)
        self.assertIn(reason if said is None else said, result.err)
        event = json.loads(self.server.wait_for(r'\{"event":"attested"[^\n]*"good":false[^\n]*\}').group(0))
        self.assertEqual(event["reason"], reason)

    def nothing_is_left(self, chip):
        for what in ("handles-transient", "handles-loaded-session"):
            self.assertEqual(CHIPS[chip].tools("tpm2_getcap", what), "", what)


class Attested(Case):
    def test_passes(self):
        at = self.serve("--echo")
        for chip in ("one", "two"):
            result = self.connect(at, chip)
            self.assertEqual((result.code, result.out), (0, b"hello\n"), result.err)
            self.nothing_is_left(chip)
        self.server.wait_for(r'"event":"attested"[^\n]*"good":true[^\n]*"ek_sha256":"[0-9a-f]{64}"')

    def test_resumed(self):
        """Each connection is shown anew: a session alone is not enough."""
        at = self.serve("--echo")
        for _ in range(3):
            result = self.connect(at, "one", "--resume", "sealed")
            self.assertEqual((result.code, result.out), (0, b"hello\n"), result.err)
        result = self.connect(at, "one", "--resume", "sealed", attest=False)
        self.refused(result, "none", "")

    def test_much_data_and_the_server_first(self):
        at = self.serve("--exec", "printf first; cat")
        data = os.urandom(300000)
        result = self.connect(at, "one", stdin=data)
        self.assertEqual((result.code, result.out == b"first" + data), (0, True), result.err)


class Refused(Case):
    def test_without_attest(self):
        at = self.serve("--echo")
        result = self.connect(at, "one", attest=False)
        self.refused(result, "none", "")
        self.assertIn("sent data where an attestation should be", self.server.text.decode())

    def test_nobody_asks(self):
        """A server that does not ask: said at its first byte, or when the time is over."""
        at = self.serve("--exec", "printf first; cat", policy=None)
        result = self.connect(at, "one")
        self.assertNotEqual(result.code, 0)
        self.assertIn("does not ask for an attestation", result.err)

    def test_software_key(self):
        at = self.serve("--echo")
        result = self.connect(at, "one", name="soft")
        self.assertNotEqual(result.code, 0)
        self.assertIn("not in a TPM", result.err)

    def test_another_pcr(self):
        LAB.write("now.ini", "ek-roots = one.roots\npcrs = sha256:16\n")
        on("one", "attest", "make", "--key", "one.key", "--nonce", "00" * 32, "--pcr", "sha256:16", "-o", "now.evidence", "--force")
        shown = json.loads(LAB.must(PROGRAM, "--json", "attest", "show", "now.evidence").out)
        LAB.write("now.ini", "ek-roots = one.roots\npcrs = sha256:16\npcr-digest = %s\n" % shown["quote"]["digest"])
        at = self.serve("--echo", policy="now.ini")
        self.assertEqual(self.connect(at, "one").code, 0)
        CHIPS["one"].tools("tpm2_pcrextend", "16:sha256=" + "22" * 32)
        result = self.connect(at, "one")
        CHIPS["one"].tools("tpm2_pcrreset", "16")
        self.refused(result, "pcrs")

    def test_another_vendor(self):
        LAB.write("strict.ini", "ek-roots = two.roots\n")
        at = self.serve("--echo", policy="strict.ini")
        self.assertEqual(self.connect(at, "two").code, 0)
        self.refused(self.connect(at, "one"), "ek-untrusted")

    def test_stolen_with_the_context(self):
        """Certificate and key file, in another TPM: it does not load there, and no signature is made."""
        at = self.serve("--echo")
        result = self.connect(at, "two", name="one")
        self.assertEqual(result.code, 4, result.err)
        self.assertNotIn(b"hello", result.out)

    def test_relay(self):
        """Somebody in between has a good certificate of his own, and passes the frames on to the TPM of another: what that TPM shows is
        about the other connection."""
        at = self.serve("--echo")
        between = LAB.background(PROGRAM, "serve", "127.0.0.1:0", "--key", "server.key", "--cert", "server.pem", "--client-ca", "ca/ca.pem",
                                 "--require-client-cert", "--exec",
                                 "'%s' connect %s --ca ca/ca.pem --key soft.key --cert soft.pem" % (PROGRAM, at))
        self.addCleanup(between.stop)
        trap = "localhost:" + between.wait_for(r":(\d+)").group(1)
        self.refused(self.connect(trap, "one"), "nonce-wrong")

    def test_silence_and_rubbish(self):
        """Who connects and says nothing, or anything else: bounded."""
        at = self.serve("--echo")
        for data in (b"TTAT", b"TTAT\x02\x02\x00\x00", b"TTAT\x01\x04\x00\x00", b"TTAT\x01\x02\xff\xff" + bytes(70000), b"GET / HTTP/1.0\r\n\r\n",
                     b"TTAT\x01\x02\x00\x02\x30\x00", b"TTAT\x01\x06\x00\x04\x00\xff\x41\x42"):
            result = self.connect(at, "one", stdin=data, attest=False)
            self.assertIn(result.out.count(b"TTAT"), (1, 2))  # the request, and a refusal
            self.assertNotIn(data[4:] + b"\n", result.out)
        self.assertEqual(self.connect(at, "one").code, 0)  # and the next one is served


class Proxy(Case):
    """The same between `proxy client` and `proxy server`."""

    def proxy(self, *words, tpm=None, tunnel):
        program = LAB.background(PROGRAM, "-v", *(("--tpm", CHIPS[tpm].tcti) if tpm else ()), "proxy", *words)
        self.addCleanup(program.stop)
        return program, program.wait_for(r"event=listening tunnel=%s address=127.0.0.1:(\d+)" % tunnel).group(1)

    def through(self, port, data=b"hello"):
        with socket.create_connection(("127.0.0.1", int(port)), 20) as s:
            s.settimeout(20)
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                got = b""
                while len(got) < len(data):
                    more = s.recv(65536)
                    if not more:
                        break
                    got += more
                return got
            except OSError:
                return b""

    def pair(self, chip, policy, attest=True):
        programs = harness.Programs(lambda s: s.sendall(s.recv(65536)))
        server, at = self.proxy("server", "--listen", "127.0.0.1:0", "--connect", programs.at, "--key", "server.key", "--cert",
                                "server.pem", "--client-ca", "ca/ca.pem", "--allow-all", "--require-attestation", policy, tunnel="server")
        client, port = self.proxy("client", "--listen", "127.0.0.1:0", "--connect", "localhost:" + at, "--ca", "ca/ca.pem", "--key",
                                  chip + ".key", "--cert", chip + ".pem", *(("--attest",) if attest else ()), tpm=chip, tunnel="client")
        return server, client, port

    def test_passes(self):
        server, _, port = self.pair("one", "policy.ini")
        for _ in range(3):
            self.assertEqual(self.through(port), b"hello")
        server.wait_for(r"event=attested .*ek_sha256=[0-9a-f]{64}")

    def test_refused(self):
        LAB.write("strict.ini", "ek-roots = two.roots\n")
        server, client, port = self.pair("one", "strict.ini")
        self.assertEqual(self.through(port), b"")
        server.wait_for(r"event=refused .*cause=attestation")
        client.wait_for(r"event=refused .*cause=attestation")

    def test_without(self):
        server, _, port = self.pair("one", "policy.ini", attest=False)
        self.assertNotIn(b"hello", self.through(port))
        server.wait_for(r"event=refused .*cause=attestation")


if __name__ == "__main__":
    harness.tap_main()
