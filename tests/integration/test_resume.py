"""tests/integration/test_resume.py: resumption and 0-RTT from the command line, both roles: tpmtls with itself, with
OpenSSL and with GnuTLS. What the TPM is asked for, what is kept on disk, and every reason for a full handshake."""

import os
import shutil
import socket
import stat
import time
import unittest

import harness

LAB = None
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
HELD_COMMANDS = ["TPM2_HMAC", "TPM2_FlushContext", "TPM2_ContextLoad", "TPM2_HMAC"]


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.env["XDG_STATE_HOME"] = LAB.path("state")
    LAB.make_identities()
    LAB.write("early.txt", "early words\n")


def tearDownModule():
    LAB.close()


class Case(unittest.TestCase):
    def setUp(self):
        shutil.rmtree(LAB.path("state"), ignore_errors=True)

    def serve(self, *args, **kw):
        server = LAB.serve("--client-ca", "ca/ca.pem", "--trace", *args, options=("--json",), **kw)
        self.addCleanup(server.__exit__)
        return server

    def connect(self, port, *args, key="client-p256", stdin=b"hello\n", options=("--json",), code=0):
        result = LAB.tpmtls(*options, "connect", "localhost:" + port, "--ca", "ca/ca.pem", "--key", key + ".key", "--cert",
                            key + ".pem", "--trace", *args, stdin=stdin)
        self.assertEqual(result.code, code, result.err)
        self.assertNotIn("Sanitizer", result.err)
        return result

    def resumed(self, result):
        events = result.events("handshake")
        self.assertEqual(len(events), 1, result.err)
        return events[0]["resumed"]

    def commands(self, result):
        return [e["command"] for e in result.events("tpm") if e["phase"] == "handshake"]

    def files(self):
        folder = LAB.path("state/tpmtls/sessions")
        return sorted(name for name in (os.listdir(folder) if os.path.isdir(folder) else []) if name.endswith(".json"))


class Modes(Case):
    def check(self, mode, commands):
        server = self.serve("--require-client-cert")
        first = self.connect(server.port, "--resume", mode)
        self.assertFalse(self.resumed(first))
        self.assertEqual(first.out, b"hello\n")
        self.assertIn("TPM2_Sign", self.commands(first))
        for _ in range(3):
            result = self.connect(server.port, "--resume", mode)
            self.assertTrue(self.resumed(result), result.err)
            self.assertEqual(result.out, b"hello\n")
            self.assertEqual(self.commands(result), commands)
        ended = server.stop()
        self.assertEqual([e["resumed"] for e in ended.events("handshake")], [False, True, True, True])
        self.assertEqual([e["peer_certificate"] for e in ended.events("handshake")], ["CN=device-p256,O=Example"] * 4)
        self.assertEqual([e["tpm_commands"] for e in ended.events("handshake")][1:], [0, 0, 0])

    def test_sealed(self):
        self.check("sealed", [])
        for name in self.files() + ["seal.key"]:
            self.assertEqual(stat.S_IMODE(os.stat(LAB.path("state/tpmtls/sessions/" + name)).st_mode), 0o600)

    def test_sealed_one_unseal_a_start(self):
        server = self.serve()
        self.connect(server.port, "--resume", "sealed")
        result = self.connect(server.port, "--resume", "sealed")
        self.assertEqual([e["command"] for e in result.events("tpm")].count("TPM2_Unseal"), 1)

    def test_held(self):
        self.check("held", HELD_COMMANDS)

    def test_held_after_a_retry(self):
        """Two binders: the one of the second ClientHello is over another transcript."""
        server = self.serve("--force-retry")
        self.connect(server.port, "--resume", "held")
        result = self.connect(server.port, "--resume", "held")
        self.assertTrue(self.resumed(result), result.err)
        self.assertEqual(self.commands(result).count("TPM2_HMAC"), 3)

    def test_held_takes_sha256_suites_only(self):
        server = self.serve("--suites", "TLS_AES_256_GCM_SHA384")
        self.connect(server.port, "--resume", "held", code=5)
        result = self.connect(server.port, "--resume", "held", "--suites", "TLS_AES_256_GCM_SHA384", options=("--json", "-v"))
        self.assertIn("only PSKs of SHA-256 suites can be held", result.err)
        self.assertEqual(self.files(), [])

    def test_without_a_key_of_our_own(self):
        server = self.serve()
        for mode in ("sealed", "held"):
            for wanted in (False, True):
                result = LAB.tpmtls("--json", "connect", "localhost:" + server.port, "--ca", "ca/ca.pem", "--trace", "--resume",
                                    mode, stdin=b"x")
                self.assertEqual(result.code, 0, result.err)
                self.assertEqual(self.resumed(result), wanted, result.err)

    def test_off_is_the_default(self):
        server = self.serve()
        for args in ((), ("--resume", "off"), ("--resume", "memory")):
            self.assertFalse(self.resumed(self.connect(server.port, *args)))
        self.assertFalse(os.path.exists(LAB.path("state")))

    def test_modes_do_not_mix(self):
        server = self.serve()
        self.connect(server.port, "--resume", "sealed")
        self.assertFalse(self.resumed(self.connect(server.port, "--resume", "held")))
        self.assertTrue(self.resumed(self.connect(server.port, "--resume", "sealed")))

    def test_each_ticket_is_used_once(self):
        server = self.serve("--tickets", "1")
        self.connect(server.port, "--resume", "sealed")
        self.assertEqual(len(self.files()), 1)
        before = self.files()
        self.assertTrue(self.resumed(self.connect(server.port, "--resume", "sealed")))
        self.assertEqual(len(self.files()), 1)
        self.assertNotEqual(self.files(), before)

    def test_only_for_the_same_peer_and_the_same_us(self):
        server = self.serve()
        self.connect(server.port, "--resume", "sealed")
        self.assertFalse(self.resumed(self.connect(server.port, "--resume", "sealed", key="client-rsa2048")))
        self.assertFalse(self.resumed(self.connect(server.port, "--resume", "sealed", "--alpn", "mqtt")))
        self.assertFalse(self.resumed(self.connect(server.port, "--resume", "sealed", "--servername", "127.0.0.1")))
        self.assertFalse(self.resumed(self.connect(server.port, "--resume", "sealed", "--ca", "other/ca.pem")))
        self.assertTrue(self.resumed(self.connect(server.port, "--resume", "sealed")))

    def test_another_tpm(self):
        server = self.serve()
        self.connect(server.port, "--resume", "sealed")
        self.connect(server.port, "--resume", "held")
        for mode in ("sealed", "held"):
            result = LAB.run(harness.PROGRAM, "--json", "connect", "localhost:" + server.port, "--ca", "ca/ca.pem", "--trace",
                             "--resume", mode, stdin=b"x", env={"TPMTLS_TPM": "embedded:" + LAB.path("elsewhere")})
            self.assertEqual(result.code, 0, result.err)
            self.assertFalse(self.resumed(result))
        result = LAB.run(harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem", "--resume", "sealed",
                         stdin=b"x", env={"TPMTLS_TPM": "embedded:" + LAB.path("elsewhere")})
        self.assertRegex(result.err, "so this will be a full handshake: ")
        self.assertRegex(result.err, "hint: .*`tpmtls session clear`")


class Session(Case):
    def test_list_and_clear(self):
        self.assertIn("no sessions in", LAB.tpmtls("session", "list").err)
        server = self.serve()
        self.connect(server.port, "--resume", "sealed")
        self.connect(server.port, "--resume", "held")
        text = LAB.tpmtls("session", "list").out.decode()
        self.assertEqual(text.count("localhost:" + server.port), 4)
        self.assertRegex(text, r"held +TLS_AES_128_GCM_SHA256 +1:59:")
        self.assertIn(b'"mode":"sealed"', LAB.tpmtls("--json", "session", "list").out)
        self.assertIn("0 sessions removed", LAB.tpmtls("session", "clear", "elsewhere:1").err)
        self.assertIn("4 sessions removed", LAB.tpmtls("session", "clear", "localhost:" + server.port).err)
        self.connect(server.port, "--resume", "sealed")
        self.assertIn("2 sessions removed", LAB.tpmtls("session", "clear").err)
        self.assertEqual(sorted(os.listdir(LAB.path("state/tpmtls/sessions"))), [".lock"])

    def test_usage(self):
        for args in ((), ("show",), ("list", "x"), ("clear", "a", "b"), ("list", "--nope")):
            self.assertEqual(LAB.tpmtls("session", *args).code, 2)
        base = ("connect", "localhost:1", "--ca", "ca/ca.pem")
        for args in (("--resume", "disk"), ("--early-data", "early.txt"), ("--resume", "held", "--early-data", "early.txt"),
                     ("--resume", "held", "--resume-pcrs", "sha256:7")):
            self.assertEqual(LAB.tpmtls(*base, *args).code, 2, args)


class Tickets(Case):
    """What a server's tickets depend on. With a key file they outlive a restart, which is what lets settings change."""

    @classmethod
    def setUpClass(cls):
        LAB.must(harness.PROGRAM, "ticket-key", "-o", "tickets.key")
        LAB.must(harness.PROGRAM, "ticket-key", "--in-tpm", "-o", "root.key")

    def after(self, first, then, between=lambda: None):
        """Whether a session of a server with the options `first` is resumed at one with the options `then`."""
        scope = ("--ticket-scope", "fleet")
        server = self.serve(*scope, *first)
        port = server.port
        self.connect(port, "--resume", "sealed")
        server.stop()
        between()
        server = self.serve(*scope, *then, at="127.0.0.1:" + port)
        resumed = self.resumed(self.connect(port, "--resume", "sealed"))
        server.stop()
        return resumed

    def test_restart(self):
        self.assertFalse(self.after((), ()))
        self.assertTrue(self.after(("--ticket-key", "tickets.key"), ("--ticket-key", "tickets.key")))

    def test_root_in_the_tpm(self):
        root = ("--ticket-key", "root.key")
        self.assertTrue(self.after(root, root))
        self.assertIn(b"TSS2 PRIVATE KEY", LAB.read("root.key"))
        server = self.serve(*root)
        self.connect(server.port, "--resume", "sealed")
        self.assertNotIn("TPM2_HMAC", self.commands(server.stop()))  # none for a handshake

    def test_epochs_of_the_root(self):
        server = self.serve("--ticket-key", "root.key", "--ticket-lifetime", "3", "--ticket-rotation", "3")
        self.connect(server.port, "--resume", "sealed")
        self.assertTrue(self.resumed(self.connect(server.port, "--resume", "sealed")))
        time.sleep(3.2)
        self.assertFalse(self.resumed(self.connect(server.port, "--resume", "sealed")))
        self.assertTrue(self.resumed(self.connect(server.port, "--resume", "sealed")))

    def test_scope(self):
        key = ("--ticket-key", "tickets.key")
        self.assertFalse(self.after(key, key + ("--ticket-scope", "another listener")))
        self.assertFalse(self.after(key, key + ("--client-ca", "other/ca.pem")))
        self.assertFalse(self.after(key, key + ("--require-client-cert",)))
        self.assertTrue(self.after(key, key + ("--tickets", "4", "--ticket-lifetime", "60")))

    def test_number_and_lifetime(self):
        server = self.serve("--tickets", "4", "--ticket-lifetime", "1")
        self.connect(server.port, "--resume", "sealed")
        self.assertEqual(len(self.files()), 4)
        time.sleep(1.2)
        self.assertFalse(self.resumed(self.connect(server.port, "--resume", "sealed")))
        none = self.serve("--tickets", "0")
        self.connect(none.port, "--resume", "sealed")
        self.assertFalse(self.resumed(self.connect(none.port, "--resume", "sealed")))

    def test_rotation_by_hand(self):
        LAB.must(harness.PROGRAM, "ticket-key", "-o", "rotated.key")
        self.assertEqual(stat.S_IMODE(os.stat(LAB.path("rotated.key")).st_mode), 0o600)
        self.assertEqual(LAB.tpmtls("ticket-key", "-o", "rotated.key").code, 1)  # never overwritten by mistake
        key = ("--ticket-key", "rotated.key")
        rotate = lambda: LAB.must(harness.PROGRAM, "ticket-key", "-o", "rotated.key", "--rotate")
        self.assertTrue(self.after(key, key, rotate))
        self.assertFalse(self.after(key, key, lambda: (rotate(), rotate())))

    def test_a_running_server_reads_its_keys_again(self):
        os.mkdir(LAB.path("keys"))
        LAB.must(harness.PROGRAM, "ticket-key", "-o", "keys/2026-01.key")
        server = self.serve("--ticket-key", "keys", "--ticket-scope", "x")
        self.connect(server.port, "--resume", "sealed")
        LAB.must(harness.PROGRAM, "ticket-key", "-o", "keys/2026-02.key")
        time.sleep(2.6)
        self.assertTrue(self.resumed(self.connect(server.port, "--resume", "sealed")))  # of 2026-01, which still opens
        os.unlink(LAB.path("keys/2026-01.key"))
        time.sleep(2.6)
        self.assertTrue(self.resumed(self.connect(server.port, "--resume", "sealed")))  # of 2026-02, which sealed it
        LAB.write("keys/2026-02.key", "nonsense")
        time.sleep(2.6)
        self.assertTrue(self.resumed(self.connect(server.port, "--resume", "sealed")))
        self.assertIn("the ticket keys stay as they were", server.stop().err)

    def test_bad_keys(self):
        LAB.write("bad.key", "tpmtls-ticket-key 00 11\n")
        os.chmod(LAB.path("bad.key"), 0o600)
        LAB.write("open.key", LAB.read("tickets.key"))
        os.chmod(LAB.path("open.key"), 0o644)
        base = ("serve", "127.0.0.1:0", "--key", "server-p256.key", "--cert", "server-p256.pem")
        for args, text in ((("--ticket-key", "bad.key"), "damaged"), (("--ticket-key", "open.key"), "everybody may read"),
                           (("--ticket-key", "none.key"), "none.key"), (("--ticket-key", "client-p256.key"), "HMAC-SHA-256"),
                           (("--ticket-rotation", "60"), "shorter than the lifetime"), (("--tickets", "9"), "--tickets"),
                           (("--tickets", "0", "--max-early-data", "1"), "nothing for --max-early-data")):
            result = LAB.tpmtls(*base, *args)
            self.assertIn(result.code, (1, 2), result.err)
            self.assertIn(text, result.err)

    def test_revoked_client(self):
        """The session is of before the CRL."""
        key = ("--ticket-key", "tickets.key", "--ticket-scope", "x", "--require-client-cert")
        server = self.serve(*key)
        port = server.port
        self.connect(port, "--resume", "sealed")
        self.connect(port, "--resume", "sealed", key="client-rsa2048")
        server.stop()
        LAB.must("openssl", "ca", "-gencrl", "-config", self.ca_config("none"), "-out", "none.crl")
        LAB.must("openssl", "ca", "-config", self.ca_config("revoked"), "-revoke", "client-p256.pem")
        LAB.must("openssl", "ca", "-gencrl", "-config", self.ca_config("revoked"), "-out", "revoked.crl")
        server = self.serve(*key, "--crl", "revoked.crl", at="127.0.0.1:" + port)
        result = self.connect(port, "--resume", "sealed", code=5)
        self.assertIn("certificate_revoked", result.err)
        self.assertTrue(self.resumed(self.connect(port, "--resume", "sealed", key="client-rsa2048")))

    def ca_config(self, name):
        if not os.path.exists(LAB.path(name + ".cnf")):
            LAB.write(name + ".txt", "")
            LAB.write(name + ".cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=%s.txt\ncertificate=ca/ca.pem\nprivate_key=ca/ca.key\n"
                      "default_md=sha256\ndefault_crl_days=3\n" % name)
        return name + ".cnf"


class EarlyData(Case):
    def early(self, result):
        return [(e["status"], e["sent"]) for e in result.events("early_data")]

    def with_session(self, *args, **kw):
        server = self.serve("--max-early-data", "1000", *args, **kw)
        self.connect(server.port, "--resume", "sealed")
        return server

    def test_echo_answers_at_once(self):
        server = self.with_session("--echo")
        result = self.connect(server.port, "--resume", "sealed", "--early-data", "early.txt")
        self.assertEqual(self.early(result), [("accepted", 12)])
        self.assertEqual(result.out, b"early words\nhello\n")
        self.assertEqual([e["early_data"] for e in server.stop().events("handshake")], [False, True])

    def test_exec_gets_it_once_the_handshake_is_complete(self):
        server = self.with_session("--exec", "cat")
        result = self.connect(server.port, "--resume", "sealed", "--early-data", "early.txt")
        self.assertEqual(self.early(result), [("accepted", 12)])
        self.assertEqual(result.out, b"early words\nhello\n")

    def test_www(self):
        LAB.write("request.txt", REQUEST)
        server = self.with_session("--www")
        result = self.connect(server.port, "--resume", "sealed", "--early-data", "request.txt", stdin=b"")
        self.assertEqual(self.early(result), [("accepted", len(REQUEST))])
        self.assertIn(b"resumed: yes", result.out)

    def test_what_is_too_much_follows_as_ordinary_data(self):
        LAB.write("long.txt", os.urandom(500000))
        server = self.with_session()
        result = self.connect(server.port, "--resume", "sealed", "--early-data", "long.txt")
        self.assertEqual(self.early(result), [("accepted", 1000)])
        self.assertEqual(result.out, LAB.read("long.txt") + b"hello\n")

    def test_off_by_default(self):
        server = self.serve()
        self.connect(server.port, "--resume", "sealed")
        result = self.connect(server.port, "--resume", "sealed", "--early-data", "early.txt", code=1)
        self.assertEqual(self.early(result), [("not offered", 0)])
        self.assertIn("--early-data-retry", result.err)
        self.assertEqual(result.out, b"")

    def test_sent_again_only_when_asked(self):
        """After a restart the register of what was used is empty: such tickets resume without 0-RTT."""
        LAB.must(harness.PROGRAM, "ticket-key", "-o", "early.key")
        fixed = ("--ticket-key", "early.key", "--ticket-scope", "x")
        server = self.with_session(*fixed)
        server.stop()
        server = self.serve("--max-early-data", "1000", *fixed, at="127.0.0.1:" + server.port)
        result = self.connect(server.port, "--resume", "sealed", "--early-data", "early.txt", code=1)
        self.assertEqual(self.early(result), [("rejected", 12)])
        self.assertTrue(self.resumed(result))
        self.assertEqual(result.out, b"")
        server.stop()
        self.setUp()
        server = self.with_session(*fixed)
        server.stop()
        server = self.serve("--max-early-data", "1000", *fixed, at="127.0.0.1:" + server.port)
        result = self.connect(server.port, "--resume", "sealed", "--early-data", "early.txt", "--early-data-retry")
        self.assertEqual(self.early(result), [("rejected", 12)])
        self.assertEqual(result.out, b"early words\nhello\n")

    def test_replay(self):
        """Somebody on the wire sends the first flight again: it is skipped, and answered to nobody."""
        server = self.serve("--max-early-data", "1000", "--exec", "cat >>seen.txt")
        tap = harness.Tap(server.port)
        self.addCleanup(tap.listener.close)
        self.connect(tap.port, "--resume", "sealed", "--servername", "localhost")
        self.connect(tap.port, "--resume", "sealed", "--servername", "localhost", "--early-data", "early.txt", stdin=b"")
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", int(server.port))) as again:
                again.sendall(tap.sent[1])
                again.shutdown(socket.SHUT_WR)
                again.settimeout(5)
                while again.recv(65536):
                    pass
        server.stop()
        self.assertEqual(LAB.read("seen.txt").count(b"early words"), 1)


class Openssl(Case):
    def s_server(self, *more):
        server = LAB.background("openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert", "soft.pem", "-key",
                                "soft.key", "-CAfile", "ca/ca.pem", *more)
        self.addCleanup(server.__exit__)
        server.port = server.wait_for(r"ACCEPT 127.0.0.1:(\d+)").group(1)
        return server

    def test_connect(self):
        for mode, commands in (("sealed", []), ("held", HELD_COMMANDS)):
            server = self.s_server("-Verify", "1", "-verify_return_error", "-rev")
            self.assertFalse(self.resumed(self.connect(server.port, "--resume", mode)))
            for _ in range(2):
                result = self.connect(server.port, "--resume", mode)
                self.assertTrue(self.resumed(result), result.err)
                self.assertEqual(self.commands(result), commands)
                self.assertEqual(result.out, b"olleh\n")

    def test_connect_with_another_group(self):
        for mode in ("sealed", "held"):
            server = self.s_server("-rev", "-groups", "P-384")
            self.assertTrue(self.connect(server.port, "--resume", mode).events("handshake")[0]["hello_retry_request"])
            event = self.connect(server.port, "--resume", mode).events("handshake")[0]
            self.assertEqual((event["resumed"], event["group"]), (True, "secp384r1"))

    def test_connect_early_data(self):
        server = self.s_server("-early_data", "-max_early_data", "1000")
        self.connect(server.port, "--resume", "sealed", stdin=b"")
        LAB.tpmtls("--json", "connect", "localhost:" + server.port, "--ca", "ca/ca.pem", "--resume", "sealed", stdin=b"")
        result = self.connect(server.port, "--resume", "sealed", "--early-data", "early.txt", stdin=b"")
        self.assertEqual([e["status"] for e in result.events("early_data")], ["accepted"])
        server.wait_for("early words")

    def s_client(self, port, *more, stdin=REQUEST):
        result = LAB.run("openssl", "s_client", "-connect", "127.0.0.1:" + port, "-servername", "localhost", "-tls1_3", "-CAfile",
                         "ca/ca.pem", "-cert", "soft.pem", "-key", "soft.key", *more, "-ign_eof", stdin=stdin)
        return result.out.decode("utf-8", "replace") + result.err

    def test_serve(self):
        server = self.serve("--www", "--require-client-cert", "--max-early-data", "1000")
        self.assertIn("New, TLSv1.3", self.s_client(server.port, "-sess_out", "sess.pem"))
        text = self.s_client(server.port, "-sess_in", "sess.pem", "-sess_out", "sess2.pem")
        self.assertIn("Reused, TLSv1.3", text)
        self.assertIn("resumed: yes", text)
        self.assertIn("peer certificate: CN=localhost", text)
        LAB.write("request.txt", REQUEST)
        text = self.s_client(server.port, "-sess_in", "sess2.pem", "-early_data", "request.txt", stdin=b"")
        self.assertIn("Early data was accepted", text)
        self.assertIn("resumed: yes", text)


@unittest.skipUnless(shutil.which("gnutls-cli"), "gnutls-cli is not installed")
class GnutlsClient(Case):
    def test_serve(self):
        server = self.serve("--echo")
        text = LAB.run("sh", "-c", "(sleep 3; echo words; sleep 1) | gnutls-cli --x509cafile ca/ca.pem --sni-hostname localhost "
                       "--verify-hostname localhost -p %s --resume --waitresumption 127.0.0.1" % server.port)
        self.assertIn("This is a resumed session", text.out.decode("utf-8", "replace"))
        self.assertIn(True, [e["resumed"] for e in server.stop().events("handshake")])


@unittest.skipUnless(shutil.which("gnutls-serv"), "gnutls-serv is not installed")
class GnutlsServer(Case):
    SCRIPT = r"""
        ip link set lo up || exit 99
        gnutls-serv --port 4433 --x509cafile ca/ca.pem --x509certfile soft.pem --x509keyfile soft.key --echo --earlydata \
            --maxearlydata 1000 >gnutls.log 2>&1 </dev/null &
        for i in $(seq 200); do grep -q 'listening' gnutls.log && break; sleep 0.05; done
        sleep 1.5 # tickets of the second in which its replay protection began are refused
        for mode in held held sealed sealed; do
            echo words | "$PROGRAM" --json connect localhost:4433 --ca ca/ca.pem --trace --resume $mode || exit 1
        done
        "$PROGRAM" --json connect localhost:4433 --ca ca/ca.pem --trace --resume sealed --early-data early.txt </dev/null
        code=$?
        kill $!
        exit $code
    """

    def test_connect(self):
        namespace = LAB.namespace_command()
        if namespace is None:
            self.skipTest("no network namespace can be made here, and gnutls-serv listens on every address")
        result = LAB.run(*namespace, "sh", "-c", self.SCRIPT, env={"PROGRAM": harness.PROGRAM})
        self.assertEqual(result.code, 0, result.err + LAB.read("gnutls.log").decode("utf-8", "replace"))
        self.assertEqual([e["resumed"] for e in result.events("handshake")], [False, True, False, True, True])
        self.assertEqual([e["status"] for e in result.events("early_data")], ["accepted"])
        self.assertIn(result.out.count(b"words\n"), (4, 5))  # gnutls-serv shows early data, and echoes none; 3.8.13 does


if __name__ == "__main__":
    harness.tap_main()
