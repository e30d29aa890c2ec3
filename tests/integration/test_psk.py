"""tests/integration/test_psk.py: external PSKs from the command line: in the TPM and in software, imported (RFC 9258)
and plain, beside certificates (RFC 8773), against ourselves, OpenSSL and GnuTLS; and what is refused."""

import base64
import json
import os
import re
import shutil
import socket
import unittest

import harness

LAB = None
SECRET = "8f1c0a5d7e3b2946d0c4a1f6e8b93752415e6c7d8a9bf0e1d2c3b4a596877889"


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")
    LAB.tpm_identity("server-p256", "p256", "/CN=localhost", "server", "DNS:localhost")
    for role in ("client", "server"):
        for name, words in (("tpm", ()), ("soft", ("--software",)), ("soft384", ("--software", "--hash", "sha384")),
                            ("plain", ("--plain",)), ("plainsoft", ("--plain", "--software")), ("other", ("--context", "b"))):
            psk_import("%s-%s.psk" % (name, role), "--identity", "device-1", "--role", role, *words)


def tearDownModule():
    LAB.close()


def psk_import(path, *words, secret=SECRET):
    result = LAB.tpmtls("psk", "import", *words, "-o", path, stdin=secret.encode() + b"\n")
    if result.code != 0:
        raise AssertionError(result.err)
    return result


class Case(unittest.TestCase):
    def serve(self, *args):
        server = LAB.background(harness.PROGRAM, "--json", "serve", "127.0.0.1:0", "--trace", *args)
        self.addCleanup(server.__exit__)
        server.port = server.wait_for(r'"address":"[^"\s]*:(\d+)').group(1)
        return server

    def connect(self, server, *args, code=0):
        result = LAB.tpmtls("--json", "connect", "localhost:%s" % server.port, "--trace", *args, stdin=b"hello\n")
        self.assertEqual(result.code, code, result.err)
        if code == 0:
            self.assertEqual(result.out, b"hello\n")
        return result

    def at_server(self, server):
        server.wait_for('"event":"handshake"')
        server.stop()
        return harness.Result(0, b"", server.text).events("handshake")


class OurselvesAtBothEnds(Case):
    def test_every_form(self):
        for client, server, identity in (("tpm", "tpm", "device-1"), ("tpm", "soft", "device-1"), ("soft", "tpm", "device-1"),
                                         ("soft384", "soft384", "device-1"), ("plain", "plain", "device-1"),
                                         ("plain", "plainsoft", "device-1"), ("other", "other", "device-1 [b]")):
            s = self.serve("--psk", server + "-server.psk")
            seen = self.connect(s, "--psk", client + "-client.psk").events("handshake")[0]
            self.assertEqual((seen["psk"], seen["peer_certificate"], seen["scheme"]), (identity, None, None), (client, server))
            self.assertEqual([e["psk"] for e in self.at_server(s)], [identity])

    def test_held_at_both_ends_asks_for_two_values(self):
        s = self.serve("--psk", "tpm-server.psk")
        asked = [self.connect(s, "--psk", "tpm-client.psk").events("tpm") for _ in range(2)][1]
        used = [e["command"] for e in asked if e["phase"] == "handshake"]
        self.assertEqual(used.count("TPM2_HMAC"), 2)
        self.assertNotIn("TPM2_Sign", used)

    def test_several_psks_and_certificates_at_one_server(self):
        s = self.serve("--psk", "tpm-server.psk", "--psk", "plainsoft-server.psk", "--psk", "soft384-server.psk",
                       "--key", "server-p256.key", "--cert", "server-p256.pem")
        for name in ("tpm", "plain", "soft384"):
            self.assertEqual(self.connect(s, "--psk", name + "-client.psk").events("handshake")[0]["psk"], "device-1")
        self.assertEqual(self.connect(s, "--ca", "ca/ca.pem").events("handshake")[0]["psk"], None)
        # one that the server does not know: certificates do it, where there are any to go by
        seen = self.connect(s, "--psk", "other-client.psk", "--ca", "ca/ca.pem").events("handshake")[0]
        self.assertEqual((seen["psk"], seen["peer_certificate"]), (None, "CN=localhost"))
        result = self.connect(s, "--psk", "other-client.psk", code=1)
        self.assertIn("the server does not know our PSK", result.err)

    def test_the_command_of_a_server_learns_who_it_is(self):
        s = self.serve("--psk", "other-server.psk", "--exec", 'printf "%s" "$TPMTLS_PEER_PSK"')
        result = LAB.tpmtls("connect", "localhost:" + s.port, "--psk", "other-client.psk")
        self.assertEqual(result.out, b"device-1 [b]")

    def test_certificate_and_psk(self):
        both = ("--psk", "tpm-server.psk", "--key", "server-p256.key", "--cert", "server-p256.pem")
        for demands in ((), ("--psk-and-certificate",)):
            s = self.serve(*both, *demands)
            seen = self.connect(s, "--psk", "tpm-client.psk", "--ca", "ca/ca.pem", "--psk-and-certificate").events("handshake")[0]
            self.assertEqual((seen["psk"], seen["certificate_with_psk"], seen["peer_certificate"]), ("device-1", True, "CN=localhost"))
        for words, code, text in ((("--psk", "tpm-client.psk"), 5, "handshake_failure"), (("--ca", "ca/ca.pem"), 5, "handshake_failure")):
            self.assertIn(text, self.connect(s, *words, code=code).err)
        s = self.serve(*both[:2])
        result = self.connect(s, "--psk", "tpm-client.psk", "--ca", "ca/ca.pem", "--psk-and-certificate", code=1)
        self.assertIn("does not use both", result.err)


class OtherPrograms(Case):
    """They know no importer: --plain."""

    def test_openssl_client(self):
        for form in ("plain", "plainsoft"):
            s = self.serve("--psk", form + "-server.psk")
            done = LAB.run("openssl", "s_client", "-connect", "localhost:" + s.port, "-psk", SECRET, "-psk_identity", "device-1",
                           "-tls1_3", "-quiet", "-no_ign_eof", stdin=b"hello\n")
            self.assertEqual(done.code, 0, done.err)
            self.assertEqual([e["psk"] for e in self.at_server(s)], ["device-1"])

    def test_openssl_server(self):
        server = LAB.background("openssl", "s_server", "-accept", "127.0.0.1:0", "-psk", SECRET, "-psk_identity", "device-1",
                                "-nocert", "-tls1_3", "-rev")
        self.addCleanup(server.__exit__)
        server.port = server.wait_for(r"ACCEPT \S*?:(\d+)").group(1)
        for form in ("plain", "plainsoft"):
            result = LAB.tpmtls("--json", "connect", "localhost:" + server.port, "--psk", form + "-client.psk", "--trace",
                                stdin=b"hello\n")
            self.assertEqual((result.code, result.out), (0, b"olleh\n"), result.err)
            self.assertEqual(result.events("handshake")[0]["psk"], "device-1")

    GNUTLS = "NONE:+VERS-TLS1.3:+AES-128-GCM:+AEAD:+SHA256:+GROUP-X25519:+SIGN-ALL:+PSK:+DHE-PSK"

    @unittest.skipUnless(shutil.which("gnutls-cli"), "gnutls-cli (gnutls-bin) is not installed")
    def test_gnutls_client(self):
        for form in ("plain", "plainsoft"):
            s = self.serve("--psk", form + "-server.psk")
            done = LAB.run("gnutls-cli", "localhost", "-p", s.port, "--pskusername", "device-1", "--pskkey", SECRET, "--priority",
                           self.GNUTLS, stdin=b"hello\n")
            self.assertEqual(done.code, 0, done.out.decode() + done.err)
            self.assertEqual([e["psk"] for e in self.at_server(s)], ["device-1"])

    @unittest.skipUnless(shutil.which("gnutls-serv"), "gnutls-serv (gnutls-bin) is not installed")
    def test_gnutls_server(self):
        LAB.write("gnutls.psk", "device-1:%s\n" % SECRET)
        port = free_port()
        server = LAB.background("gnutls-serv", "-p", port, "--echo", "--pskpasswd", "gnutls.psk", "--priority", self.GNUTLS)
        self.addCleanup(server.__exit__)
        server.wait_for(r"listening on IPv4")
        for form in ("plain", "plainsoft"):
            result = LAB.tpmtls("--json", "connect", "127.0.0.1:" + port, "--psk", form + "-client.psk", "--trace", stdin=b"hello\n")
            self.assertEqual((result.code, result.out), (0, b"hello\n"), result.err)
            self.assertEqual(result.events("handshake")[0]["psk"], "device-1")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return str(s.getsockname()[1])


class Files(Case):
    def test_what_is_in_them(self):
        self.assertEqual(os.stat(LAB.path("tpm-client.psk")).st_mode & 0o777, 0o600)
        shown = LAB.must(harness.PROGRAM, "psk", "show", "other-server.psk").out.decode()
        for line in (r"identity: +device-1 \[b\]", r"role: +server", r"where: +tpm", r"importer: +RFC 9258", r"hash: +sha256"):
            self.assertRegex(shown, line)
        shown = json.loads(LAB.must(harness.PROGRAM, "--json", "psk", "show", "plainsoft-client.psk").out)
        self.assertEqual(shown, {"identity": "device-1", "role": "client", "where": "software", "imported": False, "hash": "sha256"})

    def test_a_client_is_what_is_made(self):
        psk_import("unsaid.psk", "--identity", "device-1")
        shown = json.loads(LAB.must(harness.PROGRAM, "--json", "psk", "show", "unsaid.psk").out)
        self.assertEqual((shown["role"], shown["where"]), ("client", "tpm"))

    def test_one_in_the_tpm_has_no_secret(self):
        """The file holds neither the PSK nor what it was made from; the software form does."""
        def blocks(name):
            return b"".join(base64.b64decode(b) for b in re.findall(rb"-----BEGIN [^-]+-----\n([A-Za-z0-9+/=\n]+)-----END", LAB.read(name)))
        self.assertNotIn(bytes.fromhex(SECRET), blocks("plain-client.psk"))
        self.assertIn(bytes.fromhex(SECRET), blocks("plainsoft-client.psk"))
        self.assertNotIn(bytes.fromhex(SECRET), blocks("soft-client.psk"))  # the importer leaves only what it derived

    def test_of_another_tpm(self):
        s = self.serve("--psk", "soft-server.psk")
        result = LAB.tpmtls("connect", "localhost:" + s.port, "--psk", "tpm-client.psk", env={"TPMTLS_TPM": "embedded:" + LAB.path("tpm2")})
        self.assertEqual(result.code, 4, result.err)
        self.assertIn("tpm-client.psk", result.err)

    def test_no_role_switch(self):
        result = LAB.tpmtls("connect", "localhost:1", "--psk", "tpm-server.psk")
        self.assertEqual(result.code, 2)
        self.assertIn("tpm-server.psk is for the server", result.err)
        self.assertRegex(result.err, "hint: .*never switch roles")
        result = LAB.tpmtls("serve", "127.0.0.1:0", "--psk", "tpm-client.psk")
        self.assertEqual(result.code, 2)
        self.assertIn("tpm-client.psk is for the client", result.err)

    def test_what_is_not_imported(self):
        good = ("--identity", "x", "--role", "client")
        for words, secret, text in (
                (good, "00112233445566778899aabbccddee", "has 15 bytes; a PSK has at least 16"),
                (good, "00" * 32, "is not random"),
                (good, "correct horse battery staple", "is not hexadecimal"),
                (good, "123", "is not hexadecimal"),
                (good + ("--binary",), "short", "has 6 bytes"),
                (("--role", "client"), SECRET, "--identity"),
                (("--identity", "x", "--role", "both"), SECRET, "'both' is not client or server"),
                (good + ("--hash", "sha384"), SECRET, "--software"),
                (good + ("--hash", "md5"), SECRET, "'md5' is not sha256 or sha384"),
                (good + ("--plain", "--context", "c"), SECRET, "--context")):
            result = LAB.tpmtls("psk", "import", *words, "-o", "new.psk", stdin=secret.encode() + b"\n")
            self.assertEqual(result.code, 2, (words, result.err))
            self.assertIn(text, result.err)
            self.assertFalse(os.path.exists(LAB.path("new.psk")))
        result = LAB.tpmtls("psk", "import", *good, "-o", "tpm-client.psk", stdin=SECRET.encode())
        self.assertEqual(result.code, 1)
        self.assertIn("tpm-client.psk", result.err)  # never overwritten
        result = LAB.tpmtls("connect", "localhost:1", "--psk", "ca/ca.pem")
        self.assertIn("ca/ca.pem is not the file of a PSK", result.err)

    def test_options_that_need_others(self):
        for words, text in ((("connect", "localhost:1", "--psk-and-certificate"), "--psk-and-certificate needs --psk"),
                            (("serve", "127.0.0.1:0", "--psk", "tpm-server.psk", "--psk-and-certificate"), "needs --psk, --key and --cert"),
                            (("serve", "127.0.0.1:0"), "--key and --cert, or --psk"),
                            (("serve", "127.0.0.1:0", "--psk", "tpm-server.psk", "--delegate"), "--delegate needs --cert")):
            result = LAB.tpmtls(*words)
            self.assertEqual(result.code, 2, result.err)
            self.assertIn(text, result.err)


if __name__ == "__main__":
    harness.tap_main()
