"""tests/integration/test_delegation.py: delegated credentials (RFC 9345) from the command line: who uses them, who does
not, what is refused, and that handshakes go on while they are renewed. NSS's tstclnt is the foreign peer; no other
program of Debian 12 knows them."""

import os
import shutil
import time
import unittest

import harness

LAB = None


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")
    for kind in ("p256", "rsa2048"):
        LAB.must(harness.PROGRAM, "key", "create", "--type", kind, "-o", "server-%s.key" % kind)
        LAB.must(harness.PROGRAM, "csr", "--key", "server-%s.key" % kind, "--subject", "/CN=localhost", "--san", "DNS:localhost",
                 "-o", kind + ".csr")
        LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", kind + ".csr", "--profile", "both", "--delegation", "-o",
                 "server-%s.pem" % kind)
    LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "p256.csr", "--profile", "both", "-o", "plain.pem")


def tearDownModule():
    LAB.close()


class Delegation(unittest.TestCase):
    def connect(self, server, *args):
        result = LAB.tpmtls("--json", "connect", "localhost:%s" % server.port, "--ca", "ca/ca.pem", "--trace", *args, stdin=b"hello\n")
        self.assertEqual((result.code, result.out), (0, b"hello\n"), result.err)
        return result.events("handshake")[0]

    def delegating(self, *args, **kw):
        server = LAB.serve("--delegate", "--trace", *args, **kw)
        server.wait_for('delegated')
        return server

    def test_the_certificate_says_so(self):
        text = LAB.must("openssl", "x509", "-in", "server-p256.pem", "-noout", "-text").out.decode()
        self.assertRegex(text, r"1\.3\.6\.1\.4\.1\.44363\.44: *\n")
        text = LAB.must("openssl", "x509", "-in", "plain.pem", "-noout", "-text").out.decode()
        self.assertNotIn("44363", text)

    def test_a_server_delegates(self):
        for kind, scheme in (("p256", "ecdsa_secp256r1_sha256"), ("rsa2048", "rsa_pss_rsae_sha256")):
            with self.delegating(key="server-" + kind, options=("--json",)) as server:
                for _ in range(3):
                    seen = self.connect(server)
                    self.assertTrue(seen["peer_delegated"])
                    self.assertEqual(seen["scheme"], "ecdsa_secp256r1_sha256")
                refused = self.connect(server, "--refuse-delegated")
                self.assertEqual((refused["peer_delegated"], refused["scheme"]), (False, scheme))
            at_server = harness.Result(0, b"", server.text).events("handshake")
            self.assertEqual([(e["delegated"], e["tpm_commands"]) for e in at_server], [(True, 0)] * 3 + [(False, 1)])

    def test_a_client_delegates(self):
        ours = ("--key", "server-p256.key", "--cert", "server-p256.pem", "--delegate")
        with LAB.serve("--client-ca", "ca/ca.pem", "--require-client-cert", "--accept-delegated", "--trace",
                       options=("--json",)) as server:
            seen = self.connect(server, *ours)
            self.assertEqual((seen["delegated"], seen["tpm_commands"]), (True, 0))
        self.assertTrue(harness.Result(0, b"", server.text).events("handshake")[0]["peer_delegated"])
        with LAB.serve("--client-ca", "ca/ca.pem", "--require-client-cert") as server:
            seen = self.connect(server, *ours)
            self.assertEqual((seen["delegated"], seen["tpm_commands"]), (False, 1))

    def test_peers_that_do_not_know_it(self):
        with self.delegating() as server:
            done = LAB.run("openssl", "s_client", "-connect", "localhost:" + server.port, "-CAfile", "ca/ca.pem", "-quiet",
                           "-verify_return_error", "-no_ign_eof", stdin=b"hello\n")
            self.assertEqual(done.code, 0, done.err)
            server.wait_for(r"TPM: 1 command")

    @unittest.skipUnless(shutil.which("tstclnt"), "NSS's tstclnt (libnss3-tools) is not installed")
    def test_nss_accepts_it(self):
        os.mkdir(LAB.path("nss"))
        LAB.must("certutil", "-N", "-d", "sql:nss", "--empty-password")
        LAB.must("certutil", "-A", "-d", "sql:nss", "-n", "ca", "-t", "CT,CT,", "-i", "ca/ca.pem")
        with self.delegating() as server:
            done = LAB.run("tstclnt", "-d", "sql:nss", "-V", "tls1.3:tls1.3", "-h", "localhost", "-p", server.port, "-4", "-B", "-Q")
            self.assertIn("Received a Delegated Credential", done.out.decode() + done.err)
            server.wait_for(r"TPM: 0 commands")

    def test_renewed_without_a_gap(self):
        """Half of 10 seconds after the first one there is another, and no handshake fails meanwhile."""
        with LAB.serve("--delegate=10s", options=("-v",)) as server:
            first = server.wait_for(r"delegated to a software key in memory until (\S+);").group(1)
            limit = time.monotonic() + 8
            while time.monotonic() < limit:
                self.assertTrue(self.connect(server)["peer_delegated"])
                time.sleep(0.25)
            renewed = server.wait_for(r"delegated to a software key in memory until (\S+)\n(?!.*;)").group(1)
            self.assertGreater(renewed, first)

    def test_what_is_refused(self):
        for words, code, text in (
                (("--cert", "plain.pem", "--delegate"), 2, "the certificate does not permit delegated credentials"),
                (("--cert", "server-p256.pem", "--delegate=169"), 2, "--delegate: '169'"),
                (("--cert", "server-p256.pem", "--delegate=9s"), 2, "--delegate: '9s'"),
                (("--cert", "server-p256.pem", "--delegate=1x"), 2, "--delegate: '1x'")):
            result = LAB.tpmtls("serve", "127.0.0.1:0", "--key", "server-p256.key", *words)
            self.assertEqual(result.code, code, result.err)
            self.assertIn(text, result.err)
        result = LAB.tpmtls("connect", "localhost:1", "--delegate")
        self.assertEqual(result.code, 2)
        self.assertIn("--delegate needs --cert", result.err)


if __name__ == "__main__":
    harness.tap_main()
