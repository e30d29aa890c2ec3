"""tests/limbo/test_limbo.py: that scripts/limbo sees what is wrong, with a small suite made here: a good chain, and one
whose leaf breaks a rule."""

import json
import os
import subprocess
import sys
import unittest

import harness

JUDGE = os.environ["LIMBO_JUDGE"]
SCRIPT = os.path.join(harness.ROOT, "scripts", "limbo")
LAB = harness.Lab()


def setUpModule():
    LAB.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
             "-out", "ca.pem", "-days", "30", "-subj", "/CN=CA", "-addext", "keyUsage=critical,keyCertSign")
    for name, san in (("good", "DNS:host.example"), ("odd", "DNS:host.example,DNS:.host.example")):
        LAB.must("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key",
                 "-out", name + ".csr", "-subj", "/CN=" + name)
        with open(LAB.path(name + ".ext"), "w", encoding="utf-8") as f:
            f.write("subjectAltName=%s\n" % san)
        LAB.must("openssl", "x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                 "-days", "20", "-extfile", name + ".ext", "-out", name + ".pem")


def tearDownModule():
    LAB.close()


def pem(name):
    with open(LAB.path(name + ".pem"), encoding="utf-8") as f:
        return f.read()


def case(name, leaf, expected, **more):
    return {"id": name, "validation_kind": "SERVER", "trusted_certs": [pem("ca")], "untrusted_intermediates": [],
            "peer_certificate": pem(leaf), "validation_time": None, "key_usage": [], "expected_result": expected,
            "expected_peer_name": {"kind": "DNS", "value": "host.example"}, "crls": [], "max_chain_depth": None, **more}


def suite(*cases):
    path = LAB.path("suite.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"version": 1, "testcases": cases}, f)
    return path


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=harness.TIMEOUT, check=False)
    return done.returncode, done.stdout, done.stderr


class Judge(unittest.TestCase):
    def test_verdicts(self):
        path = suite(case("a", "good", "SUCCESS"), case("b", "odd", "FAILURE"),
                     case("c", "good", "FAILURE", expected_peer_name={"kind": "DNS", "value": "other.example"}),
                     case("d", "good", "SUCCESS", expected_peer_name={"kind": "RFC822", "value": "a@b.example"}),
                     case("e", "good", "FAILURE", validation_time="2001-01-01T00:00:00+00:00"))
        code, out, _ = run(JUDGE, path)
        self.assertEqual((code, [line.split("\t")[:2] for line in out.splitlines()]),
                         (0, [["a", "SUCCESS"], ["b", "FAILURE"], ["c", "FAILURE"], ["d", "SKIPPED"], ["e", "FAILURE"]]))
        code, out, _ = run(JUDGE, "--libcrypto", path)
        self.assertEqual(code, 0)
        self.assertEqual([line.split("\t")[1] for line in out.splitlines()][-1], "FAILURE")

    def test_no_suite(self):
        code, _, err = run(JUDGE, LAB.path("ca.pem"))
        self.assertEqual(code, 2)
        self.assertIn("limbo: ", err)


class Script(unittest.TestCase):
    def test_each_case_that_is_known_has_a_reason(self):
        self.assertEqual(run(sys.executable, SCRIPT, "--check"), (0, "", ""))

    def test_what_is_wrong_is_said(self):
        code, out, _ = run(sys.executable, SCRIPT, "--judge", JUDGE, suite(case("a", "good", "FAILURE")))
        self.assertEqual(code, 1)
        self.assertIn("limbo: a: SUCCESS, and no reason is given", out)
        self.assertIn("stale: there is no such case", out)
        self.assertIn("tpmtls         1 cases: 0 skipped, 1 judged otherwise: 1 accepted, 0 refused", out)


if __name__ == "__main__":
    harness.tap_main()
