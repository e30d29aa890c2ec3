"""tests/integration/test_pkcs11.py: the PKCS#11 module in the programs that people have: each does its own job with a
P-256 and an RSA key, some of them behind a PIN. The module is the one that is installed, built without sanitizers. A
program that is not there is skipped, by name."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import time
import unittest

import harness
from tokens import KINDS, MODULE, PIN, TOKENS, TokenLab, free_port, needs

LAB = None


def setUpModule():
    global LAB
    LAB = TokenLab()


def tearDownModule():
    LAB.close()


class Command(unittest.TestCase):
    """tpmtls identity."""

    def test_list_and_uri(self):
        found = json.loads(LAB.must(harness.PROGRAM, "--json", "identity", "list").out)
        self.assertEqual([x["name"] for x in found], sorted(TOKENS))
        self.assertEqual(found[0]["subject"], "CN=p256,O=Example")
        self.assertEqual(LAB.uri("p256", "cert"), "pkcs11:manufacturer=tpmtls;token=p256;object=p256;type=cert")
        self.assertEqual(LAB.tpmtls("identity", "uri", "nobody").code, 1)

    def test_add_and_remove(self):
        again = LAB.tpmtls("identity", "add", "p256", "--key", "p256.key", "--cert", "p256.pem")
        self.assertEqual(again.code, 1)
        self.assertIn("already", again.err)
        wrong = LAB.tpmtls("identity", "add", "other", "--key", "p256.key", "--cert", "rsa2048.pem")
        self.assertIn("is not for this key", wrong.err)
        soft = LAB.tpmtls("identity", "add", "other", "--key", "soft.key")
        self.assertIn("is not a key in the TPM", soft.err)
        self.assertEqual(LAB.tpmtls("identity", "add", "../x", "--key", "p256.key").code, 2)
        self.assertFalse(os.path.exists(LAB.path("identities/other")))
        LAB.must(harness.PROGRAM, "identity", "add", "other", "--key", "p256.key")
        LAB.must(harness.PROGRAM, "identity", "add", "other", "--key", "p256.key", "--cert", "p256.pem", "--replace")
        LAB.must(harness.PROGRAM, "identity", "remove", "other")
        self.assertEqual(LAB.tpmtls("identity", "remove", "other").code, 1)

    def test_a_persistent_key(self):
        LAB.must(harness.PROGRAM, "key", "persist", "p256.key", "0x81000020")
        LAB.must(harness.PROGRAM, "identity", "add", "kept", "--key", "handle:0x81000020", "--cert", "p256.pem")
        LAB.write("message", "hello")
        LAB.must("pkcs11-tool", "--module", MODULE, "--token-label", "kept", "--sign", "-m", "ECDSA-SHA256", "-i", "message",
                 "-o", "message.sig")
        LAB.must(harness.PROGRAM, "identity", "remove", "kept")


class Owner(unittest.TestCase):
    """Who could put an identity there, or change one, would be believed in its name: what others may write is broken."""

    def seen(self):
        """What `identity list` calls sound, and the tokens that the module shows."""
        found = json.loads(LAB.must(harness.PROGRAM, "--json", "identity", "list").out)
        tokens = re.findall(r"token label\s*: (\S+)", LAB.run("pkcs11-tool", "--module", MODULE, "-L").out.decode())
        return sorted(x["name"] for x in found if "broken" not in x), sorted(tokens), {x["name"]: x.get("broken") for x in found}

    @needs("pkcs11-tool")
    def test_modes(self):
        good = sorted(TOKENS)
        self.assertEqual(self.seen()[:2], (good, good))
        less = [name for name in good if name != "p256"]
        for path, mode, left in (("identities/p256", 0o777, less), ("identities/p256/cert.pem", 0o666, less),
                                 ("identities/p256/key.pem", 0o620, less), ("identities", 0o1777, [])):
            before = os.stat(LAB.path(path)).st_mode
            os.chmod(LAB.path(path), mode)
            listed, tokens, why = self.seen()
            os.chmod(LAB.path(path), before)
            self.assertEqual((listed, tokens), (left, left), path)
            self.assertEqual(why["p256"], "others than its owner may write " + LAB.path(path))
        self.assertEqual(self.seen()[:2], (good, good))

    @needs("pkcs11-tool")
    @unittest.skipIf(os.geteuid() != 0, "only root gives files away")
    def test_owners(self):
        good = sorted(TOKENS)
        for path in ("identities/rsa2048", "identities/rsa2048/cert.pem", "identities/rsa2048/key.pem"):
            os.chown(LAB.path(path), 65534, 65534)
            listed, tokens, why = self.seen()
            os.chown(LAB.path(path), 0, 0)
            self.assertNotIn("rsa2048", listed + tokens)
            self.assertIn("belongs to the user 65534", why["rsa2048"])
        self.assertEqual(self.seen()[:2], (good, good))

    def test_a_planted_one_hides_none(self):
        """A place that others may write is named first: the sound identity of that name counts."""
        os.makedirs(LAB.path("open/p256"), exist_ok=True)
        shutil.copy(LAB.path("soft.pem"), LAB.path("open/p256/cert.pem"))
        os.chmod(LAB.path("open"), 0o777)
        done = LAB.must(harness.PROGRAM, "--json", "identity", "list",
                        env={"TPMTLS_IDENTITIES": LAB.path("open") + ":" + LAB.path("identities")})
        sound = {x["name"]: x["path"] for x in json.loads(done.out) if "broken" not in x}
        self.assertEqual(sound["p256"], LAB.path("identities/p256"))


class Module(unittest.TestCase):
    """The shared object itself."""

    def test_exports_and_libraries(self):
        names = {line.split()[-1] for line in LAB.must("nm", "-D", "--defined-only", MODULE).out.decode().splitlines()}
        self.assertEqual(names, {"C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"})
        needed = re.findall(r"NEEDED.*\[(\w+)", LAB.must("readelf", "-d", MODULE).out.decode())
        self.assertEqual(set(needed) - {"libtss2", "libcrypto", "libc"}, set())

    def test_debug_says_what_is_broken(self):
        os.mkdir(LAB.path("identities/broken"))
        LAB.write("identities/broken/key.pem", "nonsense")
        quiet, loud = LAB.tool("-L"), LAB.tool("-L", env={"TPMTLS_PKCS11_DEBUG": "1"})
        shutil.rmtree(LAB.path("identities/broken"))
        self.assertEqual((quiet.code, quiet.err), (0, ""))
        self.assertIn("tpmtls-pkcs11: ", loud.err)
        self.assertIn("identities/broken", loud.err)
        self.assertNotIn(b"broken", loud.out)

    def test_host_is_left_clean(self):
        """No thread, no descriptor, no signal handler is left in the host, and dlclose unloads it; valgrind agrees."""
        if not shutil.which("valgrind"):
            self.skipTest("not installed: valgrind")
        LAB.must("cc", "-g", os.path.join(harness.ROOT, "tests/pkcs11/host.c"), "-o", "host", "-ldl",
                 "-I/usr/include/p11-kit-1")
        LAB.must("./host", MODULE)
        done = LAB.must("valgrind", "-q", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
                        "--suppressions=" + os.path.join(harness.ROOT, "tests/pkcs11/host.supp"), "./host", MODULE)
        self.assertEqual(done.err, "")


@needs("pkcs11-tool")
class OpenSC(unittest.TestCase):
    def test_test(self):
        for name in TOKENS:
            login = ("--login", "--pin", PIN) if name.startswith("pin-") else ()
            done = LAB.tool("--token-label", name, "--test", *login)
            self.assertEqual(done.code, 0, done.err)
            self.assertIn(b"No errors", done.out + done.err.encode())

    def test_key_generation(self):
        LAB.must(harness.PROGRAM, "identity", "add", "new")
        done = LAB.tool("--token-label", "new", "--keypairgen", "--key-type", "EC:prime256v1")
        self.assertEqual(done.code, 0, done.err)
        self.assertIn(b"never extractable, local", done.out)
        LAB.write("message", "hello")
        self.assertEqual(LAB.tool("--token-label", "new", "--sign", "-m", "ECDSA-SHA256", "-i", "message", "-o", "sig").code, 0)
        refused = LAB.tool("--token-label", "new", "--delete-object", "--type", "privkey", "--label", "new")
        self.assertIn("0x1b", refused.err)  # CKR_ACTION_PROHIBITED, which it has no name for
        LAB.must(harness.PROGRAM, "identity", "remove", "new")

    def test_wrong_pin(self):
        done = LAB.tool("--token-label", "pin-p256", "--login", "--pin", "wrong", "-O")
        self.assertIn("CKR_PIN_INCORRECT", done.err)


@needs("p11tool", "gnutls-cli", "p11-kit")
class GnuTLS(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Registered with p11-kit as the package does it: a file in /usr/share/p11-kit/modules, here bound over."""
        os.makedirs(LAB.path("modules"))
        LAB.write("modules/tpmtls.module", "module: %s\n" % MODULE)
        cls.command = LAB.bound("modules", "/usr/share/p11-kit/modules")

    def test_p11_kit_and_p11tool(self):
        listed = LAB.must(*self.command, "p11-kit", "list-modules").out.decode()
        self.assertEqual(sorted(re.findall(r"token: (\S+)", listed)), sorted(TOKENS))
        objects = LAB.must(*self.command, "p11tool", "--list-all", "pkcs11:token=p256").out.decode()
        self.assertEqual(re.findall(r"Type: (\S+ \S+)", objects), ["Private key", "Public key", "X.509 Certificate"])
        for name in TOKENS:
            done = LAB.must(*self.command, "p11tool", "--test-sign", LAB.uri(name, "private"), env={"GNUTLS_PIN": PIN})
            self.assertIn("Verifying against public key in the token... ok", done.err + done.out.decode())

    def test_gnutls_cli(self):
        for name in TOKENS:
            with LAB.s_server("-www") as server:
                done = LAB.must(*self.command, "gnutls-cli", "-p", server.port, "localhost", "--x509cafile", "ca/ca.pem",
                                "--x509keyfile", LAB.uri(name, "private"), "--x509certfile", LAB.uri(name, "cert"), "--priority",
                                "NORMAL:-VERS-ALL:+VERS-TLS1.3", stdin=b"GET / HTTP/1.0\r\n\r\n", env={"GNUTLS_PIN": PIN})
                self.assertIn(b"Handshake was completed", done.out)
                self.assertRegex(server.stop().err, "CN ?= ?" + name)

    def test_gnutls_serv(self):
        for name in KINDS:
            port = str(free_port())
            with LAB.background(*self.command, "gnutls-serv", "--port", port, "--x509keyfile", LAB.uri(name, "private"),
                                "--x509certfile", LAB.uri(name, "cert"), "--http", "--disable-client-cert") as server:
                server.wait_for("listening on IPv4")
                done = LAB.must("openssl", "s_client", "-connect", "127.0.0.1:" + port, "-tls1_3", "-CAfile", "ca/ca.pem",
                                "-verify_return_error", "-servername", "localhost", "-verify_hostname", "localhost")
                self.assertIn(b"Verify return code: 0", done.out)


CLIENT = "/usr/lib/%s/pkcs11/p11-kit-client.so" % sysconfig.get_config_var("MULTIARCH")


@needs("pkcs11-tool", "p11-kit", CLIENT)
class Remote(unittest.TestCase):
    """Over the socket of p11-kit server, which leaves out mechanisms (findings/p11-kit-remote-mechanisms.sh): those of TLS are left."""

    def test_signs(self):
        LAB.write("message", "hello")
        LAB.must("openssl", "dgst", "-sha256", "-binary", "-out", "digest", "message")
        with LAB.background("p11-kit", "server", "--foreground", "--name", LAB.path("p11.sock"), "--provider", MODULE, "pkcs11:"):
            limit = time.monotonic() + harness.TIMEOUT
            while not os.path.exists(LAB.path("p11.sock")) and time.monotonic() < limit:
                time.sleep(0.05)
            for name, mechanism, verify in (
                    ("p256", ("ECDSA", "-f", "openssl"), ()),
                    ("pin-rsa2048", ("RSA-PKCS-PSS", "--hash-algorithm", "SHA256"), ("rsa_padding_mode:pss", "rsa_pss_saltlen:32"))):
                login = ("--login", "--pin", PIN) if name.startswith("pin-") else ()
                LAB.must("pkcs11-tool", "--module", CLIENT, "--token-label", name, *login, "--sign", "-m", *mechanism, "-i", "digest",
                         "-o", "remote.sig", env={"P11_KIT_SERVER_ADDRESS": "unix:path=" + LAB.path("p11.sock")})
                options = [word for option in ("digest:sha256",) + verify for word in ("-pkeyopt", option)]
                LAB.must("openssl", "pkeyutl", "-verify", "-certin", "-inkey", name + ".pem", "-sigfile", "remote.sig", "-in", "digest",
                         *options)


ENGINES = subprocess.run(["openssl", "version", "-e"], capture_output=True, text=True, check=True).stdout.split('"')[1]


@needs(os.path.join(ENGINES, "pkcs11.so"))
class OpenSSLEngine(unittest.TestCase):
    """libengine-pkcs11-openssl: what Debian 12 has for OpenSSL."""

    @classmethod
    def setUpClass(cls):
        LAB.write("engine.cnf", "openssl_conf = c\n[c]\nengines = e\n[e]\npkcs11 = p\n[p]\nengine_id = pkcs11\n"
                  "dynamic_path = %s/pkcs11.so\nMODULE_PATH = %s\ninit = 1\n" % (ENGINES, MODULE))
        cls.env = {"OPENSSL_CONF": LAB.path("engine.cnf")}

    @needs("curl")
    def test_curl(self):
        """curl makes the engine the default of its process, for whatever tpm2-tss does there, too."""
        for name in TOKENS:
            with LAB.s_server("-www") as server:
                done = LAB.must("curl", "-sS", "--max-time", "20", "--cacert", "ca/ca.pem", "--key",
                                LAB.uri(name, "private"), "--cert", LAB.uri(name, "cert"), "--pass", PIN,
                                "https://localhost:%s/" % server.port, env=self.env)
                self.assertIn(b"TLSv1.3", done.out)
                self.assertRegex(server.stop().err, "CN ?= ?" + name)

    @needs("nginx")
    def test_nginx(self):
        for name in TOKENS:
            key = LAB.uri(name, "private") + (";pin-value=" + PIN if name.startswith("pin-") else "")
            with LAB.nginx("ssl_certificate_key \"engine:pkcs11:%s\"; ssl_certificate %s.pem;" % (key, name), self.env) as server:
                done = LAB.must("openssl", "s_client", "-connect", "127.0.0.1:" + server.port, "-tls1_3", "-CAfile", "ca/ca.pem",
                                "-verify_return_error", "-cert", "soft.pem", "-key", "soft.key", "-ign_eof",
                                stdin=b"GET / HTTP/1.0\r\n\r\n")
                self.assertIn(b"you are CN=localhost", done.out)


if __name__ == "__main__":
    harness.tap_main()
