"""tests/integration/test_serve.py: what `serve` hands on and for how long: names of peers to commands and logs, what its
children inherit, places, key logs. Software keys of openssl's: nothing here needs a TPM."""

import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time
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


class OwnedDirectories(Case):
    """A CA's directory, and that of the sessions: who may write there decides who is believed."""

    def test_ca(self):
        LAB.must(PROGRAM, "ca", "init", "--dir", "own", "--subject", "/CN=Own")
        LAB.must("openssl", "req", "-new", "-key", "server.key", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                 "-out", "own.csr")
        sign = ("ca", "sign", "--dir", "own", "own.csr", "--profile", "server", "-o", "own.pem")
        for path, mode, said in (("own", 0o770, "others than its owner may write own"), ("own/ca.key", 0o644, "everybody may read own/ca.key"),
                                 ("own/ca.db", 0o666, "may write own/ca.db"), ("own/ca.pem", 0o664, "may write own/ca.pem")):
            before = os.stat(LAB.path(path)).st_mode
            os.chmod(LAB.path(path), mode)
            for command in (sign, ("ca", "list", "--dir", "own")):
                result = LAB.tpmtls(*command)
                self.assertEqual(result.code, 1, result.err)
                self.assertIn(said, result.err)
            os.chmod(LAB.path(path), before)
        self.assertEqual(LAB.tpmtls(*sign).code, 0)

    def test_sessions(self):
        """Of the key that seals them, too."""
        server = self.serve(options=("-v",))
        env = {"XDG_STATE_HOME": LAB.path("state")}
        connect = ("connect", "127.0.0.1:" + server.port, "--ca", "ca.pem", "--resume", "sealed")
        self.assertEqual(LAB.tpmtls(*connect, env=env, stdin=b"x").code, 0)
        key = LAB.path("state/tpmtls/sessions/seal.key")
        for path, mode in ((key, 0o660), (os.path.dirname(key), 0o770)):
            before = os.stat(path).st_mode
            os.chmod(path, mode)
            result = LAB.tpmtls(*connect, env=env, stdin=b"x")
            self.assertIn("others than its owner may write " + path, result.err)
            os.chmod(path, before)
        self.assertEqual(LAB.tpmtls(*connect, env=env, stdin=b"x").code, 0)
        server.wait_for("resumed")


def client(server, timeout=30):
    """A TLS client that says nothing."""
    context = ssl.create_default_context(cafile=LAB.path("ca.pem"))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", int(server.port)), timeout), server_hostname="localhost")


def reset(peer):
    """No FIN: the kernel sends a RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


class Absence(Case):
    ASKED = r"timer:\(keepalive,(1min|5\d)"

    def timers(self, which, port):
        return LAB.must("ss", "-tno", "state", "established", "( %s = :%s )" % (which, port)).out.decode()

    def test_a_client_is_asked_whether_it_is_still_there(self):
        """The kernel's own timer of the accepted socket; the client's has none."""
        server = self.serve()
        with socket.create_connection(("127.0.0.1", int(server.port))):
            limit = time.monotonic() + 20  # the kernel connects before the server accepts
            while not re.search(self.ASKED, self.timers("sport", server.port)) and time.monotonic() < limit:
                time.sleep(0.05)
            self.assertRegex(self.timers("sport", server.port), self.ASKED)
            self.assertNotRegex(self.timers("dport", server.port), self.ASKED)

    def test_a_server_is_asked_too(self):
        said, go_on = threading.Event(), threading.Event()
        with harness.OneShotServer(lambda peer: peer.recv(1) and (said.set() or go_on.wait(30))) as server:
            one = LAB.background(PROGRAM, "connect", "127.0.0.1:" + server.port, "--ca", "ca.pem")
            self.assertTrue(said.wait(30))
            seen = self.timers("dport", server.port)
            go_on.set()
            one.stop()
        self.assertRegex(seen, self.ASKED)


class Places(Case):
    """A place is not held for ever by who says nothing, nor by who is gone. There is one place; the last one to come is served."""

    ONE = ("--max-connections", "1")

    def assert_a_place_is_free(self, server, stdin=b"hello\n", out=b"hello\n"):
        self.assertEqual(self.connect(server, stdin=stdin).out, out)

    def test_no_handshake(self):
        """Nothing, or now and then a byte."""
        server = self.serve(*self.ONE, "--handshake-timeout", "1")
        with socket.create_connection(("127.0.0.1", int(server.port)), 20) as peer:
            server.wait_for("did not complete the handshake within 1 second")
            self.assert_a_place_is_free(server)
            peer.close()
        server = self.serve(*self.ONE, "--handshake-timeout", "2")
        with socket.create_connection(("127.0.0.1", int(server.port)), 20) as peer:
            peer.settimeout(0.1)
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 490:
                try:
                    peer.sendall(bytes([byte]))
                    if peer.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            else:
                self.fail("it read the whole")
            self.assert_a_place_is_free(server)

    def test_no_request(self):
        page = (b"GET / HTTP/1.0\r\n\r\n", None)
        for mode, words in (("--echo", ()), ("--www", ()), ("--www", (b"G", b"E", b"T"))):
            server = self.serve(mode, *self.ONE, "--request-timeout", "2", "--idle-timeout", "0")
            with client(server) as held:
                for word in words:
                    held.sendall(word)
                server.wait_for("sent no request within 2 seconds")
                self.assertEqual(held.recv(1), b"")  # in order, with close_notify
                if mode == "--www":
                    self.assertIn(b"200 ok", self.connect(server, stdin=page[0]).out)
                else:
                    self.assert_a_place_is_free(server)

    def test_idle(self):
        server = self.serve(*self.ONE, "--idle-timeout", "1")
        with client(server) as held:
            held.sendall(b"one")
            self.assertEqual(held.recv(3), b"one")
            server.wait_for("was silent for 1 second\n")
            self.assert_a_place_is_free(server)

    def test_who_has_said_something_may_be_silent(self):
        """Control: the time for the request is over, that of silence is not."""
        server = self.serve("--request-timeout", "3")
        with client(server) as held:
            held.sendall(b"one")
            self.assertEqual(held.recv(3), b"one")
            other = client(server)
            self.addCleanup(other.close)
            self.assertEqual(other.recv(1), b"")
            held.sendall(b"two")
            self.assertEqual(held.recv(3), b"two")

    def test_who_waits_for_the_answer_is_not_silent(self):
        """Control: the client has ended its side, and the command takes longer than the client may be silent."""
        server = self.serve("--idle-timeout", "1", "--exec", "cat >/dev/null; sleep 4; echo done")
        self.assertEqual(self.connect(server, stdin=b"work\n").out, b"done\n")

    def test_who_does_not_read(self):
        server = self.serve(*self.ONE, "--idle-timeout", "2", "--exec", "yes")
        with client(server) as held:
            held.recv(1)
            server.wait_for("was silent for 2 seconds")
            held.close()

    def test_a_reset_while_the_command_does_not_read(self):
        server = self.serve(*self.ONE, "--idle-timeout", "0", "--exec", "read -r x; sleep 300", options=("-v",))
        for _ in range(2):  # the second one has the place of the first
            held = client(server)
            held.settimeout(1)
            try:
                for _ in range(64):
                    held.sendall(b"x" * 65536 + b"\n")
            except TimeoutError:
                pass
            reset(held)
            before = len(server.text)
            server.wait_for("reset the connection: data may be missing")
            with server.lock:
                server.text = server.text[before:].replace(b"reset the connection", b"")

    def test_what_was_sent_before_an_end_in_order_is_read(self):
        """Control: the command is slow, and gets all of it."""
        server = self.serve("--exec", "sleep 3; wc -c")
        self.assertEqual(self.connect(server, stdin=b"x" * 3000000).out.strip(), b"3000000")

    def test_a_client_that_ended_and_is_gone(self):
        """It sent all and closed its socket; an answer then brings a RST, and the command gets all the same what was sent."""
        server = self.serve("--idle-timeout", "0", "--exec", "echo early; sleep 3; wc -c >count; echo late")
        peer = client(server)
        peer.sendall(b"x" * 300000)
        try:
            peer.unwrap()
        except (ssl.SSLError, OSError):
            pass  # data came instead of its close_notify
        peer.close()
        done = LAB.background("sh", "-c", "until [ -s count ]; do sleep 0.1; done; echo counted $(cat count)")
        self.addCleanup(done.__exit__)
        done.wait_for("counted 300000")

    def test_a_lost_clients_command_may_go_on(self):
        """It is told by SIGHUP, which it may ignore."""
        for trap, left in (("trap '' HUP; ", True), ("trap 'echo told >told; exit' HUP; ", False)):
            server = self.serve("--idle-timeout", "1", "--exec", trap + "echo $$ >pid; while sleep 0.1; do :; done")
            with client(server) as held:
                held.sendall(b"x" * 10)
                server.wait_for("was silent for 1 second")
            pid = int(LAB.read("pid"))
            if left:
                os.kill(pid, 0)
            else:
                done = LAB.background("sh", "-c", "until [ -s told ]; do sleep 0.1; done; cat told")
                self.addCleanup(done.__exit__)
                done.wait_for("told")


class Truncation(Case):
    """A server that closes after its answer without close_notify, as nginx does; and one that ends in order."""

    def answer(self, how, *args):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(LAB.path("server.pem"), LAB.path("server.key"))

        def talk(raw):
            peer = context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=True)
            peer.recv(100)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
            if how == "in order":
                peer = peer.unwrap()
            elif how == "cut":
                while peer.recv(100):
                    pass  # until the client ends its side: closing what is unread resets
            elif how == "reset":
                peer.recv(1)  # of what is still to come
                reset(peer)
                return
            peer.close()
        with harness.OneShotServer(talk) as server:
            return self.connect(server, *args, stdin=b"GET / HTTP/1.1\r\n\r\n" + b"x" * (200000 if how == "reset" else 0))

    def test_ends(self):
        option = "--insecure-accept-truncation"
        for how, args, code in (("in order", (), 0), ("in order", (option,), 0), ("cut", (), 1), ("cut", (option,), 0),
                                ("reset", (option,), 1)):
            result = self.answer(how, *args)
            self.assertEqual(result.code, code, (how, args, result.err))
            if how != "reset":
                self.assertTrue(result.out.endswith(b"\r\nyes"), result.out)
            self.assertEqual("hung up without close_notify" in result.err, how == "cut", result.err)
            self.assertEqual("is not authenticated" in result.err, how == "cut" and code == 0, result.err)
            self.assertEqual(option in result.err, how == "cut" and code == 1, result.err)

    def test_a_cut_handshake_is_none(self):
        with harness.OneShotServer(lambda peer: peer.recv(1)) as server:
            self.assertEqual(self.connect(server, "--insecure-accept-truncation").code, 1)


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
