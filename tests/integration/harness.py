"""tests/integration/harness.py: what the integration tests share: a temporary directory with an embedded TPM, keys
and certificates in it, programs with bounded run times, and TAP output. Servers bind 127.0.0.1 and a free port only.
Processes are ended by their own id; the directory is removed in the end."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import schema

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("TPMTLS_PROGRAM", os.path.join(ROOT, "build", "tpmtls")))
TIMEOUT = 60  # seconds for any one program; a test that needs them has failed


def before(variable, folder):
    """A search path of the environment with one more folder before the others."""
    return ":".join(filter(None, (folder, os.environ.get(variable))))


# The environment in which tss2 finds the lab's TCTI.
LAB_TCTI = {"LD_LIBRARY_PATH": before("LD_LIBRARY_PATH", os.environ.get("TPMTLS_LIBDIR", os.path.dirname(PROGRAM)))}


def check_events(stderr):
    """With --json nothing but events, as docs/json.md has them, is on stderr; a sanitizer's report is another matter."""
    for line in stderr.decode("utf-8", "replace").split("\n"):  # a name may have U+2028, where splitlines splits
        if line.startswith("{"):
            schema.check_event(json.loads(line))


def check_output(command, stdout):
    """The result of a command is as docs/json.md has it."""
    words = [word for word in command if not word.startswith("-")]
    for name in schema.OUTPUTS:
        parts = name.split()
        if stdout[:1] in (b"{", b"[") and any(words[i:i + len(parts)] == parts for i in range(len(words))):
            schema.check_output(name, json.loads(stdout))
            return


class Result:
    """What a program did."""

    def __init__(self, code, out, err):
        self.code, self.out = code, out
        self.err = err.decode("utf-8", "replace")

    def events(self, name):
        """The JSON events of that name on stderr."""
        found = [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]
        return [event for event in found if event["event"] == name]


class Background:
    """A program that runs until it is told to stop; its stderr (and stdout) are collected."""

    def __init__(self, command, env, cwd):
        self.command = command
        # stdin stays open and silent: `openssl s_server` ends when it ends.
        self.process = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.text, self.lock = b"", threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            with self.lock:
                self.text += data
                self.lock.notify_all()
            if not data:
                return

    def wait_for(self, pattern, seconds=20):
        """The match of a pattern in what it printed."""
        limit = time.monotonic() + seconds
        with self.lock:
            while True:
                match = re.search(pattern, self.text.decode("utf-8", "replace"))
                if match:
                    return match
                left = limit - time.monotonic()
                ended = self.process.poll() is not None and not self.reader.is_alive()
                if left <= 0 or ended:
                    raise AssertionError("%s: no '%s' in:\n%s" % (self.command[0], pattern, self.text.decode("utf-8", "replace")))
                self.lock.wait(min(left, 0.2))

    def finish(self, seconds=20):
        """Wait for it to end by itself."""
        code = self.process.wait(seconds)
        self.process.stdin.close()
        self.reader.join(seconds)
        self.process.stdout.close()
        return Result(code, b"", self.text)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.finish()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.finish()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if not self.process.stdout.closed:
            self.stop()


class Lab:
    """A directory with a TPM, a CA, keys and certificates. Made once a test program."""

    KINDS = ("p256", "rsa2048")

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="tpmtls-test.")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("TPMTLS_")}
        self.env["TPMTLS_TPM"] = "embedded:" + self.path("tpm")
        self.env["LC_ALL"] = "C"

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return name

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def namespace_command(self):
        """How a program gets a network namespace of its own here, or None."""
        for flags in (["-n"], ["-rn"]):
            if self.run("unshare", *flags, "ip", "link", "set", "lo", "up").code == 0:
                return ["unshare", *flags]
        return None

    def run(self, *command, stdin=b"", env=None, timeout=TIMEOUT):
        done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir,
                              env=dict(self.env, **(env or {})), timeout=timeout, start_new_session=True, check=False)
        if command[0] == PROGRAM and "--json" in command:
            check_events(done.stderr)
            check_output(command, done.stdout)
        return Result(done.returncode, done.stdout, done.stderr)

    def tpmtls(self, *args, **kw):
        return self.run(PROGRAM, *args, **kw)

    def must(self, *command, **kw):
        done = self.run(*command, **kw)
        if done.code != 0:
            raise AssertionError("%s: exit code %d\n%s" % (" ".join(command), done.code, done.err))
        return done

    def background(self, *command):
        return Background(command, self.env, self.dir)

    def serve(self, *args, key="server-p256", options=(), at="127.0.0.1:0"):
        """tpmtls serve; .port is set."""
        server = self.background(PROGRAM, *options, "serve", at, "--key", key + ".key", "--cert", key + ".pem", *args)
        server.port = server.wait_for(r'(?:listening on |"address":")[^"\s]*:(\d+)').group(1)
        return server

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- keys and certificates ----

    def make_identities(self):
        """CA "ca"; for each kind of TPM key a server-KIND and a client-KIND; a software key "soft"."""
        self.must(PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")
        self.must(PROGRAM, "ca", "init", "--dir", "other", "--subject", "/CN=Other CA")
        for kind in self.KINDS:
            self.tpm_identity("server-" + kind, kind, "/CN=localhost", "server", "DNS:localhost", "IP:127.0.0.1", "IP:::1")
            self.tpm_identity("client-" + kind, kind, "/O=Example/CN=device-" + kind, "client")
        self.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
        self.openssl_request("soft")
        self.must(PROGRAM, "ca", "sign", "--dir", "ca", "soft.csr", "--profile", "both", "-o", "soft.pem")

    def tpm_identity(self, name, kind, subject, profile, *sans):
        self.must(PROGRAM, "key", "create", "--type", kind, "-o", name + ".key")
        named = [word for san in sans for word in ("--san", san)]
        self.must(PROGRAM, "csr", "--key", name + ".key", "--subject", subject, *named, "-o", name + ".csr")
        self.must(PROGRAM, "ca", "sign", "--dir", "ca", name + ".csr", "--profile", profile, "-o", name + ".pem")

    def openssl_request(self, name, key="soft.key"):
        self.must("openssl", "req", "-new", "-key", key, "-subj", "/CN=localhost", "-addext",
                  "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", name + ".csr")

    def dated_certificate(self, name, start, end):
        """A certificate for soft.key of our CA with dates of our choice, which only `openssl ca` lets us choose."""
        self.openssl_request(name)
        self.write(name + ".txt", "")
        self.write(name + ".cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=%s.txt\nnew_certs_dir=.\nrand_serial=yes\n"
                   "default_md=sha256\npolicy=p\ncopy_extensions=copy\nunique_subject=no\nx509_extensions=x\n[p]\n"
                   "commonName=supplied\n[x]\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n" % name)
        self.must("openssl", "ca", "-batch", "-notext", "-config", name + ".cnf", "-cert", "ca/ca.pem", "-keyfile",
                  "ca/ca.key", "-startdate", start, "-enddate", end, "-in", name + ".csr", "-out", name + ".pem")


class OneShotServer:
    """A TCP server in a thread: accepts one connection and hands it to a function."""

    def __init__(self, talk):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = str(self.listener.getsockname()[1])
        self.listener.settimeout(TIMEOUT)
        self.thread = threading.Thread(target=self._serve, args=(talk,), daemon=True)
        self.thread.start()

    def _serve(self, talk):
        try:
            peer, _ = self.listener.accept()
        except OSError:
            return
        with peer:
            peer.settimeout(TIMEOUT)
            try:
                talk(peer)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.close()
        self.thread.join(TIMEOUT)


class Tap(threading.Thread):
    """A TCP proxy in front of a port; what the client of its n-th connection sent is in .sent[n]."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.to, self.sent = int(port), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = str(self.listener.getsockname()[1])
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            self.sent.append(b"")
            number = len(self.sent) - 1
            threading.Thread(target=self.pump, args=(client, server, number), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, None), daemon=True).start()

    def pump(self, source, sink, number):
        try:
            while True:
                data = source.recv(65536)
                if number is not None:
                    self.sent[number] += data
                if not data:
                    break
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Programs(threading.Thread):
    """talk(socket) for each connection, in a thread."""

    def __init__(self, talk):
        super().__init__(daemon=True)
        self.talk, self.listener, self.ended = talk, socket.create_server(("127.0.0.1", 0), backlog=256), threading.Semaphore(0)
        self.at = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer:
            peer.settimeout(TIMEOUT)
            try:
                self.talk(peer)
            except OSError:
                pass
        self.ended.release()


class TapResult(unittest.TestResult):
    """TAP on stdout, one line a test."""

    def __init__(self, tests):
        super().__init__()
        self.count, self.names = 0, [test.id().split(".", 1)[1] for test in tests]
        print("TAP version 13\n1..%d" % len(self.names), flush=True)

    def _names(self, test):
        """The tests a verdict is about: of a class or a module that does not begin, all of them."""
        of = re.match(r"(?:setUp|tearDown)(Class|Module) \(\w+\.?(\w*)\)$", test.id())
        if not of:
            return [test.id().split(".", 1)[1]]
        return [name for name in self.names if of[1] == "Module" or name.split(".")[0] == of[2]]

    def _line(self, test, ok, note=""):
        for name in self._names(test):
            self.count += 1
            print("%sok %d - %s%s" % ("" if ok else "not ", self.count, name, note), flush=True)

    def _bad(self, test, err):
        for line in self._exc_info_to_string(err, test).splitlines():
            print("# " + line)
        self._line(test, False)

    def addSuccess(self, test):
        self._line(test, True)

    def addError(self, test, err):
        super().addError(test, err)
        self._bad(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._bad(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line(test, True, " # SKIP " + reason)


def tap_main(module="__main__"):
    """Run the tests of a module, or those whose names contain a word of the command line."""
    suite = unittest.TestSuite()
    for group in unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module]):
        for test in group:
            if len(sys.argv) < 2 or any(word in test.id() for word in sys.argv[1:]):
                suite.addTest(test)
    result = TapResult(list(suite))
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
