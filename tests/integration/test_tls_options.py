"""tests/integration/test_tls_options.py: what connect and serve can be told about TLS, against openssl and GnuTLS where
they can do it too: OCSP stapling, raw public keys, several certificates, CRLs and pins, key logs, record sizes,
certificate compression, client authentication after the handshake.

gnutls-serv listens on every address, so it runs in a network namespace of its own, together with our client."""

import base64
import hashlib
import os
import re
import shutil
import socket
import threading
import unittest

import harness

LAB = None
PROGRAM = harness.PROGRAM


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.must(PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")
    LAB.must(PROGRAM, "ca", "init", "--dir", "other", "--subject", "/CN=Other CA")
    LAB.tpm_identity("tpm", "p256", "/CN=localhost", "server", "DNS:localhost")
    LAB.tpm_identity("tpm2", "p256", "/CN=second", "server", "DNS:second.example")
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
    LAB.openssl_request("soft")
    LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", "soft.csr", "--profile", "both", "-o", "soft.pem")
    make_openssl_ca()


def tearDownModule():
    LAB.close()


def make_openssl_ca():
    """A CA of openssl's, whose database we can edit: root.pem; leaf.pem (good), revoked.pem, staple.pem (must-staple)."""
    LAB.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "root.key",
             "-out", "root.pem", "-subj", "/CN=OCSP CA", "-days", "30")
    for name, more in (("leaf", ""), ("revoked", ""), ("staple", "tlsfeature=status_request\n")):
        LAB.must("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key",
                 "-out", name + ".csr", "-subj", "/CN=" + name)
        LAB.write("x.cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\n"
                  "policy=p\nx509_extensions=x\ndefault_days=20\ndefault_crl_days=20\n[p]\ncommonName=supplied\n[x]\n"
                  "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n" + more)
        if name == "leaf":
            LAB.write("index.txt", "")
            LAB.write("serial", "1000\n")
        LAB.must("openssl", "ca", "-batch", "-config", "x.cnf", "-cert", "root.pem", "-keyfile", "root.key", "-in", name + ".csr",
                 "-out", name + ".pem", "-notext")
    LAB.must("openssl", "ca", "-config", "x.cnf", "-cert", "root.pem", "-keyfile", "root.key", "-revoke", "revoked.pem")
    LAB.must("openssl", "ca", "-config", "x.cnf", "-cert", "root.pem", "-keyfile", "root.key", "-gencrl", "-out", "root.crl")
    for name in ("leaf", "revoked", "staple"):
        LAB.must("openssl", "ocsp", "-issuer", "root.pem", "-cert", name + ".pem", "-reqout", "ocsp.req", "-no_nonce")
        LAB.must("openssl", "ocsp", "-index", "index.txt", "-CA", "root.pem", "-rsigner", "root.pem", "-rkey", "root.key",
                 "-reqin", "ocsp.req", "-respout", name + ".ocsp", "-ndays", "7")


def openssl_has(command, option):
    """Does this openssl know the option?"""
    done = LAB.run("openssl", command, "-help")
    return re.search(r"(?m)^ *%s\b" % re.escape(option), done.out.decode() + done.err) is not None


def namespace_command():
    for flags in (["-n"], ["-rn"]):
        if LAB.run("unshare", *flags, "ip", "link", "set", "lo", "up").code == 0:
            return ["unshare", *flags]
    return None


def pin_of(pem):
    der = LAB.must("sh", "-c", "openssl x509 -in %s -pubkey -noout | openssl pkey -pubin -outform DER" % pem).out
    return "sha256:" + hashlib.sha256(der).hexdigest()


class Relay:
    """Between a client and a server on this machine: what each sends, record by record."""

    def __init__(self, port):
        self.target = int(port)
        self.bytes = {"client": b"", "server": b""}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(harness.TIMEOUT)
        self.port = str(self.listener.getsockname()[1])
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.target))
        ways = [threading.Thread(target=self._copy, args=way, daemon=True)
                for way in ((client, server, "client"), (server, client, "server"))]
        for way in ways:
            way.start()
        for way in ways:
            way.join(harness.TIMEOUT)

    def _copy(self, source, sink, name):
        try:
            while True:
                data = source.recv(65536)
                self.bytes[name] += data
                if not data:
                    break
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def records(self, name):
        """(type, length) of each record that end sent."""
        self.thread.join(harness.TIMEOUT)
        data, found = self.bytes[name], []
        while len(data) >= 5:
            length = data[3] << 8 | data[4]
            found.append((data[0], length))
            data = data[5 + length:]
        return found


class Case(unittest.TestCase):
    def serve(self, *args, key="tpm", **kw):
        server = LAB.serve(*args, key=key, **kw)
        self.addCleanup(server.__exit__)
        return server

    def s_server(self, name, *args):
        server = LAB.background("openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert", name + ".pem", "-key",
                                name + ".key", "-naccept", "1", *args)
        self.addCleanup(server.__exit__)
        server.port = server.wait_for(r"ACCEPT \S*:(\d+)").group(1)
        return server

    def connect(self, port, *args, ca="ca/ca.pem", **kw):
        trust = ("--ca", ca) if ca else ()
        return LAB.tpmtls("--json", "connect", "localhost:" + port, *trust, "--trace", *args, **kw)

    def assert_ok(self, result):
        self.assertEqual(result.code, 0, result.err)
        return result.events("handshake")[0]

    def assert_refused(self, result, *words):
        self.assertEqual(result.code, 3, result.err)
        for word in words:
            self.assertIn(word, result.err)


class Ocsp(Case):
    def from_openssl(self, name, *args, staple=None):
        extra = ("-status_file", staple + ".ocsp") if staple else ()
        return self.connect(self.s_server(name, "-www", *extra).port, *args, ca="root.pem", stdin=b"GET / HTTP/1.0\r\n\r\n")

    def test_good(self):
        for mode in ((), ("--ocsp", "request"), ("--ocsp", "require")):
            self.assertTrue(self.assert_ok(self.from_openssl("leaf", *mode, staple="leaf"))["ocsp_good"])

    def test_not_asked_for(self):
        self.assertFalse(self.assert_ok(self.from_openssl("leaf", "--ocsp", "off", staple="leaf"))["ocsp_good"])

    def test_revoked(self):
        self.assert_refused(self.from_openssl("revoked", staple="revoked"), "was revoked on", "by OCSP")

    def test_of_another_certificate(self):
        result = self.from_openssl("leaf", staple="staple")
        if result.code == 0 and not result.events("handshake")[0]["ocsp_good"]:
            self.skipTest("s_server of OpenSSL 3.6 leaves out a stapled response that does not fit")
        self.assert_refused(result, "another certificate")

    def test_none(self):
        self.assertFalse(self.assert_ok(self.from_openssl("leaf"))["ocsp_good"])
        self.assert_refused(self.from_openssl("leaf", "--ocsp", "require"), "no OCSP response")

    def test_must_staple(self):
        self.assertTrue(self.assert_ok(self.from_openssl("staple", staple="staple"))["ocsp_good"])
        self.assert_refused(self.from_openssl("staple"), "must-staple")
        self.assert_ok(self.from_openssl("staple", "--ocsp", "off"))

    def test_we_staple(self):
        server = self.serve("--ocsp-response", "staple.ocsp", "--accept", "2", key="staple")
        self.assertNotIn("must-staple", server.text.decode())
        seen = LAB.run("openssl", "s_client", "-connect", "127.0.0.1:" + server.port, "-CAfile", "root.pem", "-status",
                       "-verify_return_error")
        self.assertIn("OCSP Response Status: successful", seen.out.decode())
        self.assertTrue(self.assert_ok(self.connect(server.port, "--ocsp", "require", ca="root.pem"))["ocsp_good"])

    def test_a_server_without_the_staple_it_needs_is_told(self):
        server = self.serve(key="staple")
        server.wait_for("must-staple")

    def test_bad_mode(self):
        result = LAB.tpmtls("connect", "localhost:1", "--ca", "root.pem", "--ocsp", "maybe")
        self.assertEqual(result.code, 2)
        self.assertIn("off, request or require", result.err)


class Trust(Case):
    def test_crl(self):
        good = self.connect(self.s_server("leaf").port, "--crl", "root.crl", ca="root.pem")
        self.assert_ok(good)
        bad = self.connect(self.s_server("revoked").port, "--crl", "root.crl", ca="root.pem")
        self.assert_refused(bad, "revoked")

    def test_pin(self):
        right, wrong = pin_of("leaf.pem"), pin_of("soft.pem")
        as_base64 = "sha256:" + base64.b64encode(bytes.fromhex(right[7:])).decode()
        for pin in (right, as_base64):
            self.assert_ok(self.connect(self.s_server("leaf").port, "--pin", pin, ca=None))
            self.assert_ok(self.connect(self.s_server("leaf").port, "--pin", pin, ca="root.pem"))
        self.assert_refused(self.connect(self.s_server("leaf").port, "--pin", wrong, ca=None), "--pin")
        self.assert_refused(self.connect(self.s_server("leaf").port, "--pin", wrong, ca="root.pem"), "pinned")
        self.assertEqual(self.connect("1", "--pin", "sha256:12", ca=None).code, 2)

    def test_directory(self):
        os.makedirs(LAB.path("cas"))
        shutil.copy(LAB.path("root.pem"), LAB.path("cas/one.pem"))
        LAB.must("openssl", "x509", "-in", "ca/ca.pem", "-outform", "DER", "-out", "cas/two.der")
        self.assert_ok(self.connect(self.s_server("leaf").port, ca="cas"))
        self.assert_ok(self.connect(self.serve().port, ca="cas"))

    def test_client_pin(self):
        server = self.serve("--pin", pin_of("soft.pem"), "--require-client-cert")
        self.assert_ok(self.connect(server.port, "--key", "soft.key", "--cert", "soft.pem"))
        result = self.connect(server.port, "--key", "leaf.key", "--cert", "leaf.pem")
        self.assertEqual(result.code, 5, result.err)
        self.assertIn("unknown_ca", result.err)


class RawPublicKeys(Case):
    def test_both_ends(self):
        server = LAB.background(PROGRAM, "--json", "serve", "127.0.0.1:0", "--key", "tpm.key", "--raw-public-key",
                                "--peer-raw-public-key", "--pin", pin_of("soft.pem"), "--require-client-cert", "--trace",
                                "--exec", 'echo "$TPMTLS_PEER_KEY_SHA256"')
        self.addCleanup(server.__exit__)
        port = server.wait_for(r'"address":"[^"\s]*:(\d+)').group(1)
        result = self.connect(port, "--peer-raw-public-key", "--pin", pin_of("tpm.pem"), "--key", "soft.key",
                              "--raw-public-key", ca=None)
        event = self.assert_ok(result)
        self.assertEqual(event["peer_certificate"], "raw public key " + pin_of("tpm.pem"))
        self.assertEqual(result.out.decode().strip(), pin_of("soft.pem")[7:])

    def test_wrong_key(self):
        server = LAB.background(PROGRAM, "serve", "127.0.0.1:0", "--key", "tpm.key", "--raw-public-key")
        self.addCleanup(server.__exit__)
        port = server.wait_for(r"listening on \S*:(\d+)").group(1)
        self.assert_refused(self.connect(port, "--peer-raw-public-key", "--pin", pin_of("soft.pem"), ca=None), "pinned", "--pin")
        result = self.connect(port)  # a client that knows certificates only
        self.assertEqual(result.code, 5, result.err)
        self.assertIn("--peer-raw-public-key", result.err)

    def test_options(self):
        for words in (("--raw-public-key",), ("--key", "soft.key", "--raw-public-key", "--cert", "a", "--cert", "b")):
            self.assertEqual(self.connect("1", *words).code, 2)
        result = self.connect("1", "--peer-raw-public-key")
        self.assertEqual(result.code, 2)
        self.assertIn("pins alone", result.err)

    @unittest.skipUnless(shutil.which("openssl"), "openssl is not installed")
    def test_openssl(self):
        if not openssl_has("s_server", "-enable_server_rpk"):
            self.skipTest("this openssl has no raw public keys (3.2 has)")
        server = self.s_server("soft", "-enable_server_rpk", "-enable_client_rpk", "-Verify", "1", "-www")
        result = self.connect(server.port, "--peer-raw-public-key", "--pin", pin_of("soft.pem"), "--key", "tpm.key",
                              "--raw-public-key", ca=None, stdin=b"GET / HTTP/1.0\r\n\r\n")
        self.assertIn("raw public key", self.assert_ok(result)["peer_certificate"])
        ours = LAB.background(PROGRAM, "--json", "serve", "127.0.0.1:0", "--key", "tpm.key", "--raw-public-key",
                              "--peer-raw-public-key", "--pin", pin_of("soft.pem"), "--require-client-cert", "--trace", "--www")
        self.addCleanup(ours.__exit__)
        port = ours.wait_for(r'"address":"[^"\s]*:(\d+)').group(1)
        client = LAB.run("openssl", "s_client", "-connect", "127.0.0.1:" + port, "-enable_server_rpk", "-enable_client_rpk",
                         "-cert", "soft.pem", "-key", "soft.key", "-ign_eof", stdin=b"GET / HTTP/1.0\r\n\r\n")
        self.assertIn("raw public key", client.out.decode())

    GNUTLS_SERVER = r"""
        ip link set lo up || exit 99
        gnutls-serv --port 4433 --rawpkkeyfile soft.key --rawpkfile soft.pub --x509certfile soft.pem --x509keyfile soft.key \
            --disable-client-cert --priority "NORMAL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK" --echo >rpk.log 2>&1 </dev/null &
        for i in $(seq 200); do grep -q 'listening' rpk.log && break; sleep 0.05; done
        "$PROGRAM" --json connect localhost:4433 --peer-raw-public-key --pin "$1" --trace
        code=$?
        kill $!
        exit $code
    """

    @unittest.skipUnless(shutil.which("gnutls-serv"), "gnutls-serv is not installed")
    def test_gnutls_server(self):
        namespace = namespace_command()
        if namespace is None:
            self.skipTest("no network namespace can be made here, and gnutls-serv listens on every address")
        LAB.must("openssl", "x509", "-in", "soft.pem", "-pubkey", "-noout", "-out", "soft.pub.pem")
        shutil.copy(LAB.path("soft.pub.pem"), LAB.path("soft.pub"))
        result = LAB.run(*namespace, "sh", "-c", self.GNUTLS_SERVER, "sh", pin_of("soft.pem"), stdin=b"hello\n",
                         env={"PROGRAM": PROGRAM})
        self.assertEqual(result.code, 0, result.err + LAB.read("rpk.log").decode("utf-8", "replace"))
        self.assertEqual(result.out, b"hello\n")
        self.assertIn("raw public key", self.assert_ok(result)["peer_certificate"])

    @unittest.skipUnless(shutil.which("gnutls-cli"), "gnutls-cli is not installed")
    def test_gnutls_client(self):
        server = self.serve("--raw-public-key", "--www", key="soft")
        result = LAB.run("gnutls-cli", "--insecure", "--priority", "NORMAL:-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-X509",
                         "--sni-hostname", "localhost", "-p", server.port, "127.0.0.1", stdin=b"GET / HTTP/1.0\r\n\r\n")
        text = result.out.decode("utf-8", "replace") + result.err
        self.assertIn("Raw Public Key", text)
        self.assertIn("HTTP/1.0 200", text)


class SeveralIdentities(Case):
    def test_by_name_and_by_scheme(self):
        LAB.must("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rsa.key")
        LAB.openssl_request("rsa", key="rsa.key")
        LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", "rsa.csr", "--profile", "server", "-o", "rsa.pem")
        server = self.serve("--key", "tpm2.key", "--cert", "tpm2.pem", "--key", "rsa.key", "--cert", "rsa.pem")

        def subject(*args):
            done = LAB.run("openssl", "s_client", "-connect", "127.0.0.1:" + server.port, "-CAfile", "ca/ca.pem", *args)
            text = done.out.decode()
            kind = re.search(r"Peer signature type: (\S+)", text).group(1).lower()  # openssl 3.5 names the scheme
            name = re.search(r"subject=CN ?= ?(.*)", text).group(1)
            return name, "RSA" if "rsa" in kind.replace("ecdsa", "") else "ECDSA"

        self.assertEqual(subject("-servername", "localhost"), ("localhost", "ECDSA"))
        self.assertEqual(subject("-servername", "second.example"), ("second", "ECDSA"))
        self.assertEqual(subject("-servername", "localhost", "-sigalgs", "rsa_pss_rsae_sha256"), ("localhost", "RSA"))

    def test_pairs(self):
        result = LAB.tpmtls("serve", "127.0.0.1:0", "--key", "soft.key", "--cert", "soft.pem", "--key", "tpm.key")
        self.assertEqual(result.code, 2)
        self.assertIn("go together", result.err)
        result = LAB.tpmtls("serve", "127.0.0.1:0", "--ocsp-response", "leaf.ocsp", "--key", "soft.key", "--cert", "soft.pem")
        self.assertEqual(result.code, 2)
        self.assertIn("--ocsp-response", result.err)


class Keylog(Case):
    def lines(self, name):
        return set(line for line in LAB.read(name).decode().splitlines() if not line.startswith("#"))

    def test_the_same_as_openssl(self):
        server = self.s_server("soft", "-www", "-keylogfile", LAB.path("theirs.log"))
        result = self.connect(server.port, "--insecure-keylog", "ours.log", stdin=b"GET / HTTP/1.0\r\n\r\n")
        self.assert_ok(result)
        self.assertIn("insecure", result.err)
        self.assertEqual(self.lines("ours.log"), self.lines("theirs.log"))
        self.assertEqual(os.stat(LAB.path("ours.log")).st_mode & 0o777, 0o600)

    def test_both_ends_say_the_same(self):
        server = self.serve("--insecure-keylog", "both.log")
        self.assert_ok(self.connect(server.port, "--insecure-keylog", "both.log"))
        self.assertEqual(len(self.lines("both.log")), 5)
        self.assertEqual(len(LAB.read("both.log").decode().splitlines()), 10)

    def test_cannot_be_written(self):
        result = self.connect("1", "--insecure-keylog", "/nowhere/x")
        self.assertEqual(result.code, 1, result.err)
        self.assertIn("/nowhere/x", result.err)


class Records(Case):
    def test_record_size_limit(self):
        relay = Relay(self.serve("--echo").port)
        data = os.urandom(20000)
        result = self.connect(relay.port, "--record-size-limit", "512", stdin=data)
        self.assert_ok(result)
        self.assertEqual(result.out, data)
        self.assertLessEqual(max(size for kind, size in relay.records("server") if kind == 23), 512 + 16)
        self.assertGreater(max(size for kind, size in relay.records("client") if kind == 23), 512 + 16)

    def test_padding(self):
        relay = Relay(self.serve("--echo").port)
        self.assert_ok(self.connect(relay.port, "--padding", "1000", stdin=b"a" * 1500))
        sizes = {size for kind, size in relay.records("client") if kind == 23}
        self.assertEqual({size % 1000 for size in sizes}, {17}, sizes)

    def test_max_handshake_message(self):
        LAB.write("long.pem", LAB.read("soft.pem") * 16)
        one = LAB.background(PROGRAM, "serve", "127.0.0.1:0", "--key", "soft.key", "--cert", "long.pem")
        self.addCleanup(one.__exit__)
        port = one.wait_for(r"listening on \S*:(\d+)").group(1)
        self.assertEqual(self.connect(port, "--max-handshake-message", "2000").code, 1)
        self.assert_ok(self.connect(port))

    def test_compression(self):
        for name in ("zlib", "brotli", "zstd"):
            server = self.serve("--compress-certificates", name)
            plain, packed = Relay(server.port), Relay(server.port)
            self.assert_ok(self.connect(plain.port))
            result = self.connect(packed.port, "--compress-certificates", name)
            self.assert_ok(result)
            self.assertIn("compressed_certificate", [e["type"] for e in result.events("message")])

    def offers_compression(self):
        """Does gnutls-cli put compress_certificate (27) into its ClientHello when it is told to?"""
        hello = []
        with harness.OneShotServer(lambda peer: hello.append(peer.recv(4096))) as probe:
            LAB.run("gnutls-cli", "--compress-cert", "zlib", "-p", probe.port, "127.0.0.1")
        return bool(hello) and b"\0\x1b\0" in hello[0]

    @unittest.skipUnless(shutil.which("gnutls-cli"), "gnutls-cli is not installed")
    def test_compression_with_gnutls(self):
        if not self.offers_compression():
            self.skipTest("GnuTLS here offers no certificate compression")
        server = self.serve("--compress-certificates", "zlib", "--www", "--trace", options=("--json",))
        result = LAB.run("gnutls-cli", "--x509cafile", "ca/ca.pem", "--compress-cert", "zlib", "--sni-hostname", "localhost",
                         "--verify-hostname", "localhost", "-p", server.port, "127.0.0.1", stdin=b"GET / HTTP/1.0\r\n\r\n")
        self.assertIn("HTTP/1.0 200", result.out.decode("utf-8", "replace") + result.err)
        server.wait_for('"type":"compressed_certificate"')

    def test_schemes_and_key_shares(self):
        server = self.serve()
        event = self.assert_ok(self.connect(server.port, "--schemes", "ecdsa_secp256r1_sha256", "--groups",
                                            "x25519,secp384r1", "--key-shares", "secp384r1"))
        self.assertEqual((event["group"], event["hello_retry_request"]), ("secp384r1", False))
        result = self.connect(server.port, "--schemes", "ed25519")
        self.assertEqual(result.code, 5, result.err)
        self.assertIn("handshake_failure", result.err)

    def test_bad_values(self):
        for words in (("--record-size-limit", "63"), ("--record-size-limit", "16386"), ("--padding", "20000"),
                      ("--max-handshake-message", "10"), ("--compress-certificates", "gzip"), ("--schemes", "rsa_pkcs1_sha256"),
                      ("--key-shares", "x25519,"), ("--groups", ""), ("--suites", ","), ("--groups", "secp256r1", "--key-shares", "x25519")):
            result = self.connect("1", *words)
            self.assertEqual(result.code, 2, result.err)


class PostHandshakeAuth(Case):
    def talk(self, *args):
        """openssl s_server, told to ask for a certificate once the connection is there; what it printed."""
        server = self.s_server("soft", "-CAfile", "ca/ca.pem", "-verify", "2")
        client = LAB.background(PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem", "--key", "tpm.key", "--cert",
                                "tpm.pem", "--trace", *args)
        self.addCleanup(client.__exit__)
        client.wait_for("handshake with")
        server.process.stdin.write(b"c\n")
        server.process.stdin.flush()
        return server, client

    def test_openssl_asks_later(self):
        server, client = self.talk("--post-handshake-auth")
        client.wait_for(r"sent +certificate_verify")
        server.wait_for("CN ?= ?localhost")
        client.process.stdin.write(b"still here\n")
        client.process.stdin.flush()
        server.wait_for("still here")

    def test_not_offered(self):
        server, client = self.talk()
        server.wait_for("(?i)extension not received|post.?handshake")
        self.assertNotIn("certificate_verify", client.text.decode().split("handshake with")[1])


if __name__ == "__main__":
    harness.tap_main()
