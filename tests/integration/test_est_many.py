"""tests/integration/test_est_many.py: two `tpmtls ca serve` on one PostgreSQL: one is killed while it issues, then the database
goes and comes back. What was answered is in the store, no serial number comes twice, who is left goes on."""
import json
import os
import random
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ca"))
import harness  # noqa: E402
from postgres import Database, Skip  # noqa: E402

PROGRAM = harness.PROGRAM
DEVICES = 4  # that ask each service, one request after the other
KILLS = 3


class Fleet(unittest.TestCase):
    def setUp(self):
        try:
            self.db = Database()
        except Skip as why:
            self.skipTest(str(why))
        self.addCleanup(self.db.close)
        self.lab = lab = harness.Lab()
        self.addCleanup(lab.close)
        lab.must(PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Fleet CA", "--store", self.db.url)
        lab.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "server.key")
        os.chmod(lab.path("server.key"), 0o600)
        lab.write("server.csr", lab.must("openssl", "req", "-new", "-key", "server.key", "-subj", "/CN=localhost", "-addext",
                                         "subjectAltName=DNS:localhost").out)
        lab.must(PROGRAM, "ca", "sign", "--dir", "ca", "--profile", "server", "server.csr", "-o", "server.pem")
        lab.write("ca.conf", "[ca]\ndir = ca\nlisten = 127.0.0.1:0\nrate = 0\nkey = server.key\ncert = server.pem\n")
        self.word = lab.must(PROGRAM, "ca", "token", "create", "--dir", "ca", "--uses", "100000").out.decode().split()[-1]
        self.answered, self.lock, self.over = [], threading.Lock(), threading.Event()

    def start(self):
        s = self.lab.background(PROGRAM, "ca", "serve", "ca.conf")
        self.addCleanup(s.__exit__)
        s.port = s.wait_for(r"address=127.0.0.1:(\d+) for=est").group(1)
        return s

    def ask(self, port, number):
        """The status, and the serial number of what was issued."""
        name = "r%d" % number
        subject = "/CN=d-%d-%d" % (number, random.getrandbits(60))
        der = self.lab.must("openssl", "req", "-new", "-key", "server.key", "-subj", subject, "-outform", "DER").out
        self.lab.write(name, subprocess.run(["base64"], input=der, stdout=subprocess.PIPE, check=True).stdout)
        done = self.lab.run("curl", "-sS", "-o", name + ".out", "-w", "%{http_code}", "--max-time", "30", "--cacert", "ca/ca.pem", "-u",
                            "x:" + self.word, "--data-binary", "@" + name, "-H", "Content-Type: application/pkcs10",
                            "https://localhost:%s/.well-known/est/simpleenroll" % port)
        if done.code != 0 or done.out != b"200":
            return int(done.out or b"0"), None
        der = subprocess.run(["base64", "-d"], input=self.lab.read(name + ".out"), stdout=subprocess.PIPE, check=True).stdout
        pem = self.lab.must("openssl", "pkcs7", "-inform", "DER", "-print_certs", stdin=der).out
        return 200, self.lab.must("openssl", "x509", "-noout", "-serial", stdin=pem).out.decode().strip().split("=")[1].lower()

    def device(self, port, number):
        while not self.over.is_set():
            status, serial = self.ask(port, number)
            if status == 200:
                with self.lock:
                    self.answered.append(serial)
            elif status == 0:
                return  # the service is gone

    def load(self, s, first):
        threads = [threading.Thread(target=self.device, args=(s.port, first + i)) for i in range(DEVICES)]
        for t in threads:
            t.start()
        return threads

    def more_than(self, n, seconds=40):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.lock:
                if len(self.answered) > n:
                    return
            time.sleep(0.02)
        self.fail("only %d certificates" % len(self.answered))

    def whole(self):
        listed = [e["serial"].lower() for e in json.loads(self.lab.must(PROGRAM, "--json", "ca", "list", "--dir", "ca").out)]
        self.assertEqual(len(listed), len(set(listed)))
        self.assertEqual(set(self.answered) - set(listed), set())
        self.assertEqual(len(self.answered), len(set(self.answered)))
        self.lab.must(PROGRAM, "ca", "audit", "verify", "--dir", "ca")

    def test_one_of_two_is_killed(self):
        stays = self.start()
        threads = self.load(stays, 0)
        for i in range(KILLS):
            other = self.start()
            threads += self.load(other, DEVICES * (i + 1))
            self.more_than(len(self.answered) + DEVICES)
            time.sleep(random.random() * 0.2)
            other.process.kill()
            other.finish()
        self.more_than(len(self.answered) + DEVICES)
        self.over.set()
        for t in threads:
            t.join()
        self.whole()
        self.assertEqual(stays.stop().code, 0)

    def test_the_database_goes_and_comes_back(self):
        s = self.start()
        threads = self.load(s, 0)
        self.more_than(DEVICES)
        self.db.crash()
        try:
            statuses = [self.ask(s.port, 99)[0] for _ in range(3)]  # the first waits for the database for a while
        finally:
            self.db.start()
        self.assertEqual(statuses, [503] * 3)
        self.more_than(len(self.answered) + DEVICES)
        self.over.set()
        for t in threads:
            t.join()
        self.whole()
        self.assertIn("event=issue_failed", s.text.decode("utf-8", "replace"))
        self.assertEqual(s.stop().code, 0)


if __name__ == "__main__":
    harness.tap_main()
