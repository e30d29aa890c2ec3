"""tests/bogo/test_shim.py: what the shim answers the runner before it connects, and that scripts/bogo sees what is
wrong: with config.json itself, and with results that do not fit it. A stand-in plays the runner."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import harness

SHIM = os.environ["BOGO_SHIM"]
SCRIPT = os.path.join(harness.ROOT, "scripts", "bogo")
RUNNER = """#!%s
import json, sys
args = dict(zip(sys.argv[1:], sys.argv[2:]))
results = json.loads(%r)
wanted = args["-test"].split(";")
with open(args["-json-output"], "w") as f:
    json.dump({"tests": {name: {"actual": results[name]} for name in wanted if name in results}}, f)
"""


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=harness.TIMEOUT,
                          check=False)
    return done.returncode, done.stdout, done.stderr


class Shim(unittest.TestCase):
    def test_there_is_no_handshaker(self):
        self.assertEqual(run(SHIM, "-is-handshaker-supported"), (0, "No\n", ""))

    def test_an_unknown_flag_is_unimplemented(self):
        for flags in (["-no-such-flag"], ["-on-resume-no-such-flag", "1"], ["-port", "1", "-dtls"], ["port"]):
            code, out, err = run(SHIM, *flags)
            self.assertEqual((code, out), (89, ""))
            self.assertIn("unimplemented flag", err)

    def test_a_value_that_cannot_be_read_is_a_failure(self):
        for flags in (["-port", "x"], ["-port"], ["-curves", "70000"], ["-ocsp-response", "?"]):
            code, _, err = run(SHIM, *flags)
            self.assertEqual(code, 1)
            self.assertIn("bad value", err)

    def test_nobody_listens(self):
        code, _, err = run(SHIM, "-port", "1", "-shim-id", "1")
        self.assertEqual(code, 1)
        self.assertIn("cannot reach the runner", err)


class Config(unittest.TestCase):
    def test_each_entry_has_a_reason_and_matches_a_test(self):
        self.assertEqual(run(sys.executable, SCRIPT, "--check"), (0, "", ""))


class Judge(unittest.TestCase):
    TESTS = "# a comment\ncore A-1\ncore A-2\nmore B-1\nmore C-1\nmore C-2\n"
    CONFIG = {"DisabledTests": {"B-*": "this is not for a library like ours"},
              "NeedsOpenSSL35": {"C-*": "a group that only newer versions have"}}
    RESULTS = {"A-1": "PASS", "A-2": "PASS", "B-1": "FAIL", "C-1": "PASS", "C-2": "PASS"}

    def judge(self, config=None, results=None, check=False, missing=None):
        results = {**self.RESULTS, **(results or {})}
        results.pop(missing, None)
        with tempfile.TemporaryDirectory() as folder:
            runner = os.path.join(folder, "runner")
            for name, text in (("tests.txt", self.TESTS), ("config.json", config or json.dumps(self.CONFIG)),
                               ("runner", RUNNER % (sys.executable, json.dumps(results)))):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                    f.write(text)
            os.chmod(runner, 0o700)
            rest = ["--check"] if check else ["--shim", SHIM, "--log", os.path.join(folder, "log"), runner]
            return run(sys.executable, SCRIPT, "--tests", folder, *rest)

    def assert_wrong(self, text, *args, **named):
        code, out, err = self.judge(*args, **named)
        self.assertEqual(code, 1)
        self.assertIn(text, out + err)

    def test_all_is_well(self):
        code, out, _ = self.judge()
        self.assertEqual(code, 0)
        self.assertEqual(out, "core        2 tests: 2 passed, 0 failed, 0 disabled, 0 unimplemented\n"
                              "TLS 1.3     5 tests: 4 passed, 0 failed, 1 disabled, 0 unimplemented\n")

    def test_an_older_libcrypto(self):
        code, out, _ = self.judge(results={"C-1": "SKIP", "C-2": "SKIP"})
        self.assertEqual(code, 0)
        self.assertIn("2 passed, 0 failed, 1 disabled, 2 unimplemented", out)

    def test_a_failure(self):
        self.assert_wrong("A-1: failed", results={"A-1": "FAIL"})
        self.assert_wrong("C-2 passes, C-1 does not", results={"C-1": "FAIL"})

    def test_left_without_a_reason(self):
        self.assert_wrong("A-1: the shim leaves it", results={"A-1": "SKIP"})

    def test_stale(self):
        self.assert_wrong("B-1: stale", results={"B-1": "PASS"})
        self.assert_wrong("DisabledTests: matches no test: D", json.dumps(
            {"DisabledTests": {"D": "it was renamed long ago"}}), check=True)

    def test_only_half_of_a_libcrypto(self):
        self.assert_wrong("C-1 passes, C-2 does not", results={"C-2": "SKIP"})

    def test_the_runner_does_not_know_it(self):
        self.assert_wrong("A-2: the runner has no such test", missing="A-2")

    def test_entries_without_sense(self):
        self.assert_wrong("no reason is given for B-1", json.dumps({"DisabledTests": {"B-1": "no"}}), check=True)
        self.assert_wrong("named by B-* and by *-1", json.dumps(
            {"DisabledTests": {"B-*": "one of two good reasons", "*-1": "another of two reasons"}}), check=True)
        self.assert_wrong("twice: B-1", '{"DisabledTests": {"B-1": "a b c d", "B-1": "a b c d"}}', check=True)
        self.assert_wrong("unknown: Disabled", json.dumps({"Disabled": {}}), check=True)


if __name__ == "__main__":
    harness.tap_main()
