"""tests/integration/test_cli.py: the program's command line: what it says and how it ends when something is wrong,
and what connect and serve promise."""

import hashlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import unittest

import harness

LAB = None


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.make_identities()


def tearDownModule():
    LAB.close()


def walk(command):
    yield command
    for below in command["commands"]:
        yield from walk(below)


def tree(lab):
    """Every command's words, groups included: ("key",), ("key", "create"), ..."""
    def words(command, path):
        for below in command["commands"]:
            yield path + (below["name"],)
            yield from words(below, path + (below["name"],))
    return list(words(json.loads(lab.tpmtls("help", "--json").out), ()))


class Case(unittest.TestCase):
    def assert_fails(self, result, code, text, hint=""):
        self.assertEqual(result.code, code, result.err)
        self.assertIn("tpmtls: ", result.err)
        self.assertIn(text, result.err)
        if hint:
            self.assertRegex(result.err, "(?m)^tpmtls: hint: .*" + hint)
        self.assertNotIn("AddressSanitizer", result.err)

    def connect(self, server, *args, stdin=b"hello\n", host="localhost", options=(), ca="ca/ca.pem"):
        return LAB.tpmtls(*options, "connect", "%s:%s" % (host, server.port), "--ca", ca, *args, stdin=stdin)


class Usage(Case):
    def test_help(self):
        result = LAB.tpmtls("--help")
        self.assertEqual(result.code, 0)
        for word in (b"key", b"csr", b"ca", b"connect", b"serve", b"--tpm", b"exit codes"):
            self.assertIn(word, result.out)
        for command in tree(LAB):
            for words in ((*command, "--help"), (*command, "-h"), ("--help", *command), ("help", *command)):
                result = LAB.tpmtls(*words)
                self.assertEqual((result.code, result.err), (0, ""))
                self.assertIn(b"usage: tpmtls " + " ".join(command).encode(), result.out)
        self.assert_fails(LAB.tpmtls("help", "conect"), 2, "did you mean connect?")

    def test_help_fits_its_width(self):
        for width in (60, 80, 100):
            for command in tree(LAB):
                text = LAB.tpmtls(*command, "--help", env={"COLUMNS": str(width)}).out.decode()
                sentences = [line for line in text.split("\n") if " " in line.strip() and not line.startswith("  tpmtls ")
                             and not line.startswith("  openssl") and not line.startswith("  echo")]
                self.assertLessEqual(max(map(len, sentences)), width, command)

    def test_every_row_is_sound(self):
        """A name stands once in a table, and never hides a global one; letters, too."""
        def names(command):
            return [row[key] for part in command["parts"] for row in part["rows"] for key in ("name", "letter") if row.get(key)]
        root = json.loads(LAB.tpmtls("help", "--json").out)
        for command in walk(root):
            mine = names(command) + (names(root) if command is not root else [])
            self.assertEqual(len(mine), len(set(mine)), command["name"])
            self.assertTrue(command["summary"])
            self.assertTrue(command["commands"] or command["example"], command["name"] + " has no example")

    def test_version(self):
        for words in (("--version",), ("-V",), ("version",), ("connect", "-V")):
            self.assertRegex(LAB.tpmtls(*words).out, rb"^tpmtls \d+\.\d+\.\d+\n$")
        for words in (("--version", "-v"), ("-Vv",), ("version", "-v"), ("-v", "version")):
            text = LAB.tpmtls(*words).out
            self.assertRegex(text, rb"libcrypto: OpenSSL [34]\.")
            for library in (b"tss2-esys: ", b"jansson: ", b"sqlite3: ", b"libevent_core: "):
                self.assertIn(library, text)

    def test_no_command(self):
        self.assert_fails(LAB.tpmtls(), 2, "no command given", "tpmtls help")
        self.assert_fails(LAB.tpmtls("key"), 2, "key: create, show", "tpmtls help key")

    def test_usage_errors_are_short(self):
        """The message, and one hint: what is wrong must not scroll away."""
        for words in (("connect",), ("connect", "a:1", "b:1"), ("key", "create", "-o"), ("serve",), ("ca", "sign"), ("nope",),
                      ("psk", "import"), ("ticket-key",), ("csr", "--nope"), ("policy", "sign", "f")):
            result = LAB.tpmtls(*words)
            self.assertEqual(result.code, 2)
            self.assertRegex(result.err, "^tpmtls: .*\ntpmtls: hint: .*`tpmtls help.*\n$")

    def test_unknown_command(self):
        self.assert_fails(LAB.tpmtls("konnect"), 2, "there is no command 'konnect'", "did you mean `tpmtls connect`")
        self.assert_fails(LAB.tpmtls("connet"), 2, "there is no command 'connet'", "did you mean `tpmtls connect`")
        self.assert_fails(LAB.tpmtls("key", "craete"), 2, "there is no command 'key craete'", "did you mean `tpmtls key create`")
        self.assertNotIn("did you mean", LAB.tpmtls("xyzzy").err)

    def test_unknown_options(self):
        self.assert_fails(LAB.tpmtls("--nope", "key"), 2, "there is no option --nope")
        self.assert_fails(LAB.tpmtls("connect", "h:1", "--nope"), 2, "there is no option --nope")
        self.assert_fails(LAB.tpmtls("connect", "h:1", "-x"), 2, "there is no option -x")
        self.assert_fails(LAB.tpmtls("connect", "h:1", "--ca"), 2, "the option --ca needs an argument")
        self.assert_fails(LAB.tpmtls("serve", "h:1", "--www=yes"), 2, "takes no argument")

    def test_the_nearest_option_is_offered(self):
        for typed, meant in (("--cacert", "--ca"), ("--CAfile", "--ca"), ("--servernam", "--servername"), ("--sni", "--servername"),
                             ("--verbos", "--verbose"), ("--ciphersuites", "--suites")):
            self.assert_fails(LAB.tpmtls("connect", "h:1", typed, "x"), 2, "there is no option " + typed, "did you mean %s\\?" % meant)
        self.assert_fails(LAB.tpmtls("connect", "h:1", "--client-ca", "x"), 2, "no option --client-ca", "`tpmtls serve` has it")

    def test_nothing_is_abbreviated(self):
        """`--insecure --trace` was read as --insecure-keylog with a file named --trace."""
        for typed in ("--insecure", "--insecure-key", "--han", "--serv=x"):
            result = LAB.tpmtls("connect", "h:1", typed, "--trace")
            self.assert_fails(result, 2, "there is no option " + typed.split("=")[0])
        self.assertNotIn("keylog", LAB.tpmtls("connect", "h:1", "--insecure").err)
        self.assert_fails(LAB.tpmtls("connect", "h:1", "--insecure-keylog", "--trace"), 2, "--insecure-keylog needs an argument",
                          "--insecure-keylog=--trace")
        self.assertFalse(os.path.exists(LAB.path("--trace")))

    def test_a_value_with_dashes_is_written_with_an_equals_sign(self):
        self.assertEqual(LAB.tpmtls("key", "create", "--out=--dashes.key").code, 0)
        self.assertTrue(os.path.exists(LAB.path("--dashes.key")))
        self.assertEqual(LAB.tpmtls("key", "show", "--", "--dashes.key").code, 0)

    def test_global_options_stand_anywhere(self):
        shown = LAB.tpmtls("--json", "key", "show", "client-p256.key").out
        for words in (("key", "--json", "show", "client-p256.key"), ("key", "show", "client-p256.key", "--json"),
                      ("key", "show", "--json", "client-p256.key")):
            self.assertEqual(LAB.tpmtls(*words).out, shown)
        for words in (("key", "list", "--tpm", "nosuch:x"), ("--tpm", "nosuch:x", "key", "list"), ("key", "--tpm=nosuch:x", "list")):
            self.assert_fails(LAB.tpmtls(*words), 4, "nosuch")
        for words in (("-v", "key", "list"), ("key", "list", "-v"), ("key", "list", "--verbose")):
            self.assertIn("TPM: ", LAB.tpmtls(*words).err)
        for words in (("--tpm-timeout", "0", "key", "list"), ("key", "list", "--tpm-timeout", "0")):
            self.assert_fails(LAB.tpmtls(*words), 2, "--tpm-timeout: '0' is not a number from 1 to 3600")

    def test_letters(self):
        self.assertEqual(LAB.tpmtls("key", "create", "-oletter.key", "-tp384").code, 0)
        self.assertIn(b"p384", LAB.tpmtls("key", "show", "letter.key").out)

    def test_spellings_of_a_type(self):
        for typed, kind in (("P-256", b"p256"), ("prime256v1", b"p256"), ("secp384r1", b"p384"), ("RSA", b"rsa2048")):
            name = "spelt-%s.key" % typed
            self.assertEqual(LAB.tpmtls("key", "create", "-o", name, "--type", typed).code, 0, typed)
            self.assertIn(kind, LAB.tpmtls("key", "show", name).out)
        for typed in ("ed25519", "rsa1024"):
            self.assert_fails(LAB.tpmtls("key", "create", "-o", "no.key", "--type", typed), 2,
                              "'%s' is not p256, p384, p521, rsa2048, rsa3072, rsa4096, mldsa44, mldsa65 or mldsa87" % typed)

    def test_bad_addresses(self):
        for text in ("localhost", "::1:443", "localhost:htttps", "localhost:65536", "http://localhost", "[::1:443"):
            self.assert_fails(LAB.tpmtls("connect", text), 2, "'%s' is not an address" % text, "HOST:PORT")

    def test_a_url_or_a_service_will_do(self):
        with LAB.serve() as server:
            for where in ("https://localhost:%s", "https://localhost:%s/path?query"):
                result = LAB.tpmtls("connect", where % server.port, "--ca", "ca/ca.pem", stdin=b"hello\n")
                self.assertEqual((result.code, result.out), (0, b"hello\n"), result.err)

    def test_a_file_of_another_kind_is_named(self):
        """What was given instead is said plainly, with every option that reads PEM."""
        LAB.must("openssl", "req", "-new", "-key", "soft.key", "-subj", "/CN=x", "-out", "soft.csr")
        key, soft = "a private key of a TPM", "a private key"
        for words, text in ((("connect", "h:1", "--ca", "client-p256.key"), key), (("connect", "h:1", "--ca", "soft.key"), soft),
                            (("connect", "h:1", "--ca", "soft.csr"), "a certificate request"),
                            (("connect", "h:1", "--ca", "ca/ca.pem", "--crl", "soft.pem"), "a certificate"),
                            (("ca", "sign", "--dir", "ca", "soft.pem"), "a certificate"),
                            (("ca", "sign", "--dir", "ca", "client-p256.key"), key),
                            (("csr", "--key", "soft.csr", "--subject", "/CN=x"), "a certificate request")):
            self.assertRegex(LAB.tpmtls(*words).err, "tpmtls: .*(: it is|, but) " + text)

    def test_what_was_written_is_said(self):
        for words, text in ((("csr", "--key", "soft.key", "--subject", "/CN=x", "-o", "said.csr"), "a certificate request"),
                            (("key", "srk", "-o", "said.srk"), "storage root key"), (("key", "seal", "-o", "said.sealed"), "sealed"),
                            (("key", "unseal", "said.sealed", "-o", "said.again"), "what was sealed"),
                            (("ticket-key", "-o", "said.tk"), "a ticket key"), (("ticket-key", "-o", "said.tk", "--rotate"), "a new ticket key"),
                            (("ticket-key", "-o", "said.root", "--in-tpm"), "a root of ticket keys")):
            result = LAB.tpmtls(*words, stdin=b"a secret")
            self.assertEqual(result.code, 0, result.err)
            self.assertRegex(result.err, "tpmtls: wrote %s: .*%s" % (words[words.index("-o") + 1], text))
        self.assertNotIn("wrote", LAB.tpmtls("csr", "--key", "soft.key", "--subject", "/CN=x").err)

    def test_json_is_json_alone(self):
        """With --json -v each line on stderr is an event with its time; who connected is one of them."""
        stamp = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
        with LAB.serve("--client-ca", "ca/ca.pem", options=("--json", "-v")) as server:
            result = self.connect(server, "--key", "client-p256.key", "--cert", "client-p256.pem", options=("--json", "-v"))
            self.assertEqual(result.code, 0, result.err)
            bad = LAB.tpmtls("connect", "localhost:" + server.port, "--ca", "soft.key", "--json")
            theirs = server.stop()
        for text in (result.err, theirs.err, bad.err, LAB.tpmtls("--json", "nope").err, LAB.tpmtls("nope", "--json").err):
            for line in text.splitlines():
                self.assertRegex(json.loads(line)["time"], stamp)
        self.assertEqual(result.events("connected")[0]["peer_certificate"], "CN=localhost")
        seen = theirs.events("connected")[0]
        self.assertEqual((seen["connection"], seen["peer_certificate"], seen["resumed"]), (1, "CN=device-p256,O=Example", False))
        self.assertIn("a private key", bad.events("error")[0]["text"])

    def test_verbose_tells_a_resumption(self):
        state = {"XDG_STATE_HOME": LAB.path("state-v")}
        with LAB.serve(options=("-v",)) as server:
            words = ("-v", "connect", "localhost:" + server.port, "--ca", "ca/ca.pem", "--resume", "sealed")
            first, second = (LAB.tpmtls(*words, stdin=b"hello\n", env=state) for _ in range(2))
            self.assertRegex(first.err, "localhost:[0-9]+: connected as CN=localhost\n")
            self.assertRegex(second.err, "localhost:[0-9]+: connected as CN=localhost, resumed\n")
            server.wait_for(r": connected, no certificate, resumed\n")

    def test_bad_values(self):
        self.assert_fails(LAB.tpmtls("key", "create", "-o", "x.key", "--type", "p257"), 2, "'p257' is not p256, p384")
        self.assert_fails(LAB.tpmtls("key", "create"), 2, "-o FILE")
        base = ("connect", "localhost:1", "--ca", "ca/ca.pem")
        self.assert_fails(LAB.tpmtls(*base, "--groups", "x25519,p999"), 2, "'p999' is not known")
        self.assert_fails(LAB.tpmtls(*base, "--suites", "RC4"), 2, "'RC4' is not known")
        self.assert_fails(LAB.tpmtls(*base, "--handshake-timeout", "0"), 2, "not a number from 1 to 3600")
        self.assert_fails(LAB.tpmtls(*base, "--alpn", "a,,b"), 2, "--alpn")
        self.assert_fails(LAB.tpmtls(*base, "--key", "client-p256.key"), 2, "--key and --cert go together")
        self.assert_fails(LAB.tpmtls("serve", "127.0.0.1:0"), 2, "a server needs --key and --cert")
        self.assert_fails(LAB.tpmtls("serve", "127.0.0.1:0", "--key", "k", "--cert", "c", "--require-client-cert"), 2,
                          "needs --client-ca")
        self.assert_fails(LAB.tpmtls("serve", "127.0.0.1:0", "--www", "--echo"), 2, "does not go with")

    def test_weakening_switches_wear_it_in_their_names(self):
        both = {b"--insecure-keylog", b"--insecure-lax-certificates"}
        for command, more in (("connect", {b"--insecure-accept-truncation"}), ("serve", set())):
            self.assertEqual(set(re.findall(rb"--insecure\S*", LAB.tpmtls(command, "--help").out)), both | more)


class Keys(Case):
    def test_create_is_private_and_never_overwrites(self):
        self.assertEqual(LAB.tpmtls("key", "create", "-o", "new.key").code, 0)
        self.assertEqual(stat.S_IMODE(os.stat(LAB.path("new.key")).st_mode), 0o600)
        before = LAB.read("new.key")
        self.assertIn(b"BEGIN TSS2 PRIVATE KEY", before)
        self.assert_fails(LAB.tpmtls("key", "create", "-o", "new.key"), 1, "new.key is already there", "another name")
        self.assertEqual(LAB.read("new.key"), before)

    def test_create_into_nowhere(self):
        self.assert_fails(LAB.tpmtls("key", "create", "-o", "no/such/dir.key"), 1, "cannot create no/such/dir.key")

    def test_show(self):
        result = LAB.tpmtls("--json", "key", "show", "client-p256.key")
        self.assertEqual(result.code, 0, result.err)
        self.assertIn(b'"type":"p256"', result.out)
        self.assertIn(b'"where":"tpm"', result.out)
        self.assertIn(b"ecdsa_secp256r1_sha256", result.out)
        text = LAB.tpmtls("key", "show", "client-rsa2048.key").out
        self.assertIn(b"rsa2048", text)
        self.assertIn(b"rsa_pss_rsae_sha256", text)
        result = LAB.tpmtls("key", "show", "soft.key")
        self.assertIn(b"software", result.out)
        self.assertIn("soft.key is a software key", result.err)

    def test_missing_file(self):
        self.assert_fails(LAB.tpmtls("key", "show", "none.key"), 1, "cannot open none.key: No such file or directory")

    def test_not_a_key(self):
        LAB.write("garbage.key", os.urandom(300))
        self.assert_fails(LAB.tpmtls("key", "show", "garbage.key"), 1, "garbage.key holds no private key", "tpmtls key create")
        self.assert_fails(LAB.tpmtls("key", "show", "soft.pem"), 1, "soft.pem holds no private key in PEM form, but a certificate")
        LAB.write("empty.key", b"")
        self.assert_fails(LAB.tpmtls("key", "show", "empty.key"), 1, "empty.key holds no private key")

    def test_truncated_key(self):
        pem = LAB.read("client-p256.key")
        LAB.write("cut.key", pem[:len(pem) // 2])
        self.assert_fails(LAB.tpmtls("key", "show", "cut.key"), 1, "cut.key")
        pem = LAB.read("soft.key")
        LAB.write("cut-soft.key", pem[:len(pem) // 2])
        self.assert_fails(LAB.tpmtls("key", "show", "cut-soft.key"), 1, "cut-soft.key")

    def test_garbage_in_a_key_file(self):
        for label in ("TSS2 PRIVATE KEY", "PRIVATE KEY"):
            LAB.write("bad.key", "-----BEGIN %s-----\nMAMCAQUxMjM0NTY3ODkwMTIzNDU2Nzg5MA==\n-----END %s-----\n" % (label, label))
            self.assert_fails(LAB.tpmtls("key", "show", "bad.key"), 1, "bad.key")

    def test_key_of_another_tpm(self):
        result = LAB.tpmtls("--tpm", "embedded:" + LAB.path("second-tpm"), "key", "show", "client-p256.key")
        self.assert_fails(result, 4, "client-p256.key", ".")
        self.assertRegex(result.err, "(another|different|not .*this) TPM|this TPM")

    def test_bad_handle(self):
        self.assert_fails(LAB.tpmtls("key", "show", "handle:zz"), 2, "not a TPM handle", "0x8100")
        self.assert_fails(LAB.tpmtls("key", "show", "handle:0x81003333"), 4, "no key at 0x81003333")

    def test_no_tpm(self):
        result = LAB.tpmtls("--tpm", "swtpm:path=/nonexistent/socket", "key", "show", "client-p256.key")
        self.assert_fails(result, 4, "/nonexistent/socket")
        for name in ("/nonexistent/tpmrm0", "device:/nonexistent/tpmrm0"):
            self.assert_fails(LAB.tpmtls("--tpm", name, "key", "list"), 4, "the TPM at /nonexistent/tpmrm0: there is no such device")
        self.assert_fails(LAB.tpmtls("--tpm", LAB.path("soft.key"), "key", "list"), 4, "it is not a device")
        if not os.path.exists("/dev/tpmrm0"):
            self.assert_fails(LAB.tpmtls("key", "show", "client-p256.key", env={"TPMTLS_TPM": ""}), 4, "no TPM", "embedded")
            self.assert_fails(LAB.tpmtls("--tpm", "device", "key", "show", "client-p256.key"), 4, "/dev/tpmrm0")

    def test_password(self):
        LAB.must("openssl", "pkcs8", "-topk8", "-in", "soft.key", "-out", "locked.key", "-passout", "pass:opensesame")
        LAB.write("right.txt", "opensesame\n")
        LAB.write("wrong.txt", "openbarley\n")
        show = ("key", "show", "locked.key")
        self.assertEqual(LAB.tpmtls("--key-password-file", "right.txt", *show).code, 0)
        self.assert_fails(LAB.tpmtls("--key-password-file", "wrong.txt", *show), 1, "locked.key")
        self.assertRegex(LAB.tpmtls("--key-password-file", "wrong.txt", *show).err, "password")
        self.assert_fails(LAB.tpmtls("--key-password-file", "none.txt", *show), 1, "cannot open the password file none.txt")
        self.assert_fails(LAB.tpmtls(*show), 1, "locked.key is encrypted, and there is no terminal", "--key-password-file")

    def test_password_from_a_descriptor(self):
        LAB.must("openssl", "pkcs8", "-topk8", "-in", "soft.key", "-out", "locked2.key", "-passout", "pass:opensesame")
        reader, writer = os.pipe()
        os.write(writer, b"opensesame\n")
        os.close(writer)
        done = subprocess.run([harness.PROGRAM, "--key-password-file", "fd:%d" % reader, "key", "show", "locked2.key"],
                              cwd=LAB.dir, env=LAB.env, pass_fds=[reader], capture_output=True, timeout=60, check=False)
        os.close(reader)
        self.assertEqual(done.returncode, 0, done.stderr)


class Certificates(Case):
    """What is wrong with our own files, told before any connection is made."""

    def start(self, cert, key="server-p256.key"):
        return LAB.tpmtls("serve", "127.0.0.1:0", "--key", key, "--cert", cert)

    def test_missing(self):
        self.assert_fails(self.start("none.pem"), 1, "cannot open none.pem")
        self.assert_fails(LAB.tpmtls("connect", "localhost:1", "--ca", "none.pem"), 1, "cannot open none.pem")

    def test_truncated(self):
        pem = LAB.read("server-p256.pem")
        LAB.write("cut.pem", pem[:len(pem) // 3])
        self.assert_fails(self.start("cut.pem"), 1, "cut.pem")
        self.assert_fails(LAB.tpmtls("connect", "localhost:1", "--ca", "cut.pem"), 1, "cut.pem")

    def test_garbage(self):
        LAB.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nMAMCAQUxMjM0NTY3ODkw\n-----END CERTIFICATE-----\n")
        self.assert_fails(self.start("garbage.pem"), 1, "garbage.pem")
        self.assert_fails(LAB.tpmtls("connect", "localhost:1", "--ca", "garbage.pem"), 1, "garbage.pem")
        LAB.must("openssl", "x509", "-in", "soft.pem", "-outform", "DER", "-out", "soft.der")
        self.assert_fails(self.start("soft.der"), 1, "soft.der")

    def test_of_another_key(self):
        self.assert_fails(self.start("client-p256.pem"), 2,
                          "the certificate in client-p256.pem does not belong to the key server-p256.key", "tpmtls csr")

    def test_ca_first(self):
        LAB.write("reversed.pem", LAB.read("ca/ca.pem") + LAB.read("server-p256.pem"))
        self.assert_fails(self.start("reversed.pem"), 2, "does not belong", "the leaf must come first")

    def test_port_is_taken(self):
        with LAB.serve() as server:
            result = LAB.tpmtls("serve", "127.0.0.1:" + server.port, "--key", "soft.key", "--cert", "soft.pem")
            self.assert_fails(result, 1, "cannot listen on 127.0.0.1:" + server.port, "another program")


class Refusals(Case):
    """Peers that are not what they should be."""

    def test_connection_refused(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            self.assert_fails(LAB.tpmtls("connect", "localhost:%d" % port, "--ca", "ca/ca.pem"), 1,
                              "cannot connect to localhost:%d: connection refused" % port, "nothing listens")

    def test_unknown_host(self):
        self.assert_fails(LAB.tpmtls("connect", "no-such-host.invalid:443", "--ca", "ca/ca.pem"), 1,
                          "cannot find the host 'no-such-host.invalid'")

    def test_wrong_ca(self):
        with LAB.serve() as server:
            result = self.connect(server, ca="other/ca.pem")
            self.assert_fails(result, 3, "not trusted", "--ca")
            self.assertEqual(result.out, b"")
            server.wait_for("refused the connection: alert unknown_ca")

    @unittest.skipUnless(os.path.exists("/etc/ssl/certs/ca-certificates.crt"), "no system store of CAs")
    def test_system_store_is_the_default(self):
        with LAB.serve() as server:
            self.assert_fails(LAB.tpmtls("connect", "localhost:" + server.port), 3, "not trusted", "--ca")

    def test_wrong_host_name(self):
        with LAB.serve() as server:
            result = self.connect(server, "--servername", "other.example")
            self.assert_fails(result, 3, "other.example")

    def test_expired(self):
        LAB.dated_certificate("expired", "20200101000000Z", "20210101000000Z")
        with LAB.background(harness.PROGRAM, "serve", "127.0.0.1:0", "--key", "soft.key", "--cert", "expired.pem") as server:
            server.port = server.wait_for(r"listening on 127.0.0.1:(\d+)").group(1)
            self.assert_fails(self.connect(server), 3, "expired")
            server.wait_for("alert certificate_expired")

    def test_not_yet_valid(self):
        LAB.dated_certificate("future", "20490101000000Z", "20491231000000Z")
        with LAB.background(harness.PROGRAM, "serve", "127.0.0.1:0", "--key", "soft.key", "--cert", "future.pem") as server:
            server.port = server.wait_for(r"listening on 127.0.0.1:(\d+)").group(1)
            self.assert_fails(self.connect(server), 3, "not valid")

    def test_client_certificate_of_the_wrong_kind(self):
        with LAB.serve("--client-ca", "ca/ca.pem", "--require-client-cert") as server:
            result = self.connect(server, "--key", "server-p256.key", "--cert", "server-p256.pem")
            self.assert_fails(result, 5, "refused the connection")

    def test_client_certificate_missing(self):
        with LAB.serve("--client-ca", "ca/ca.pem", "--require-client-cert") as server:
            self.assert_fails(self.connect(server), 5, "certificate_required", "--key and --cert")
            self.assertEqual(self.connect(server, "--key", "client-p256.key", "--cert", "client-p256.pem").code, 0)

    def test_client_certificate_optional(self):
        with LAB.serve("--client-ca", "ca/ca.pem") as server:
            self.assertEqual(self.connect(server).out, b"hello\n")

    def test_client_certificate_of_another_ca(self):
        with LAB.serve("--client-ca", "other/ca.pem", "--require-client-cert") as server:
            result = self.connect(server, "--key", "client-p256.key", "--cert", "client-p256.pem")
            self.assert_fails(result, 5, "refused the connection")

    def test_alpn_without_agreement(self):
        with LAB.serve("--alpn", "h2") as server:
            self.assert_fails(self.connect(server, "--alpn", "mqtt"), 5, "no_application_protocol", "--alpn")

    def test_no_common_group(self):
        with LAB.serve("--groups", "x25519") as server:
            self.assert_fails(self.connect(server, "--groups", "P-384"), 5, "handshake_failure")

    def test_tls12_only_peer(self):
        with LAB.background("openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-cert", "soft.pem", "-key",
                            "soft.key") as server:
            server.port = server.wait_for(r"ACCEPT 127.0.0.1:(\d+)").group(1)
            self.assert_fails(self.connect(server), 5, "does not speak TLS 1.3, only an older version", "allow TLS 1.3")

    def test_server_that_ignores_the_version(self):
        """A ServerHello of TLS 1.2, from a peer that does not look at supported_versions."""
        body = b"\x03\x03" + os.urandom(32) + b"\x00" + b"\xc0\x2f" + b"\x00"
        hello = b"\x02" + len(body).to_bytes(3, "big") + body

        def talk(peer):
            peer.recv(65536)
            peer.sendall(b"\x16\x03\x03" + len(hello).to_bytes(2, "big") + hello)
            peer.recv(100)
        with harness.OneShotServer(talk) as server:
            self.assert_fails(self.connect(server), 1, "does not speak TLS 1.3, only an older version")

    def test_http_peer(self):
        def talk(peer):
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        with harness.OneShotServer(talk) as server:
            self.assert_fails(self.connect(server), 1, "does not speak TLS: it answers HTTP", "is the port right")

    def test_peer_closes_at_once(self):
        with harness.OneShotServer(lambda peer: peer.recv(65536)) as server:
            self.assert_fails(self.connect(server), 1, "closed the connection in the middle of the handshake")

    def test_peer_closes_after_server_hello(self):
        """The first bytes of a real server, then nothing."""
        with LAB.serve() as real:
            def talk(peer):
                with socket.create_connection(("127.0.0.1", int(real.port)), 20) as upstream:
                    upstream.sendall(peer.recv(65536))
                    peer.sendall(upstream.recv(150))
            with harness.OneShotServer(talk) as server:
                self.assert_fails(self.connect(server), 1, "closed the connection in the middle of the handshake")

    def test_silent_peer(self):
        with harness.OneShotServer(lambda peer: peer.recv(1) and threading.Event().wait(3)) as server:
            self.assert_fails(self.connect(server, "--handshake-timeout", "1"), 1, "did not complete the handshake within 1 second")

    def test_truncated_stream(self):
        """Everything is relayed but the end: data may be missing, and that is said."""
        with LAB.serve() as real:
            def talk(peer):
                upstream = socket.create_connection(("127.0.0.1", int(real.port)), 20)
                up = threading.Thread(target=relay, args=(peer, upstream), daemon=True)
                up.start()
                total = 0
                while total < 3000:
                    data = upstream.recv(500)
                    peer.sendall(data)
                    total += len(data)
                peer.shutdown(socket.SHUT_RDWR)  # wakes the other thread, too
                upstream.close()
            with harness.OneShotServer(talk) as server:
                result = self.connect(server, stdin=b"x" * 100000)
                self.assert_fails(result, 1, "hung up without close_notify")

    def test_server_survives_garbage(self):
        with LAB.serve() as server:
            for junk in (b"", b"GET / HTTP/1.0\r\n\r\n", os.urandom(5000), b"\x16\x03\x01\x00\x05hello", b"\x15\x03\x03\x00\x02\x02\x28"):
                with socket.create_connection(("127.0.0.1", int(server.port)), 20) as peer:
                    peer.sendall(junk)
                    peer.shutdown(socket.SHUT_WR)
                    peer.settimeout(20)
                    try:
                        while peer.recv(65536):
                            pass
                    except ConnectionResetError:
                        pass
            self.assertEqual(self.connect(server).out, b"hello\n")
            server.wait_for("it sent an HTTP request")


def relay(source, target):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
    except OSError:
        pass


class Connections(Case):
    def test_binary_and_much(self):
        data = os.urandom(6 << 20)
        with LAB.serve() as server:
            result = self.connect(server, stdin=data)
            self.assertEqual(result.code, 0, result.err)
            self.assertEqual(hashlib.sha256(result.out).digest(), hashlib.sha256(data).digest())

    def test_stdin_and_stdout_files(self):
        data = os.urandom(300000)
        LAB.write("in.bin", data)
        with LAB.serve() as server, open(LAB.path("in.bin"), "rb") as source, open(LAB.path("out.bin"), "wb") as sink:
            done = subprocess.run([harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem"], stdin=source,
                                  stdout=sink, stderr=subprocess.PIPE, cwd=LAB.dir, env=LAB.env, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(LAB.read("out.bin"), data)

    def test_stdin_dev_null(self):
        with LAB.serve() as server:
            done = subprocess.run([harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem"],
                                  stdin=subprocess.DEVNULL, capture_output=True, cwd=LAB.dir, env=LAB.env, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)

    def test_reader_goes_away(self):
        """stdout is a pipe nobody reads any more: an error, not a signal."""
        with LAB.serve("--exec", "head -c 4000000 /dev/zero") as server:
            process = subprocess.Popen([harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=LAB.dir, env=LAB.env)
            process.stdout.read(1000)
            process.stdout.close()
            err = process.stderr.read()
            process.stderr.close()
            self.assertEqual(process.wait(30), 1, err)
            self.assertIn(b"cannot write standard output: Broken pipe", err)

    def test_several_at_once(self):
        with LAB.serve() as server:
            results = [None] * 6
            def one(i):
                results[i] = self.connect(server, stdin=b"%d" % i * 50000)
            threads = [threading.Thread(target=one, args=(i,)) for i in range(len(results))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for i, result in enumerate(results):
                self.assertEqual(result.code, 0, result.err)
                self.assertEqual(result.out, b"%d" % i * 50000)

    def test_half_close_through_a_command(self):
        """The command sees end-of-file, and what it says only then arrives."""
        with LAB.serve("--exec", "sha256sum") as server:
            data = os.urandom(500000)
            self.assertEqual(self.connect(server, stdin=data).out.split()[0].decode(), hashlib.sha256(data).hexdigest())

    def test_command_that_does_not_read(self):
        with LAB.serve("--exec", "echo done") as server:
            result = self.connect(server, stdin=b"x" * 1000000)
            self.assertEqual((result.code, result.out), (0, b"done\n"), result.err)

    def test_environment_of_a_command(self):
        with LAB.serve("--client-ca", "ca/ca.pem", "--exec", "env", "--alpn", "mqtt") as server:
            out = self.connect(server, "--key", "client-p256.key", "--cert", "client-p256.pem", "--alpn", "mqtt").out.decode()
            self.assertIn("TPMTLS_PEER_SUBJECT=CN=device-p256,O=Example", out)
            self.assertIn("TPMTLS_ALPN=mqtt", out)
            self.assertIn("TPMTLS_SERVER_NAME=localhost", out)
            self.assertIn("TPMTLS_SUITE=TLS_", out)
            self.assertNotIn("TPMTLS_TPM=", out)

    def test_name_cannot_reach_the_shell(self):
        with LAB.serve("--exec", "printf '%s' \"$TPMTLS_SERVER_NAME\"") as server:
            self.assertEqual(self.connect(server).out, b"localhost")

    def test_ipv6(self):
        if not socket.has_ipv6:
            self.skipTest("no IPv6")
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 on the loopback")
        with LAB.serve(at="[::1]:0") as server:
            self.assertEqual(self.connect(server, host="[::1]").out, b"hello\n")

    def test_accept_limit(self):
        server = LAB.serve("--accept", "2")
        self.assertEqual(self.connect(server).code, 0)
        self.assertEqual(self.connect(server).code, 0)
        self.assertEqual(server.finish().code, 0)

    def test_end_by_signal(self):
        """SIGTERM: close_notify to everybody, exit 0."""
        for how in (signal.SIGTERM, signal.SIGINT):
            server = LAB.serve()
            client = subprocess.Popen([harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=LAB.dir, env=LAB.env)
            client.stdin.write(b"hello\n")
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), b"hello\n")
            self.assertEqual(server.stop(how).code, 0)
            out, err = client.communicate(timeout=30)
            self.assertEqual((client.returncode, out), (0, b""), err)

    def test_connect_ends_by_signal(self):
        with LAB.serve("--accept", "1", options=("--json",)) as server:
            client = subprocess.Popen([harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=LAB.dir, env=LAB.env)
            client.stdin.write(b"hello\n")
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), b"hello\n")
            client.send_signal(signal.SIGTERM)
            client.wait(30)
            err = client.communicate()[1]
            self.assertEqual(client.returncode, 1)
            self.assertIn(b"ended by signal 15", err)
            self.assertEqual(server.finish().events("closed")[0]["error"], None)

    def test_closed_standard_descriptors(self):
        """What is closed must not be given to a socket: then data would go where messages belong."""
        with LAB.serve() as server:
            command = '"$0" connect localhost:%s --ca ca/ca.pem <&- >&- 2>&-' % server.port
            self.assertEqual(LAB.run("sh", "-c", command, harness.PROGRAM).code, 0)

    def test_www(self):
        with LAB.serve("--www", "--client-ca", "ca/ca.pem") as server:
            page = self.connect(server, "--key", "client-rsa2048.key", "--cert", "client-rsa2048.pem", "--suites",
                                "TLS_AES_256_GCM_SHA384", "--groups", "secp384r1", stdin=b"GET / HTTP/1.0\r\n\r\n").out.decode()
        self.assertTrue(page.startswith("HTTP/1.0 200 "), page)
        for line in ("version: TLSv1.3", "suite: TLS_AES_256_GCM_SHA384", "group: secp384r1", "scheme: ecdsa_secp256r1_sha256",
                     "client scheme: rsa_pss_rsae_sha256", "resumed: no", "peer certificate: CN=device-rsa2048,O=Example"):
            self.assertIn(line + "\n", page)

    def test_alpn(self):
        with LAB.serve("--www", "--alpn", "http/1.1,http/1.0") as server:
            page = self.connect(server, "--alpn", "http/1.0,http/1.1", stdin=b"GET /\n").out
            self.assertRegex(page, rb"alpn: http/1.1\n")  # the server's preference decides

    def test_www_does_not_promise_what_it_does_not_speak(self):
        self.assert_fails(LAB.tpmtls("serve", "127.0.0.1:0", "--www", "--key", "server-p256.key", "--cert", "server-p256.pem",
                                     "--alpn", "http/1.1,h2"), 2, "--alpn h2 promises HTTP/2")

    def test_suites_and_groups(self):
        with LAB.serve("--www") as server:
            for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
                for group in ("x25519", "secp256r1", "secp384r1"):
                    page = self.connect(server, "--suites", suite, "--groups", group, stdin=b"GET /\n").out.decode()
                    self.assertIn("suite: %s\ngroup: %s\n" % (suite, group), page)


class Trace(Case):
    def test_json(self):
        with LAB.serve("--client-ca", "ca/ca.pem", "--trace", options=("--json",)) as server:
            for kind, command in (("p256", "TPM2_Sign"), ("rsa2048", "TPM2_RSA_Decrypt")):
                result = self.connect(server, "--key", "client-%s.key" % kind, "--cert", "client-%s.pem" % kind, "--trace",
                                      options=("--json",))
                self.assertEqual(result.code, 0, result.err)
                summary = result.events("handshake")[0]
                self.assertEqual(summary["tpm_commands"], 1)
                self.assertGreater(summary["ms"], summary["tpm_ms"])
                self.assertEqual(summary["suite"], "TLS_AES_128_GCM_SHA256")
                self.assertEqual(summary["peer_certificate"], "CN=localhost")
                tpm = result.events("tpm")
                self.assertEqual([e["command"] for e in tpm if e["phase"] == "handshake"], [command])
                self.assertLessEqual(len([e for e in tpm if e["phase"] == "load"]), 3)
                messages = [(e["dir"], e["type"]) for e in result.events("message")]
                self.assertEqual(messages, [
                    ("sent", "client_hello"), ("received", "server_hello"), ("received", "encrypted_extensions"),
                    ("received", "certificate_request"), ("received", "certificate"), ("received", "certificate_verify"),
                    ("received", "finished"), ("sent", "certificate"), ("sent", "certificate_verify"), ("sent", "finished"),
                    ("received", "new_session_ticket"), ("received", "new_session_ticket")])
            at_server = server.stop()
            self.assertEqual([e["tpm_commands"] for e in at_server.events("handshake")], [1, 1])
            self.assertEqual([e["error"] for e in at_server.events("closed")], [None, None])

    def test_text(self):
        with LAB.serve("--force-retry", "--trace") as server:
            result = self.connect(server, "--key", "client-p256.key", "--cert", "client-p256.pem", "--trace")
            self.assertEqual(result.code, 0, result.err)
            self.assertRegex(result.err, r"trace: +\d+\.\d\d ms  received  hello_retry_request")
            self.assertRegex(result.err, r"trace: handshake with localhost:\d+: \d+\.\d\d ms; TPM: 0 commands")
            server.wait_for(r"trace: \[1\] +\d+\.\d\d ms  TPM       TPM2_Sign +took \d+\.\d\d ms")


if __name__ == "__main__":
    harness.tap_main()
