"""tests/integration/test_odd_names.py: --json with paths and names of any bytes: what every command prints is JSON, and never
nothing, when it works; when it fails, the last line on stderr is an event that says so."""

import json
import os
import unittest

import harness

ODD = [b"plain", b'quote"s', b"back\\slash", b"tab\tand\nline", b"esc\x1b[31m", b"del\x7f", b"\x01\x02", b"latin-\xe4\xff", b"cut-\xc3",
       b"surrogate-\xed\xa0\x80", "täg-\u2028-\U0001f511".encode(), b"' $(id) ;", b"{\"a\":", b"%s%n", b"n" * 200]
COMMANDS = [  # what is printed on stdout; {n}: the odd name
    ("key create", "key", "create", "-o", "{n}.key"),
    ("key show", "key", "show", "{n}.key"),
    ("key srk", "key", "srk", "-o", "{n}.srk"),
    ("csr", "csr", "--key", "{n}.key", "--subject", "/CN=x", "--san", "DNS:x", "-o", "{n}.csr"),
    ("ca init", "ca", "init", "--dir", "{n}.ca", "--subject", "/CN=CA"),
    ("ca sign", "ca", "sign", "--dir", "{n}.ca", "{n}.csr", "--profile", "both", "-o", "{n}.pem"),
    ("ca show", "ca", "show", "--dir", "{n}.ca"),
    ("ca list", "ca", "list", "--dir", "{n}.ca"),
    ("key seal", "key", "seal", "data", "-o", "{n}.sealed"),
    ("key unseal", "key", "unseal", "{n}.sealed", "-o", "{n}.data"),
    ("psk import", "psk", "import", "--identity", "{n}", "--role", "client", "--context", "c", "-o", "{n}.psk"),
    ("psk show", "psk", "show", "{n}.psk"),
    ("ticket-key", "ticket-key", "-o", "{n}.tk"),
    ("session list", "session", "list"),  # of a directory of that name
    ("identity list", "identity", "list"),
    ("doctor", "doctor", "--quick", "--ek-roots", "{n}.ca/ca.pem"),
]
FAILING = [("key", "show", "{n}"), ("csr", "--key", "{n}", "--subject", "/CN=x"), ("ca", "show", "--dir", "{n}"),
           ("psk", "show", "{n}"), ("key", "unseal", "{n}"), ("connect", "{n}:443", "--ca", "{n}"),
           ("connect", "127.0.0.1:1", "--ca", "{n}"), ("serve", "127.0.0.1:0", "--key", "{n}", "--cert", "{n}"),
           ("{n}",), ("key", "{n}"), ("key", "create", "--{n}", "-o", "x"), ("key", "create", "--type", "{n}", "-o", "x"),
           ("--tpm", "{n}", "key", "list"), ("csr", "--key", "plain.key", "--subject", "/{n}=x"),
           ("csr", "--key", "plain.key", "--subject", "/CN=x", "--san", "{n}"), ("proxy", "check", "{n}"),
           ("key", "create", "-o", "no/{n}/such")]
MUST_PRINT = {"key create", "key show", "ca init", "ca show", "ca list", "psk show", "session list", "identity list", "doctor"}
LAB = None


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.write("data", "secret")
    LAB.env["XDG_STATE_HOME"] = LAB.path("state")
    LAB.must(harness.PROGRAM, "key", "create", "-o", "plain.key")
    os.remove(LAB.path("plain.key"))


def tearDownModule():
    LAB.close()


def filled(words, name):
    return [os.fsdecode(os.fsencode(word).replace(b"{n}", name)) for word in words]


def lines(done):
    return done.err.rstrip("\n").split("\n")  # splitlines would also split at U+2028


class OddNames(unittest.TestCase):
    def one(self, name, words, prints):
        env = {"XDG_STATE_HOME": LAB.path(os.fsdecode(name + b".state")),
               "XDG_CONFIG_HOME": LAB.path(os.fsdecode(name + b".config"))}
        done = LAB.run(harness.PROGRAM, "--json", *filled(words, name), stdin=os.urandom(32).hex().encode(), env=env)
        where = "%r %r: %s" % (name, words, done.err)
        self.assertEqual(done.code, 0, where)
        if prints or done.out:
            json.loads(done.out.decode("utf-8", "strict"))
        self.events(done, where)

    def events(self, done, where):
        for line in filter(None, lines(done)):
            self.assertIn("event", json.loads(line), where)

    def test_what_works(self):
        for name in ODD:
            for command, *words in COMMANDS:
                self.one(name, words, command in MUST_PRINT)

    def test_what_fails(self):
        for name in ODD[1:]:
            for words in FAILING:
                done = LAB.run(harness.PROGRAM, "--json", *filled(words, name))
                where = "%r %r: %r %s" % (name, words, done.out, done.err)
                self.assertIn(done.code, (1, 2, 4), where)
                self.assertEqual(done.out, b"", where)
                self.events(done, where)
                self.assertIn("error", [json.loads(line)["event"] for line in lines(done)], where)


if __name__ == "__main__":
    harness.tap_main()
