"""tests/integration/test_library.py: the library as somebody else's program sees it: installed below a prefix, found by
pkg-config. The examples are built there, with warnings as errors, and talk to openssl, to the program, to each other
and to a real MQTT broker. Headers compile alone, as C and as C++; each has a manual page."""

import glob
import os
import re
import shutil
import signal
import unittest

import harness

LAB = None
BUILD = os.environ["TPMTLS_BUILD"]
SANITIZE = os.environ.get("TPMTLS_SANITIZE", "none")
EXAMPLES = os.path.join(harness.ROOT, "examples")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror", "-O1", "-g")


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.make_identities()
    LAB.must("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", LAB.path("root"))
    found = glob.glob(LAB.path("root") + "/**/tpmtls.pc", recursive=True)[0]
    LAB.prefix = os.path.dirname(glob.glob(LAB.path("root") + "/**/include/tpmtls", recursive=True)[0]).rsplit("/", 1)[0]
    LAB.env["PKG_CONFIG_PATH"] = harness.before("PKG_CONFIG_PATH", os.path.dirname(found))
    LAB.env["PKG_CONFIG_SYSROOT_DIR"] = LAB.path("root")
    LAB.env["LD_LIBRARY_PATH"] = harness.before("LD_LIBRARY_PATH", os.path.dirname(os.path.dirname(found)))


def tearDownModule():
    LAB.close()


def build(source):
    """An example as its first comment says; the path of the program."""
    name = os.path.basename(source)[:-2]
    flags = LAB.must("pkg-config", "--cflags", "--libs", "tpmtls").out.decode().split()
    sanitize = [] if SANITIZE == "none" else ["-fsanitize=" + SANITIZE]
    LAB.must("cc", *WARNINGS, *sanitize, os.path.join(EXAMPLES, source), "-o", name, *flags)
    return LAB.path(name)


def s_server(*args):
    server = LAB.background("openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert", "soft.pem", "-key", "soft.key",
                            "-CAfile", "ca/ca.pem", *args)
    server.port = server.wait_for(r"ACCEPT \S*:(\d+)").group(1)
    return server


class Examples(unittest.TestCase):
    def test_blocking_client(self):
        program = build("blocking_client.c")
        words = (LAB.env["TPMTLS_TPM"], "client-p256.key", "client-p256.pem", "ca/ca.pem")
        with s_server("-Verify", "1", "-verify_return_error", "-rev") as server:
            done = LAB.must(program, *words, "localhost:" + server.port, stdin=b"hello\n")
            self.assertEqual(done.out, b"olleh\n")
        with LAB.serve("--client-ca", "ca/ca.pem", "--require-client-cert") as server:
            done = LAB.must(program, *words, "localhost:" + server.port, stdin=b"x" * 100000)
            self.assertEqual(done.out, b"x" * 100000)
            refused = LAB.run(program, *words[:3], "other/ca.pem", "localhost:" + server.port)
            self.assertEqual(refused.code, 1)
            self.assertIn("is not trusted", refused.err)

    def test_epoll_server(self):
        program = build("epoll_server.c")
        port = "%d" % free_port()
        with LAB.background(program, port, "soft.key", "soft.pem", "4") as server:
            server.wait_for("listening")
            idle = [LAB.background("openssl", "s_client", "-connect", "127.0.0.1:" + port, "-quiet", "-CAfile", "ca/ca.pem")
                    for _ in range(2)]
            for _ in range(2):
                done = LAB.tpmtls("connect", "localhost:" + port, "--ca", "ca/ca.pem", stdin=b"y" * 300000)
                self.assertEqual((done.code, len(done.out)), (0, 300000), done.err)
            for client in idle:
                client.process.stdin.write(b"still here\n")
                client.process.stdin.flush()
                client.wait_for("still here")
                client.stop(signal.SIGINT)
            self.assertEqual(server.finish().code, 0)

    def test_external_signer(self):
        program = build("external_signer.c")
        with s_server("-Verify", "1", "-verify_return_error", "-rev") as server:
            done = LAB.must(program, "soft.key", "soft.pem", "ca/ca.pem", "localhost:" + server.port, stdin=b"hello\n")
            self.assertEqual(done.out, b"olleh\n")


def free_port():
    with harness.socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Mqtt(unittest.TestCase):
    """The README's claim: a program of someone else's gains a TPM identity in under twenty lines."""

    def broker(self, name, config):
        port = free_port()
        LAB.write(name + ".conf", "listener %d 127.0.0.1\nuser root\nlog_dest stderr\n%s" % (port, config))
        broker = LAB.background(mosquitto(), "-v", "-c", name + ".conf")
        broker.wait_for("mosquitto version .* running")
        broker.port = str(port)
        return broker

    def setUp(self):
        if mosquitto() is None:
            self.skipTest("mosquitto is needed")

    def test_plain(self):
        with self.broker("plain", "allow_anonymous true\n") as broker:
            LAB.must(build("mqtt/mqtt_pub.c"), "127.0.0.1:" + broker.port, "room/1", "21.5")
            broker.wait_for(r"Received PUBLISH from tpmtls-example \(d0, q1, r0, m1, 'room/1', ... \(4 bytes\)\)")

    def test_with_a_key_in_the_tpm(self):
        program = build("mqtt/mqtt_pub_tpm.c")
        config = ("allow_anonymous true\nrequire_certificate true\nuse_identity_as_username true\ntls_version tlsv1.3\n"
                  "cafile ca/ca.pem\ncertfile soft.pem\nkeyfile soft.key\n")
        with self.broker("tls", config) as broker:
            LAB.must(program, "localhost:" + broker.port, "room/1", "21.5", "client-p256.key", "client-p256.pem", "ca/ca.pem")
            broker.wait_for(r"Received PUBLISH from tpmtls-example \(d0, q1, r0, m1, 'room/1', ... \(4 bytes\)\)")
            broker.wait_for(r"u'device-p256'")

    def test_how_many_lines(self):
        done = LAB.run("diff", EXAMPLES + "/mqtt/mqtt_pub.c", EXAMPLES + "/mqtt/mqtt_pub_tpm.c")
        new = [line for line in done.out.decode().splitlines() if line.startswith(">")]
        self.assertLess(len(new), 20, "\n".join(new))


def mosquitto():
    return shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")


class Installed(unittest.TestCase):
    def test_headers_alone(self):
        headers = sorted(glob.glob(LAB.prefix + "/include/tpmtls/*.h"))
        self.assertGreater(len(headers), 5)
        for header in headers:
            LAB.must("cc", "-x", "c", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-error=pragmas", "-fsyntax-only",
                     "-include", header, "-I", LAB.prefix + "/include", "/dev/null")

    def test_headers_as_cxx(self):
        if shutil.which("g++") is None:
            self.skipTest("g++ is needed")
        everything = "".join('#include <tpmtls/%s>\n' % os.path.basename(h) for h in sorted(glob.glob(LAB.prefix + "/include/tpmtls/*.h")))
        LAB.write("all.cc", everything + "int main() { return tt_version() == nullptr; }\n")
        flags = LAB.must("pkg-config", "--cflags", "--libs", "tpmtls").out.decode().split()
        sanitize = [] if SANITIZE == "none" else ["-fsanitize=" + SANITIZE]
        LAB.must("g++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *sanitize, "all.cc", "-o", "all", *flags)
        LAB.must(LAB.path("all"))

    def test_static(self):
        """A program that holds the whole library in itself."""
        LAB.write("version.c", '#include <stdio.h>\n#include <tpmtls/error.h>\nint main(void) { puts(tt_version()); return 0; }\n')
        archive = glob.glob(LAB.path("root") + "/**/libtpmtls.a", recursive=True)
        self.assertEqual(len(archive), 1)
        words = LAB.must("pkg-config", "--static", "--cflags", "--libs", "tpmtls").out.decode().split()
        words = [archive[0] if word == "-ltpmtls" else word for word in words]
        sanitize = [] if SANITIZE == "none" else ["-fsanitize=" + SANITIZE]
        LAB.must("cc", *WARNINGS, *sanitize, "version.c", "-o", "version", *words)
        self.assertEqual(LAB.must(LAB.path("version")).out, LAB.must("pkg-config", "--modversion", "tpmtls").out)

    def test_manual_pages(self):
        """Each header has its page, and each function stands in one."""
        pages = {os.path.basename(p): LAB.read(p) for p in glob.glob(LAB.path("root") + "/**/man/man*/*", recursive=True)}
        self.assertIn("tpmtls.1", pages)
        self.assertIn(b"serve", pages["tpmtls.1"])
        for header in glob.glob(harness.ROOT + "/include/tpmtls/*.h"):
            page = pages["tpmtls_" + os.path.basename(header)[:-2] + ".3"].decode().replace("\\-", "-")
            with open(header, encoding="utf-8") as f:
                declared = re.findall(r"TT_API[^;]*?\b(tt_\w+)\(", re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S))
            for name in declared:
                self.assertIn(name + "(", page)
        if shutil.which("groff"):
            for name, page in pages.items():
                done = LAB.run("groff", "-man", "-Tutf8", "-ww", stdin=page)
                self.assertEqual(done.err, "", name)


if __name__ == "__main__":
    harness.tap_main()
