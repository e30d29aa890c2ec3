"""The pages that people type from: README's list by hand and docs/recipes/, block after block as they stand, in a network of
their own; and the examples of the manual page."""
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import harness
import recipes
from harness import PROGRAM, ROOT
from swtpm import Swtpm

MODULE = os.environ.get("TPMTLS_PKCS11", "")
ENGINES = subprocess.run(["openssl", "version", "-e"], stdout=subprocess.PIPE, text=True, check=True).stdout.split('"')[1]
MODULES = subprocess.run(["openssl", "version", "-m"], stdout=subprocess.PIPE, text=True, check=True).stdout.split('"')[1]
POSTGRES = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
# What is not a program of that name.
HAS = {
    "engine-pkcs11": lambda: os.path.exists(ENGINES + "/pkcs11.so") and os.path.exists(MODULE),
    "tpm2-openssl": lambda: os.path.exists(MODULES + "/tpm2.so"),
}
INSTALLED = "/usr/lib/*/pkcs11/libtpmtls-pkcs11.so"  # where the package puts the module; here it is MODULE


def ordinary_user():
    """How root becomes nobody; nothing, where we are not root."""
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    able = os.getuid() == 0 and subprocess.run(command + ["true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    return command if able else []


def readable(user, path):
    return not user or subprocess.run(user + ["test", "-r", path], check=False).returncode == 0


class Desk:
    """A directory to type in: tpmtls in PATH, a TPM, a network of one's own where that can be had; root becomes an ordinary
    user, as whom people type."""

    def __init__(self, tpm="embedded"):
        self.dir = tempfile.mkdtemp(prefix="tpmtls-docs.")
        self.swtpm = None
        os.makedirs(os.path.join(self.dir, "bin"))
        os.makedirs(os.path.join(self.dir, "work"))
        self.user = ordinary_user()
        self.put(PROGRAM, "bin/tpmtls")
        self.module = self.put(MODULE, "bin/module.so") if os.path.exists(MODULE) else MODULE
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("TPMTLS_TPM", "XDG_", "OPENSSL_CONF"))}
        self.env.update(PATH=":".join([os.path.join(self.dir, "bin"), os.environ["PATH"], "/usr/sbin"] + POSTGRES), LC_ALL="C",
                        HOME=os.path.join(self.dir, "home"), TSS2_LOG="all+none",
                        TPMTLS_IDENTITIES=os.path.join(self.dir, "identities"))
        os.mkdir(self.env["HOME"])
        if tpm == "swtpm":
            self.swtpm = Swtpm(os.path.join(self.dir, "swtpm"))
            for name in ("TPMTLS_TPM", "TPM2OPENSSL_TCTI", "TPM2TOOLS_TCTI"):
                self.env[name] = self.swtpm.tcti
        else:
            self.env["TPMTLS_TPM"] = "embedded:" + os.path.join(self.dir, "tpm")
        self.give_away()

    @staticmethod
    def can_be_somebody():
        return bool(ordinary_user())

    def put(self, path, name):
        """What was built, where whoever types can read it."""
        to = os.path.join(self.dir, name)
        if readable(self.user, path):
            os.symlink(path, to)
        else:
            shutil.copy(path, to)
        return to

    def give_away(self):
        if self.user:
            for at, dirs, files in os.walk(self.dir):
                for name in dirs + files + ["."]:
                    os.chown(os.path.join(at, name), 65534, 65534, follow_symlinks=False)

    def namespace(self):
        for flags in (["-n"], ["-rn"]):
            done = subprocess.run(["unshare", *flags, "ip", "link", "set", "lo", "up"], stderr=subprocess.DEVNULL, check=False)
            if done.returncode == 0:
                return ["unshare", *flags, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        return []

    def type(self, text, seconds=120):
        """(exit code, what was printed); everything that was started ends."""
        path = os.path.join(self.dir, "script")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(INSTALLED, self.module))
        process = subprocess.Popen(self.namespace() + self.user + ["bash", path], cwd=os.path.join(self.dir, "work"), env=self.env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            out = process.stdout.read() if self._ends(process, seconds) else b"(it took too long)"
            return process.wait(5), out.decode("utf-8", "replace")
        finally:
            process.stdout.close()

    def _ends(self, process, seconds):
        """Programs in the background hold the pipe: they end with the script."""
        try:
            process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False
        finally:
            try:
                os.killpg(process.pid, signal.SIGTERM if process.poll() is not None else signal.SIGKILL)
            except ProcessLookupError:
                pass

    def close(self):
        if self.swtpm:
            self.swtpm.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


def pages():
    return sorted(glob.glob(os.path.join(ROOT, "docs/recipes/*.md")))


class Recipes(unittest.TestCase):
    def run_page(self, name):
        page = recipes.Page(os.path.join(ROOT, "docs/recipes", name))
        absent = [need for need in page.needs if not recipes.exists(need, HAS)]
        if absent:
            self.skipTest("not here: " + ", ".join(absent))
        blocks = [b for b in page.blocks if b.reason is None and all(recipes.exists(need, HAS) for need in b.needs)]
        if os.getuid() == 0 and not Desk.can_be_somebody() and "nginx" in page.needs:
            self.skipTest("nginx's workers are not root, and root cannot become another user here")
        if name != "start.md" and page.tpm == "embedded":
            blocks = recipes.Page(os.path.join(ROOT, "docs/recipes/start.md")).blocks + blocks
        desk = Desk(page.tpm)
        self.addCleanup(desk.close)
        code, out = desk.type(recipes.script(blocks))
        self.assertEqual(code, 0, out)
        for block, line in recipes.missing_lines(out, blocks):
            self.fail("%s:%d: does not print %r; but\n%s" % (name, block.line, line, out))

    def test_the_pages_are_well_written(self):
        bad = [text for path in pages() for text in recipes.complaints(recipes.Page(path))]
        self.assertEqual(bad, [])
        with open(os.path.join(ROOT, "docs/recipes/README.md"), encoding="utf-8") as f:
            listed = set(re.findall(r"\]\((\S+\.md)\)", f.read()))
        self.assertEqual(listed, {os.path.basename(path) for path in pages()} - {"README.md"})

    def test_links(self):
        """Every link of README and docs/ leads somewhere."""
        bad = []
        for path in glob.glob(os.path.join(ROOT, "*.md")) + glob.glob(os.path.join(ROOT, "docs/**/*.md"), recursive=True):
            with open(path, encoding="utf-8") as f:
                for to in re.findall(r"\]\(([^)#\s]+)[^)]*\)", f.read()):
                    if "://" not in to and not os.path.exists(os.path.join(os.path.dirname(path), to)):
                        bad.append("%s: %s" % (os.path.relpath(path, ROOT), to))
        self.assertEqual(bad, [])


def page_test(name):
    def test(self):
        self.run_page(name)
    return test


for page_path in pages():
    base = os.path.basename(page_path)
    if base != "README.md":
        setattr(Recipes, "test_" + re.sub(r"\W", "_", base[:-3]), page_test(base))


class Readme(unittest.TestCase):
    def test_by_hand(self):
        desk = Desk()
        self.addCleanup(desk.close)
        code, out = desk.type(recipes.script([recipes.hand_list(os.path.join(ROOT, "README.md"))]))
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"handshake with localhost:8883: .* TPM: 1 command")


class Postgres(unittest.TestCase):
    """The blocks of postgresql.md that root cannot run."""

    def test_not_as_root(self):
        if not POSTGRES or not HAS["engine-pkcs11"]():
            self.skipTest("not here: postgres, or libengine-pkcs11-openssl")
        desk = Desk()
        self.addCleanup(desk.close)
        if os.getuid() == 0 and not desk.user:
            self.skipTest("root cannot become another user here, and runs no postgres")
        blocks = [block for name in ("start.md", "postgresql.md")
                  for block in recipes.Page(os.path.join(ROOT, "docs/recipes", name)).blocks]
        code, out = desk.type(recipes.script(blocks))
        self.assertEqual(code, 0, out)
        self.assertIn("device-1\n", out)
        self.assertIn("connected as CN=localhost", out)


# What has to be there before the example of a command is run; the order is that of the keys, then that of the manual page.
# BACKGROUND: it goes on while the others run.
BEFORE = {
    "key create": "openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.key",
    "attest ek": "(umask 077; openssl rand -hex 32 >token.key)",
    "attest make": "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout vendor.key -subj /CN=Vendor -out vendor.pem 2>/dev/null\n"
                   "openssl req -new -key vendor.key -subj / -out ek.csr\n"
                   "printf 'extendedKeyUsage=2.23.133.8.1\\n' >ek.ext\n"
                   "openssl x509 -req -in ek.csr -force_pubkey ek.pub -CA vendor.pem -CAkey vendor.key -extfile ek.ext -out ek.pem\n"
                   "printf 'ek-roots = vendor.pem\\n' >policy.ini\ntpmtls key create -o attested.key",
    "attest show": "", "attest verify": "", "attest challenge": "", "attest nonce": "",
    "csr": "", "ca init": "", "ca sign": "",
    "key wrap": "tpmtls key srk -o srk.pub", "key srk": "rm srk.pub",
    "policy sign": "openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out policy.key\n"
                   "openssl pkey -in policy.key -pubout -out policy.pub\ntpmtls key create -o bound.key --policy-key policy.pub",
    "identity uri": "tpmtls identity add vpn --key device.key --cert device.pem", "identity remove": "", "identity add": "",
    "serve": "tpmtls key create -o server.key\n"
             "tpmtls csr --key server.key --subject /CN=localhost --san DNS:localhost -o server.csr\n"
             "tpmtls ca sign --dir ca server.csr --profile server -o server.pem",
    "connect": "",
    "ca revoke": "", "ca unrevoke": "", "ca token create": "",
    "ca approve": "python3 -c \"import sqlite3; d = sqlite3.connect('ca/ca.db'); "
                  "d.execute('update request set state = char(112,101,110,100,105,110,103) where number < 3'); d.commit()\"",
    "proxy client": "", "proxy server": "",
    "proxy run": "printf '[client out]\\nlisten = 127.0.0.1:8445\\nconnect = localhost:4433\\nca = ca/ca.pem\\n' >proxy.conf",
    "proxy check": "",
    "ca serve": "printf '[ca]\\ndir = ca\\nlisten = 127.0.0.1:8446\\nkey = server.key\\ncert = server.pem\\n' >ca.conf",
    "enroll": "tpmtls --json ca token create --dir ca --expires 1h | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"token\"])' >token\nchmod 600 token",
    "renew": "",
    "session clear": "tpmtls connect localhost:4433 --ca ca/ca.pem --key device.key --cert device.pem --resume sealed </dev/null",
}
BACKGROUND = {"serve": "", "proxy client": " # listens on 8443", "proxy server": " # listens on 8444",
              "proxy run": " # listens on 8445", "ca serve": " # listens on 8446"}
ALTERNATIVES = {"ech-key": "rm -f server.ech"}  # between the lines of an example that are not to follow each other


def leaves(command, path=()):
    if not command["commands"]:
        yield " ".join(path), command
    for below in command["commands"]:
        yield from leaves(below, path + (below["name"],))


class Examples(unittest.TestCase):
    """The example of each command, in --help and the manual page."""

    def script_of(self, name, example):
        lines = [line.strip() for line in example.splitlines()]
        if name in BACKGROUND:
            lines = [line + " &" + BACKGROUND[name] for line in lines]
        text = ("\n%s\n" % ALTERNATIVES.get(name, "")).join(lines)
        return recipes.Block("%s\n%s" % (BEFORE.get(name, ""), text), 0, None, [])

    def test_every_command_has_one_that_runs(self):
        desk = Desk()
        self.addCleanup(desk.close)
        tree = harness.json.loads(subprocess.run((PROGRAM, "help", "--json"), stdout=subprocess.PIPE, check=True).stdout)
        commands = dict(leaves(tree))
        self.assertEqual([name for name, c in commands.items() if not c["example"]], [])
        for name, c in commands.items():
            self.assertIn("tpmtls " + name, c["example"], name)
        order = [name for name in BEFORE if name in commands] + [name for name in commands if name not in BEFORE]
        blocks = [self.script_of(name, commands[name]["example"]) for name in order]
        code, out = desk.type(recipes.script(blocks))
        last = re.findall(r"^### block (\d+)", out, re.M)
        self.assertEqual(code, 0, "the example of `tpmtls %s`: BEFORE in test_docs.py is what it finds\n%s" %
                         (order[int(last[-1])] if last else "?", out))
        self.assertIn("\nhello\n", out)  # what `connect` got back from `serve --echo`


class Runner(unittest.TestCase):
    """The control: what the runner must find."""

    def page(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".md") as f:
            f.write(text)
            f.flush()
            return recipes.Page(f.name)

    def type(self, text):
        page = self.page(text)
        desk = Desk()
        self.addCleanup(desk.close)
        code, out = desk.type(recipes.script(page.blocks))
        return code, [line for _, line in recipes.missing_lines(out, page.blocks)]

    def test_finds(self):
        self.assertEqual(self.type("```sh\necho one two\n```\n```text\none  two\no ... o\n```\n"), (0, []))
        self.assertEqual(self.type("```sh\necho one\n```\n```text\ntwo\n```\n"), (0, ["two"]))
        self.assertEqual(self.type("```sh\necho two\n```\n```sh\necho one\n```\n```text\ntwo\n```\n"), (0, ["two"]))
        self.assertEqual(self.type("```sh\nfalse\n```\n```sh\ntrue\n```\n")[0], 1)
        self.assertEqual(self.type("```sh\ntpmtls no-such-command\n```\n")[0], 2)

    def test_complains(self):
        self.assertEqual(len(list(recipes.complaints(self.page("<!-- not run: later -->\n```sh\nx\n```\n")))), 1)
        self.assertEqual(len(list(recipes.complaints(self.page("<!-- not run: it needs a chip of metal -->\n```sh\nx\n```\n```text\ny\n```\n")))), 1)
        with self.assertRaises(ValueError):
            self.page("```bash\nx\n```\n")
        with self.assertRaises(ValueError):
            recipes.waited("something &")
        self.assertIn("await_port 8443", recipes.waited("serve localhost:8443 &"))
        self.assertIn("await_port 99", recipes.waited("x &   # listens on 99"))
        self.assertNotIn("await_port", recipes.waited("a && b"))


if __name__ == "__main__":
    harness.tap_main()
