"""tests/integration/test_serve.py: what `serve` hands on and for how long: names of peers to commands and logs, what its
children inherit, key logs. Software keys of openssl's: nothing here needs a TPM."""

import os
import socket
import subprocess
import unittest

import harness

LAB = None
PROGRAM = harness.PROGRAM
SERVER_EXT = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n"
CLIENT_EXT = "extendedKeyUsage=clientAuth\nkeyUsage=critical,digitalSignature\n"


def new_key(name):
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".key")


def new_leaf(name, subject, ext, days=30):
    new_key(name)
    LAB.must("openssl", "req", "-new", "-key", name + ".key", "-utf8", "-subj", subject, "-out", name + ".csr")
    LAB.write(name + ".ext", ext + "authorityKeyIdentifier=keyid\n")
    LAB.must("openssl", "x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
             "-days", str(days), "-extfile", name + ".ext", "-out", name + ".pem")


def setUpModule():
    global LAB
    LAB = harness.Lab()
    new_key("ca")
    LAB.must("openssl", "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Test CA", "-days", "300", "-addext",
             "keyUsage=critical,keyCertSign,cRLSign", "-out", "ca.pem")
    new_leaf("server", "/CN=localhost", SERVER_EXT)


def tearDownModule():
    LAB.close()


class Case(unittest.TestCase):
    def serve(self, *args, **kw):
        server = LAB.serve(*args, key="server", **kw)
        self.addCleanup(server.__exit__)
        return server

    def connect(self, server, *args, stdin=b"hello\n", options=()):
        return LAB.tpmtls(*options, "connect", "127.0.0.1:" + server.port, "--ca", "ca.pem", *args, stdin=stdin)

    def connect_as(self, server, name, **kw):
        return self.connect(server, "--key", name + ".key", "--cert", name + ".pem", **kw)


class Names(Case):
    """A name is whole, or it is refused: a cut makes two peers one, or (within a character) none."""

    ASKING = ("--client-ca", "ca.pem", "--require-client-cert")

    @classmethod
    def setUpClass(cls):
        tail = "/OU=" + "/OU=".join("x" * 60 for _ in range(9))
        new_leaf("alice", "/CN=alice" + tail, CLIENT_EXT)
        new_leaf("bob", "/CN=bob" + tail, CLIENT_EXT)
        new_leaf("odd", "/CN=eve" + ("/OU=" + "\u00e4" * 30) * 9 + "/OU=x", CLIENT_EXT)
        new_leaf("huge", "/CN=huge" + "/OU=" + "/OU=".join("%060d" % i for i in range(200)), CLIENT_EXT)

    def test_to_a_command(self):
        server = self.serve(*self.ASKING, "--exec", 'printf %s "$TPMTLS_PEER_SUBJECT"')
        seen = {name: self.connect_as(server, name).out.decode() for name in ("alice", "bob", "huge")}
        self.assertNotEqual(seen["alice"], seen["bob"])
        self.assertTrue(seen["alice"].endswith(",CN=alice"), seen["alice"])
        self.assertTrue(seen["bob"].endswith(",CN=bob"), seen["bob"])
        self.assertTrue(seen["huge"].endswith(",CN=huge") and len(seen["huge"]) > 12000, seen["huge"][-100:])

    def test_on_a_page(self):
        server = self.serve(*self.ASKING, "--www")
        self.assertIn(",CN=huge\n", self.connect_as(server, "huge", stdin=b"GET / HTTP/1.0\r\n\r\n").out.decode())

    def test_in_the_log(self):
        server = self.serve(*self.ASKING, options=("-v",))
        for name in ("alice", "huge"):
            self.connect_as(server, name)
            server.wait_for("connected as [^\n]*,CN=%s\n" % name)

    def test_in_json(self):
        server = self.serve(*self.ASKING, "--trace", options=("--json",))
        for name in ("odd", "huge"):
            self.connect_as(server, name)
        server.wait_for("CN=huge")
        names = [event["peer_certificate"] for event in server.stop().events("handshake")]
        self.assertEqual([name.split("CN=")[1] for name in names], ["eve", "huge"])
        self.assertEqual(names[0].count("\u00e4"), 270)

    def test_a_protocol_that_is_no_text(self):
        """ALPN is bytes; an event with them is an event."""
        server = self.serve("--alpn", "\udcff\udcfe", "--trace", options=("--json",))
        self.connect(server, "--alpn", "\udcff\udcfe")
        server.wait_for('"event":"closed"')
        self.assertEqual(server.stop().events("handshake")[0]["alpn"], "\\xff\\xfe")


class Descriptors(Case):
    """A password that came by a descriptor is read once, by us alone."""

    SHOW = 'ls /proc/self/fd | wc -l; cat <&%d 2>&1 || echo closed'

    def children_see(self, fd, *args, options=()):
        path = LAB.path("password")
        LAB.write("password", "S3cret\n")
        with open(path, "rb") as source:
            process = subprocess.Popen(["bash", "-c", 'exec "$@" %d<&%d' % (fd, source.fileno()), "bash", PROGRAM, *options, "serve",
                                        "127.0.0.1:0", "--cert", "server.pem", *args, "--exec", self.SHOW % fd],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=LAB.dir,
                                       env=LAB.env, pass_fds=[source.fileno()])
        try:
            line = b""
            while b"listening" not in line:
                line = process.stdout.readline()
                self.assertTrue(line, "it did not listen")
            return LAB.tpmtls("connect", line.split()[-1].decode(), "--ca", "ca.pem", stdin=b"").out.decode()
        finally:
            process.terminate()
            process.communicate(timeout=20)

    def test_key_password(self):
        LAB.must("openssl", "pkcs8", "-topk8", "-in", "server.key", "-passout", "pass:S3cret", "-out", "secret.key")
        seen = self.children_see(9, "--key", "secret.key", options=("--key-password-file", "fd:9"))
        self.assertNotIn("S3cret", seen)
        self.assertEqual(seen.split()[0], "4", seen)  # 0, 1, 2, and that of ls itself

    def test_auth(self):
        """It is not even read: no key here needs it."""
        seen = self.children_see(8, "--key", "server.key", options=("--auth-fd", "8"))
        self.assertNotIn("S3cret", seen)
        self.assertEqual(seen.split()[0], "4", seen)


class TicketDirectory(Case):
    """A key that is removed leaves use; a directory or file that others may write is not believed."""

    def test_the_only_key_is_removed(self):
        os.mkdir(LAB.path("tk"))
        LAB.must(PROGRAM, "ticket-key", "-o", "tk/1.key")
        server = self.serve("--ticket-key", "tk")
        self.connect(server)
        LAB.run("bash", "-c", "(sleep 0.5; echo Q) | openssl s_client -connect 127.0.0.1:%s -CAfile ca.pem -sess_out sess" % server.port)
        again = "(sleep 0.3; echo Q) | openssl s_client -connect 127.0.0.1:%s -CAfile ca.pem -sess_in sess" % server.port
        self.assertIn(b"\nReused", LAB.run("bash", "-c", again).out)
        os.unlink(LAB.path("tk/1.key"))
        server.wait_for("no ticket key is in use any more: there is no")
        self.assertIn(b"\nNew", LAB.run("bash", "-c", again).out)

    def test_who_may_write(self):
        os.mkdir(LAB.path("shared"))
        LAB.must(PROGRAM, "ticket-key", "-o", "shared/1.key")
        LAB.write("shared/ca.pem", LAB.read("ca.pem"))
        os.chmod(LAB.path("shared"), 0o777)
        serve = ("serve", "127.0.0.1:0", "--key", "server.key", "--cert", "server.pem")
        for option in ("--ticket-key", "--client-ca"):
            result = LAB.tpmtls(*serve, option, "shared")
            self.assertEqual(result.code, 1, result.err)
            self.assertIn("others than its owner may write shared", result.err)
        os.chmod(LAB.path("shared"), 0o755)
        os.chmod(LAB.path("shared/ca.pem"), 0o666)
        self.assertIn("may write shared/ca.pem", LAB.tpmtls(*serve, "--client-ca", "shared").err)
        if os.geteuid() == 0:
            os.chown(LAB.path("shared/1.key"), 65534, 65534)
            self.assertIn("neither root's nor ours", LAB.tpmtls(*serve, "--ticket-key", "shared").err)


class Absence(Case):
    def test_a_peer_is_asked_whether_it_is_still_there(self):
        """The kernel's own timer of the accepted socket."""
        server = self.serve()
        with socket.create_connection(("127.0.0.1", int(server.port))):
            seen = LAB.must("ss", "-tno", "state", "established", "( sport = :%s )" % server.port).out.decode()
        self.assertRegex(seen, r"timer:\(keepalive,(1min|5\d)")


class Keylog(Case):
    def test_the_environment_alone_writes_nothing(self):
        LAB.env["SSLKEYLOGFILE"] = LAB.path("env.log")
        try:
            server = self.serve()
            result = self.connect(server)
        finally:
            del LAB.env["SSLKEYLOGFILE"]
        self.assertEqual(result.out, b"hello\n")
        for text in (result.err, server.text.decode()):
            self.assertIn("SSLKEYLOGFILE is ignored", text)
        self.assertFalse(os.path.exists(LAB.path("env.log")))

    def test_a_file_that_others_read(self):
        LAB.write("open.log", "")
        for mode, code in ((0o644, 1), (0o660, 1), (0o600, 0)):
            os.chmod(LAB.path("open.log"), mode)
            server = self.serve()
            result = self.connect(server, "--insecure-keylog", "open.log")
            self.assertEqual(result.code, code, result.err)
            self.assertEqual("chmod 600 open.log" in result.err, code == 1, result.err)
            self.assertEqual(len(LAB.read("open.log")) > 0, code == 0)


if __name__ == "__main__":
    harness.tap_main()
