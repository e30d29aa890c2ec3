"""tests/integration/test_interop.py: mutual TLS 1.3 between tpmtls with keys in a TPM and tpmtls, openssl and GnuTLS, at
either end, for P-256 and RSA-2048 keys. Data goes both ways in every run, and our end reports one TPM command.

gnutls-serv listens on every address, so it runs in a network namespace of its own, together with our client."""

import os
import shutil
import unittest

import harness

LAB = None
REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.make_identities()


def tearDownModule():
    LAB.close()


class Interop(unittest.TestCase):
    def identity(self, role, kind):
        return ("--key", "%s-%s.key" % (role, kind), "--cert", "%s-%s.pem" % (role, kind))

    def connect(self, port, kind, stdin):
        result = LAB.tpmtls("--json", "connect", "localhost:" + port, "--ca", "ca/ca.pem", *self.identity("client", kind),
                            "--trace", stdin=stdin)
        self.assertEqual(result.code, 0, result.err)
        self.assert_one_command(result, kind)
        return result

    def assert_one_command(self, result, kind):
        events = result.events("handshake")
        self.assertEqual([e["tpm_commands"] for e in events], [1], result.err)
        used = [e["command"] for e in result.events("tpm") if e["phase"] == "handshake"]
        self.assertEqual(used, ["TPM2_Sign" if kind == "p256" else "TPM2_RSA_Decrypt"])

    def serve(self, kind, *args):
        server = LAB.serve("--client-ca", "ca/ca.pem", "--require-client-cert", "--trace", "--accept", "1", *args,
                           key="server-" + kind, options=("--json",))
        self.addCleanup(server.__exit__)
        return server


class Tpmtls(Interop):
    def check(self, server_kind, client_kind):
        server = self.serve(server_kind, "--echo")
        data = os.urandom(200000)
        self.assertEqual(self.connect(server.port, client_kind, data).out, data)
        result = server.finish()
        self.assertEqual(result.code, 0)
        self.assert_one_command(result, server_kind)
        self.assertEqual(result.events("handshake")[0]["peer_certificate"], "CN=device-%s,O=Example" % client_kind)

    def test_p256(self):
        self.check("p256", "p256")

    def test_rsa2048(self):
        self.check("rsa2048", "rsa2048")

    def test_rsa2048_server_p256_client(self):
        self.check("rsa2048", "p256")


class Openssl(Interop):
    def s_server(self, kind, *more):
        server = LAB.background("openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert", "soft.pem", "-key",
                                "soft.key", "-CAfile", "ca/ca.pem", "-Verify", "1", "-verify_return_error", *more)
        self.addCleanup(server.__exit__)
        server.port = server.wait_for(r"ACCEPT 127.0.0.1:(\d+)").group(1)
        return server

    def check_connect(self, kind, *more):
        server = self.s_server(kind, "-www", *more)
        result = self.connect(server.port, kind, REQUEST)
        page = result.out.decode()
        self.assertIn("Protocol  : TLSv1.3", page)
        self.assertRegex(page, "Client certificate|device-" + kind)
        self.assertIn("Verify return code: 0 (ok)", page)
        return result.events("handshake")[0]

    def test_connect_p256(self):
        self.check_connect("p256")

    def test_connect_rsa2048(self):
        self.check_connect("rsa2048")

    def test_connect_with_retry(self):
        """The server wants another group than the one whose share we send."""
        for group in ("P-256", "P-384"):
            self.assertTrue(self.check_connect("p256", "-groups", group)["hello_retry_request"])

    def test_connect_each_suite(self):
        for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
            self.check_connect("p256", "-ciphersuites", suite)

    def test_connect_refused_by_a_server_of_another_ca(self):
        server = self.s_server("p256", "-www", "-CAfile", "other/ca.pem")
        result = LAB.tpmtls("connect", "localhost:" + server.port, "--ca", "ca/ca.pem", *self.identity("client", "p256"),
                            stdin=REQUEST)
        self.assertEqual(result.code, 5, result.err)
        self.assertRegex(result.err, "refused the connection after the handshake: alert (unknown_ca|bad_certificate)")

    def s_client(self, port, *more, stdin=REQUEST):
        return LAB.run("openssl", "s_client", "-connect", "127.0.0.1:" + port, "-servername", "localhost", "-tls1_3",
                       "-CAfile", "ca/ca.pem", "-verify_return_error", "-verify_hostname", "localhost", *more, "-quiet",
                       stdin=stdin)

    def check_serve(self, kind, *more, **expected):
        server = self.serve(kind, "--www")
        result = self.s_client(server.port, "-cert", "soft.pem", "-key", "soft.key", *more)
        self.assertEqual(result.code, 0, result.err)
        page = result.out.decode()
        self.assertIn("peer certificate: CN=localhost\n", page)
        for name, value in expected.items():
            self.assertIn("%s: %s\n" % (name, value), page)
        self.assert_one_command(server.finish(), kind)

    def test_serve_p256(self):
        self.check_serve("p256", scheme="ecdsa_secp256r1_sha256")

    def test_serve_rsa2048(self):
        self.check_serve("rsa2048", scheme="rsa_pss_rsae_sha256")

    def test_serve_each_suite_and_group(self):
        for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
            for group in ("X25519", "P-256", "P-384"):
                self.check_serve("p256", "-ciphersuites", suite, "-groups", group, suite=suite)

    def test_serve_without_client_certificate(self):
        server = self.serve("p256", "--www")
        result = self.s_client(server.port)
        self.assertIn("certificate required", result.err)
        self.assertRegex(server.finish().err, "the client sent no certificate")

    def test_serve_tls12_client(self):
        server = self.serve("p256", "--www")
        result = LAB.run("openssl", "s_client", "-connect", "127.0.0.1:" + server.port, "-tls1_2", stdin=REQUEST)
        self.assertIn("alert protocol version", result.err)
        self.assertIn("only an older version", server.finish().err)


@unittest.skipUnless(shutil.which("gnutls-cli"), "gnutls-cli is not installed")
class GnutlsClient(Interop):
    def check(self, kind, *more):
        server = self.serve(kind, "--www")
        result = LAB.run("gnutls-cli", "--x509cafile", "ca/ca.pem", "--x509certfile", "soft.pem", "--x509keyfile",
                         "soft.key", "--sni-hostname", "localhost", "--verify-hostname", "localhost", "-p", server.port,
                         *more, "127.0.0.1", stdin=REQUEST)
        text = result.out.decode("utf-8", "replace") + result.err
        self.assertIn("peer certificate: CN=localhost", text)
        self.assert_one_command(server.finish(), kind)

    def test_p256(self):
        self.check("p256")

    def test_rsa2048(self):
        self.check("rsa2048")

    def test_groups(self):
        for group in ("GROUP-X25519", "GROUP-SECP256R1", "GROUP-SECP384R1"):
            self.check("p256", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+" + group)


@unittest.skipUnless(shutil.which("gnutls-serv"), "gnutls-serv is not installed")
class GnutlsServer(Interop):
    SCRIPT = r"""
        ip link set lo up || exit 99
        gnutls-serv --port 4433 --x509cafile ca/ca.pem --x509certfile soft.pem --x509keyfile soft.key --require-client-cert \
            --verify-client-cert --priority "$2" --echo >gnutls.log 2>&1 </dev/null &
        for i in $(seq 200); do grep -q 'listening' gnutls.log && break; sleep 0.05; done
        "$PROGRAM" --json connect localhost:4433 --ca ca/ca.pem --key "client-$1.key" --cert "client-$1.pem" --trace
        code=$?
        kill $!
        exit $code
    """

    def check(self, kind, priority="NORMAL"):
        namespace = LAB.namespace_command()
        if namespace is None:
            self.skipTest("no network namespace can be made here, and gnutls-serv listens on every address")
        result = LAB.run(*namespace, "sh", "-c", self.SCRIPT, "sh", kind, priority, stdin=b"23.5 degrees\n",
                         env={"PROGRAM": harness.PROGRAM})
        self.assertEqual(result.code, 0, result.err + LAB.read("gnutls.log").decode("utf-8", "replace"))
        self.assertEqual(result.out, b"23.5 degrees\n")
        self.assert_one_command(result, kind)
        return result.events("handshake")[0]

    def test_p256(self):
        self.check("p256")

    def test_rsa2048(self):
        self.check("rsa2048")

    def test_retry(self):
        event = self.check("p256", "NORMAL:-GROUP-ALL:+GROUP-SECP384R1")
        self.assertEqual((event["hello_retry_request"], event["group"]), (True, "secp384r1"))


if __name__ == "__main__":
    harness.tap_main()
