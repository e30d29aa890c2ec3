"""Completion: what `tpmtls completion words` offers, and what bash itself makes of it at a terminal; zsh and fish where
they are installed."""
import os
import pty
import re
import select
import shutil
import subprocess
import time
import unittest

import harness
from harness import PROGRAM, ROOT

# What the shell runs as `tpmtls`: completion by the program, and for everything else the words it got.
STUB = """#!/bin/sh
[ "$1" != completion ] || exec '%s' "$@"
for word; do printf '<%%s>' "$word"; done >'%s'
"""


def setUpModule():
    global lab
    lab = harness.Lab()
    os.mkdir(lab.path("bin"))
    lab.write("bin/tpmtls", STUB % (PROGRAM, lab.path("words")))
    os.chmod(lab.path("bin/tpmtls"), 0o755)
    lab.env["PATH"] = lab.path("bin") + ":" + lab.env["PATH"]
    lab.env["XDG_CONFIG_HOME"] = lab.path("config")
    lab.env["XDG_STATE_HOME"] = lab.path("state")
    for name in ("bash", "zsh", "fish"):
        lab.write("completion." + name, lab.must(PROGRAM, "completion", name).out)
    for name in ("device.key", "device.pem", "odd name.pem"):
        lab.write(name, "")
    os.mkdir(lab.path("dir"))


def tearDownModule():
    lab.close()


def offered(*words, **kw):
    """{word: what it is}"""
    done = lab.must(PROGRAM, "completion", "words", "--", *words, **kw)
    return dict(line.split("\t") for line in done.out.decode().splitlines())


def names(*words, **kw):
    return list(offered(*words, **kw))


class Words(unittest.TestCase):
    def test_commands(self):
        top = names("")
        for name in ("key", "connect", "serve", "help"):
            self.assertIn(name, top)
        self.assertNotIn("completion", top)  # hidden
        self.assertEqual(names("key", "cr"), ["create"])
        self.assertEqual(names("key", "create", ""), [])
        self.assertEqual(names("help", "key", "cr"), ["create"])
        self.assertEqual(names("--json", "-v", "--tpm", "device", "conn"), ["connect"])
        self.assertEqual(names("keyx", "cr"), [])

    def test_every_option_of_the_table(self):
        """What --help tells, completion offers, with the global options."""
        tree = harness.json.loads(lab.must(PROGRAM, "help", "--json").out)

        def rows(command):
            return {"--" + row["name"] for part in command["parts"] for row in part["rows"] if row["name"]}

        def visit(command, path):
            self.assertEqual(set(names(*path, "--")), rows(command) | rows(tree), path)
            for below in command["commands"]:
                visit(below, path + [below["name"]])
        for command in tree["commands"]:
            if command["name"] != "help":
                visit(command, [command["name"]])
        self.assertGreater(len(tree["commands"]), 10)

    def test_options_once(self):
        self.assertNotIn("--alpn", names("connect", "--alpn", "x", "--a"))
        self.assertIn("--alpn", names("connect", "--a"))
        self.assertIn("--ca", names("connect", "--ca", "x", "--c"))  # may be given several times
        self.assertEqual(names("connect", "--", "--a"), [])

    def test_choices(self):
        kinds = ["p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096", "mldsa44", "mldsa65", "mldsa87"]
        self.assertEqual(names("key", "create", "--type", ""), kinds)
        self.assertEqual(names("key", "create", "--type=rsa"), ["--type=" + kind for kind in kinds[3:6]])
        self.assertEqual(names("ca", "sign", "--profile", ""), ["client", "server", "both", "operator", "sub-ca"])
        self.assertEqual(names("connect", "--resume", "s"), ["sealed"])
        self.assertEqual(names("connect", "--suites", "TLS_CH"), ["TLS_CHACHA20_POLY1305_SHA256"])
        self.assertEqual(names("connect", "--groups=x25519,secp2"), ["--groups=x25519,secp256r1"])
        self.assertEqual(names("csr", "--san", "D"), ["DNS:"])
        self.assertIn("sha256:", names("connect", "--pin", ""))
        self.assertEqual(names("connect", "--connect-timeout", ""), [])

    def test_profiles_are_those_of_the_lab(self):
        with open(os.path.join(ROOT, "src/lab/profile.c"), encoding="utf-8") as f:
            there = re.findall(r'^    \{"(\w+)", "', f.read(), re.M)
        self.assertEqual(names("bench", "--profile", ""), there)

    def test_files(self):
        self.assertEqual(offered("csr", "--key", "dev"), {":files": "dev"})
        self.assertEqual(offered("csr", "--key", ""), {":files": "", "handle:": ""})
        self.assertEqual(names("connect", "--ca", ""), [":files", ":dirs", "system"])
        self.assertEqual(offered("key", "create", "--out=d"), {":files": "d"})
        self.assertEqual(offered("ca", "sign", "-o", "d"), {":files": "d"})
        self.assertEqual(offered("ca", "init", "--dir", "d"), {":dirs": "d"})

    def test_identities_and_sessions(self):
        lab.must(PROGRAM, "identity", "add", "vpn")
        lab.must(PROGRAM, "identity", "add", "mail")
        self.assertEqual(sorted(names("identity", "remove", "")), ["mail", "vpn"])
        self.assertEqual(names("identity", "uri", "v"), ["vpn"])
        self.assertEqual(names("session", "clear", ""), [])

    def test_handles(self):
        """Asked of the TPM that the line names; one that would have to be made is left alone."""
        absent = {"TPMTLS_TPM": "embedded:" + lab.path("absent")}
        self.assertEqual(names("key", "evict", "", env=absent), [])
        self.assertFalse(os.path.exists(lab.path("absent")))
        lab.must(PROGRAM, "key", "create", "-o", "k.pem", "--persist", "0x81000010")
        self.assertIn("0x81000010", names("key", "evict", ""))
        self.assertEqual(names("key", "evict", "0x8100001"), ["0x81000010"])
        self.assertIn("handle:0x81000010", names("connect", "--key", "handle:"))
        self.assertEqual(names("connect", "--key=handle:0x8100001"), ["--key=handle:0x81000010"])
        self.assertEqual(names("connect", "--key", "h"), [":files", "handle:"])
        other = lab.path("other-tpm")
        self.assertEqual(names("--tpm", "embedded:" + other, "key", "evict", "0x"), [])
        self.assertFalse(os.path.exists(other))

    def test_unknown_shell(self):
        done = lab.tpmtls("completion", "csh")
        self.assertEqual(done.code, 2)
        self.assertIn("bash, zsh, fish or words", done.err)


class Terminal:
    """bash at a terminal of its own, with the script read."""

    def __init__(self, lab):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(lab.dir)
            env = dict(lab.env, PS1="ready> ", TERM="dumb", HISTFILE="/dev/null", INPUTRC="/dev/null")
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
        self.text = ""
        self.read_until(r"ready> ")
        self.line("bind 'set bell-style none'; source ./completion.bash")

    def read_until(self, pattern, seconds=20):
        limit = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            if time.monotonic() > limit or not select.select([self.fd], [], [], 1)[0]:
                if time.monotonic() > limit:
                    raise AssertionError("no %r in %r" % (pattern, self.text))
                continue
            self.text += os.read(self.fd, 65536).decode("utf-8", "replace")

    def line(self, text):
        self.text = ""
        os.write(self.fd, text.encode() + b"\n")
        self.read_until(r"ready> $")

    def close(self):
        os.write(self.fd, b"exit\n")
        os.close(self.fd)
        os.waitpid(self.pid, 0)


class Bash(unittest.TestCase):
    """What stands on the line after TAB, as the program gets it."""

    def setUp(self):
        self.terminal = Terminal(lab)
        self.addCleanup(self.terminal.close)

    def completed(self, text):
        if os.path.exists(lab.path("words")):
            os.unlink(lab.path("words"))
        self.terminal.line(text + "\t")
        return lab.read("words").decode()

    def test_lines(self):
        cases = [
            ("tpmtls conn", "<connect>"),
            ("tpmtls key cre", "<key><create>"),
            ("tpmtls key create --typ", "<key><create><--type>"),
            ("tpmtls key create --type p25", "<key><create><--type><p256>"),
            ("tpmtls key create --type=p25", "<key><create><--type=p256>"),
            ("tpmtls --json key create --type=rsa3", "<--json><key><create><--type=rsa3072>"),
            ("tpmtls csr --san D", "<csr><--san><DNS:>"),
            ("tpmtls connect --ca device.p", "<connect><--ca><device.pem>"),
            ("tpmtls connect --ca=device.p", "<connect><--ca=device.pem>"),
            ("tpmtls connect --ca odd", "<connect><--ca><odd name.pem>"),
            ("tpmtls ca list --dir di", "<ca><list><--dir><dir/>"),
            ("tpmtls connect --groups x25519,secp3", "<connect><--groups><x25519,secp384r1>"),
            ("tpmtls connect --suites TLS_AES_1", "<connect><--suites><TLS_AES_128_GCM_SHA256>"),
            ("tpmtls connect --key 'device.k", "<connect><--key><device.key>"),
            ("tpmtls nonsense cre", "<nonsense><cre>"),
        ]
        got = [(text, self.completed(text)) for text, _ in cases]
        self.assertEqual(got, cases)

    def test_handles(self):
        lab.tpmtls("key", "create", "-o", "h.pem", "--persist", "0x81000020")
        self.assertEqual(self.completed("tpmtls key persist h.pem 0x8100002"), "<key><persist><h.pem><0x81000020>")
        self.assertEqual(self.completed("tpmtls csr --key handle:0x8100002"), "<csr><--key><handle:0x81000020>")
        self.assertEqual(self.completed("tpmtls csr --key=handle:0x8100002"), "<csr><--key=handle:0x81000020>")


class Others(unittest.TestCase):
    def test_fish(self):
        if shutil.which("fish") is None:
            self.skipTest("fish is not installed")
        lab.must("fish", "--no-execute", "completion.fish")
        for text, expected in (("tpmtls key cre", ["create"]), ("tpmtls ca sign --profile=se", ["--profile=server"]),
                               ("tpmtls csr --key device", ["device.key", "device.pem"]),
                               ("tpmtls csr --key=device.k", ["--key=device.key"])):
            done = lab.must("fish", "--no-config", "-c", "source completion.fish; complete -C '%s'" % text)
            got = [line.split("\t")[0] for line in done.out.decode().splitlines()]
            self.assertEqual(got, expected)

    def test_zsh(self):
        if shutil.which("zsh") is None:
            self.skipTest("zsh is not installed")
        lab.must("zsh", "-n", "completion.zsh")
        # Its function, with what zsh's own would be told written down.
        done = lab.must("zsh", "-fc", "compdef() { :; }; compadd() { print -r -- compadd $@ }; compset() { print compset $@ }; "
                        "_files() { print files $@ }; source ./completion.zsh; "
                        "words=(tpmtls key create --type rsa2); CURRENT=5; _tpmtls; "
                        "words=(tpmtls csr --key ''); CURRENT=4; _tpmtls; "
                        "words=(tpmtls ca list --dir d); CURRENT=5; _tpmtls")
        self.assertEqual(done.out.decode().splitlines(),
                         ["compadd -l -d plain_shown -- rsa2048", "compset -P --*=", "files",
                          "compadd -S -l -d begun_shown -- handle:", "compset -P --*=", "files -/"])


if __name__ == "__main__":
    harness.tap_main()
