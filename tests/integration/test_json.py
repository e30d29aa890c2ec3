"""docs/json.md is what the program prints: every output and every event is made here and compared with its table. Events are
compared in all other tests, too (harness.Lab.run)."""
import glob
import json
import os
import re
import signal
import sqlite3
import unittest

import harness
import schema
from harness import PROGRAM, ROOT


def setUpModule():
    global lab, seen
    lab = harness.Lab()
    lab.env["XDG_STATE_HOME"] = lab.path("state")
    lab.env["XDG_CONFIG_HOME"] = lab.path("config")
    lab.make_identities()
    lab.must("openssl", "req", "-x509", "-key", "soft.key", "-subj", "/CN=own", "-out", "own.pem")
    seen = {"outputs": set(), "events": set()}


def tearDownModule():
    lab.close()


def output(name, *words, code=0, **kw):
    """The value that a command prints, compared with the document."""
    done = lab.tpmtls("--json", *words, **kw)
    if done.code != code:
        raise AssertionError("%s: exit code %d: %s" % (" ".join(words), done.code, done.err))
    value = json.loads(done.out)
    schema.check_output(name, value)
    seen["outputs"].add(name)
    note_events(done.err)
    return value


def note_events(text):
    for line in text.splitlines():
        event = json.loads(line)
        schema.check_event(event)
        seen["events"].add(event["event"])


class Json(unittest.TestCase):
    def test_1_keys(self):
        output("key create", "key", "create", "-o", "made.key", "--persist", "0x81000010")
        output("key create", "key", "create", "-o", "plain.key")
        self.assertGreater(len(output("key list", "key", "list")), 0)
        for words in (["made.key"], ["soft.key"], ["handle:0x81000010"]):
            output("key show", "key", "show", *words)
        lab.write("password", "a password of sixteen")
        lab.must(PROGRAM, "key", "create", "-o", "guarded.key", "--pcr", "sha256:0", "--description", "of a test", "--auth-file", "password")
        shown = output("key show", "key", "show", "guarded.key")
        self.assertTrue(shown["policy"] and shown["password"] and shown["description"])
        output("key show", "key", "show", "made.key", code=4, env={"TPMTLS_TPM": "embedded:" + lab.path("another")})

    def test_2_certificates(self):
        output("ca init", "ca", "init", "--dir", "new", "--subject", "/CN=New")
        output("ca sign", "ca", "sign", "--dir", "new", "soft.csr")
        output("ca sign", "ca", "sign", "--dir", "new", "soft.csr", "-o", "new.pem")
        self.assertEqual(len(output("ca list", "ca", "list", "--dir", "new")), 2)
        serial = output("ca list", "ca", "list", "--dir", "new")[0]["serial"]
        output("ca show", "ca", "show", "--dir", "new", serial)
        output("ca show", "ca", "show", "--dir", "new")
        output("ca revoke", "ca", "revoke", "--dir", "new", serial, "--reason", "certificateHold")
        self.assertEqual(output("ca show", "ca", "show", "--dir", "new", serial)["reason"], "certificateHold")
        output("ca unrevoke", "ca", "unrevoke", "--dir", "new", serial)
        output("ca crl", "ca", "crl", "--dir", "new", "-o", "new.crl")
        output("ca crl", "ca", "crl", "--dir", "new", "--delta", "-o", "new-delta.crl")
        self.assertEqual(output("ca stats", "ca", "stats", "--dir", "new")["valid"], 3)  # with the OCSP responder's
        token = output("ca token create", "ca", "token", "create", "--dir", "new", "--subject", "device-1")
        self.assertEqual(len(output("ca token list", "ca", "token", "list", "--dir", "new")), 1)
        output("ca token revoke", "ca", "token", "revoke", "--dir", "new", token["id"])
        output("ca audit verify", "ca", "audit", "verify", "--dir", "new")
        self.assertIn("BEGIN CERTIFICATE", output("ca export", "ca", "export", "--dir", "new")[0]["pem"])
        output("ca rollover", "ca", "rollover", "--dir", "new")
        store = sqlite3.connect(lab.path("new/ca.db"))
        store.execute("UPDATE request SET state = 'pending' WHERE number < 3")  # as a profile with approval makes them
        store.commit()
        store.close()
        self.assertEqual(len(output("ca pending", "ca", "pending", "--dir", "new")), 2)
        output("ca approve", "ca", "approve", "--dir", "new", "1")
        output("ca reject", "ca", "reject", "--dir", "new", "2")
        self.assertEqual(len(output("ca pending", "ca", "pending", "--dir", "new", "--state", "all")), 2)

    def test_3_identities(self):
        lab.must(PROGRAM, "identity", "add", "vpn", "--key", "client-p256.key", "--cert", "client-p256.pem")
        lab.must(PROGRAM, "identity", "add", "empty")
        self.assertEqual(len(output("identity list", "identity", "list")), 2)
        lab.write("config/tpmtls/identities/vpn/cert.pem", "nonsense")
        self.assertIn("broken", [one for one in output("identity list", "identity", "list") if one["name"] == "vpn"][0])

    def test_4_the_chip(self):
        self.assertTrue(output("doctor", "doctor")["reached"])
        output("doctor", "doctor", env={"TPMTLS_TPM": "swtpm:path=" + lab.path("absent")}, code=4)
        output("bench", "bench", "all", "--seconds", "0.01")

    def test_4_attestation(self):
        lab.must(PROGRAM, "attest", "ek", "-o", "ek.pub")
        lab.write("ek.ext", "extendedKeyUsage=2.23.133.8.1\n")
        lab.must("openssl", "x509", "-req", "-in", "soft.csr", "-force_pubkey", "ek.pub", "-CA", "own.pem", "-CAkey", "soft.key",
                 "-extfile", "ek.ext", "-out", "ek.pem")
        lab.must(PROGRAM, "attest", "make", "--key", "plain.key", "--ek-cert", "ek.pem", "--nonce", "00" * 32, "--pcr", "sha256:0",
                 "-o", "evidence")
        output("attest show", "attest", "show", "evidence")
        lab.write("policy.ini", "ek-roots = own.pem\n")
        self.assertTrue(output("attest verify", "attest", "verify", "evidence", "--policy", "policy.ini")["good"])

    def test_5_help_and_psk(self):
        output("help", "help")
        lab.must(PROGRAM, "psk", "import", "--identity", "sensor", "--role", "client", "-o", "sensor.psk", stdin=bytes(range(7, 39)).hex().encode())
        output("psk show", "psk", "show", "sensor.psk")

    def test_6_connections(self):
        """Every event but `lost`, which needs an end of memory, and `ech_retry` and `early_data`, whose tests compare it."""
        lab.must(PROGRAM, "ca", "sign", "--dir", "ca", "server-p256.csr", "--profile", "server", "--delegation", "-o", "delegated.pem")
        background = lab.background(PROGRAM, "--json", "serve", "127.0.0.1:0", "--trace", "--key", "server-p256.key", "--cert",
                                    "delegated.pem", "--client-ca", "ca/ca.pem", "--delegate")
        with background as server:
            at = "localhost:" + server.wait_for(r'"address":"[^"\s]*:(\d+)"').group(1)
            words = ["--json", "connect", at, "--ca", "ca/ca.pem", "--trace", "--resume", "sealed", "--key", "client-p256.key",
                     "--cert", "client-p256.pem", "--alpn", "x"]
            note_events(lab.must(PROGRAM, *words, stdin=b"hello").err)
            note_events(lab.must(PROGRAM, *words, stdin=b"hello").err)
            self.assertGreater(len(output("session list", "session", "list")), 0)
            refused = lab.tpmtls("--json", "connect", at, "--ca", "other/ca.pem", "--trace")
            self.assertEqual(refused.code, 3)
            note_events(refused.err)
            server.process.send_signal(signal.SIGHUP)
            server.wait_for('"event":"reloaded"')
        note_events("\n".join(line for line in server.text.decode().splitlines() if line.startswith("{")))

    def test_7_nothing_is_missing(self):
        documented = {name.split(": ")[1] for name in schema.TABLES if name.startswith("output: ")}
        self.assertEqual(documented - {"enroll", "renew"}, seen["outputs"])  # test_enroll.py has a server for these two
        in_source = set()
        for path in glob.glob(os.path.join(ROOT, "src/cli/*.c")):
            with open(path, encoding="utf-8") as f:
                text = f.read()
            in_source |= set(re.findall(r'"event",\s+"(\w+)"', text)) | set(re.findall(r'\{\\"event\\":\\"(\w+)', text))
        in_source |= {"note", "hint", "error", "message", "alert"}
        documented = {name.split(": ")[1] for name in schema.TABLES if name.startswith("event: ")}
        self.assertEqual(documented, in_source)
        self.assertEqual(documented - seen["events"], {"lost", "ech_retry", "early_data", "hint", "attested", "tpm_outage"} - seen["events"])

    def test_8_the_check_finds(self):
        """A field too many, too few, of another type; an event that nobody told of."""
        good = {"peer": "a", "server_name": "a", "mode": "held", "suite": "x", "received_ms": 1, "expires_ms": 2}
        schema.check_output("session list", [good])
        for bad in (dict(good, more=1), {k: v for k, v in good.items() if k != "peer"}, dict(good, received_ms="1"),
                    dict(good, received_ms=1.5), dict(good, received_ms=True), dict(good, peer=None)):
            with self.assertRaises(schema.Wrong):
                schema.check_output("session list", [bad])
        with self.assertRaises(schema.Wrong):
            schema.check_output("session list", good)
        schema.check_event({"event": "note", "time": "now", "text": "x"})
        for bad in ({"event": "note", "text": "x"}, {"event": "unheard", "time": "now"}):
            with self.assertRaises(schema.Wrong):
                schema.check_event(bad)


if __name__ == "__main__":
    harness.tap_main()
