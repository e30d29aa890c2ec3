"""tests/integration/test_attest_est.py: `tpmtls ca serve` with an attestation policy: the nonce in csrattrs, a challenge, a request
that needs no token, what is refused; every step by hand, with curl, and TPMs as swtpm_setup makes them."""

import base64
import json
import os
import re
import unittest

import harness
from swtpm import manufactured

LAB = None
CHIPS = {}
PROGRAM = harness.PROGRAM
PROFILES = """
[device]
days = 30
key-usage = digitalSignature
purposes = clientAuth
attestation = yes
one-identity = yes
need = subject

[slow]
days = 30
key-usage = digitalSignature
purposes = clientAuth
attestation = yes
approval = always

[loose]
days = 30
key-usage = digitalSignature
purposes = clientAuth
attestation = yes
"""


def setUpModule():
    global LAB
    LAB = harness.Lab()
    for name in ("one", "two"):
        CHIPS[name] = manufactured(LAB.path(name))
        if CHIPS[name] is None:
            return
        LAB.must(PROGRAM, "--tpm", CHIPS[name].tcti, "key", "create", "-o", name + ".key")
        folder = LAB.path(name + "/ca")
        LAB.write(name + ".roots", b"".join(LAB.read(os.path.join(folder, file)) for file in sorted(os.listdir(folder))
                                            if file.endswith("cert.pem") or file == "issuer.pem"))
    LAB.must(PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=CA")
    LAB.write("ca/profiles.ini", LAB.read("ca/profiles.ini").decode() + PROFILES)
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "server.key")
    os.chmod(LAB.path("server.key"), 0o600)
    LAB.must(PROGRAM, "csr", "--key", "server.key", "--subject", "/CN=localhost", "--san", "DNS:localhost", "-o", "server.csr")
    LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", "--profile", "server", "server.csr", "-o", "server.pem")
    LAB.write("policy.ini", "ek-roots = one.roots\nek-roots = two.roots\npcrs = sha256:7\n")
    LAB.write("token.key", os.urandom(32).hex())
    os.chmod(LAB.path("token.key"), 0o600)


def tearDownModule():
    for chip in CHIPS.values():
        if chip is not None:
            chip.stop()
    LAB.close()


class Service:
    count = 0

    def __init__(self, *lines):
        Service.count += 1
        name = "serve-%d.conf" % Service.count
        LAB.write(name, "[ca]\ndir = ca\nlisten = 127.0.0.1:0\nkey = server.key\ncert = server.pem\n" + "\n".join(lines) + "\n")
        self.program = LAB.background(PROGRAM, "ca", "serve", name)
        self.port = self.program.wait_for(r"address=127.0.0.1:(\d+) for=est").group(1)

    def ask(self, operation, body=None, kind="application/pkcs10", label=None, *more):
        """(status, body)"""
        path = "/.well-known/est/%s%s" % (label + "/" if label else "", operation)
        words = ["curl", "-sS", "-w", "\n%{http_code}", "--cacert", "ca/ca.pem", *more]
        if body is not None:
            LAB.write("body", base64.encodebytes(body))
            words += ["--data-binary", "@body", "-H", "Content-Type: " + kind]
        out = LAB.must(*words, "https://localhost:%s%s" % (self.port, path)).out
        text, status = out.rsplit(b"\n", 1)
        return int(status), text

    def wish(self):
        """(nonce, PCRs) of csrattrs."""
        status, text = self.ask("csrattrs")
        assert status == 200, (status, text)
        der = base64.b64decode(text)
        at = der.index(bytes.fromhex("0420")) + 2
        pcrs = re.search(rb"\x0c.(sha[0-9:,+a-z]+)", der[at + 32:])
        return der[at:at + 32].hex(), pcrs.group(1).decode() if pcrs else None


def pem(name):
    text = LAB.read(name).decode()
    return base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-----")))


class Case(unittest.TestCase):
    def setUp(self):
        if None in CHIPS.values() or len(CHIPS) < 2:
            self.skipTest("swtpm_setup is not installed (package swtpm-tools)")

    def serve(self, *lines):
        service = Service("attest-policy = policy.ini", *lines)
        self.addCleanup(service.program.stop)
        return service

    def on(self, chip, *args):
        return LAB.must(PROGRAM, "--tpm", CHIPS[chip].tcti, *args)

    def evidence(self, service, chip, nonce=None, answer=None, pcrs="sha256:7"):
        about = nonce or service.wish()[0]
        more = ("--answer", answer) if answer else ()
        self.on(chip, "attest", "make", "--key", chip + ".key", "--nonce", about, "--pcr", pcrs, "-o", chip + ".evidence", "--force", *more)
        return about

    def request(self, chip, subject, evidence=True):
        more = ("--evidence", chip + ".evidence") if evidence else ()
        self.on(chip, "csr", "--key", chip + ".key", "--subject", subject, "-o", chip + ".csr", "--force", *more)
        return pem(chip + ".csr")

    def proved(self, service, chip):
        """Evidence with the answer to a challenge, in chip.evidence."""
        about = self.evidence(service, chip)
        status, text = service.ask("attest-challenge", pem(chip + ".evidence"), "application/tpmtls-evidence")
        self.assertEqual(status, 200, text)
        LAB.write(chip + ".challenge", "-----BEGIN ATTESTATION CHALLENGE-----\n%s-----END ATTESTATION CHALLENGE-----\n" %
                  base64.encodebytes(base64.b64decode(text)).decode())
        self.evidence(service, chip, about, chip + ".challenge")

    def enrol(self, service, chip, subject, label="device", status=200):
        got, text = service.ask("simpleenroll", self.request(chip, subject), label=label)
        self.assertEqual(got, status, text)
        return text


class Approval(Case):
    """A person takes longer than a nonce lives. Without attest-key a service that is started anew knows no nonce of before."""

    @staticmethod
    def approve():
        waiting = json.loads(LAB.must(PROGRAM, "--json", "ca", "pending", "--dir", "ca").out)
        LAB.must(PROGRAM, "ca", "approve", "--dir", "ca", waiting[0]["id"])
        return waiting

    def test_what_was_good_counts_when_a_person_approves_it(self):
        before = self.serve()
        self.proved(before, "one")
        request = self.request("one", "/CN=approved")
        self.assertEqual(before.ask("simpleenroll", request, label="slow")[0], 202)
        before.program.stop()
        service = self.serve()
        self.assertEqual(service.ask("simpleenroll", request, label="slow")[0], 202)  # it still waits, as the same
        self.assertEqual(len(self.approve()), 1)
        status, text = service.ask("simpleenroll", self.request("one", "/CN=another"), label="slow")
        self.assertEqual(status, 400)  # the same evidence in another request
        self.assertIn(b"attestation-nonce-wrong", text)
        for label in ("loose", "device"):  # or for another profile
            status, text = service.ask("simpleenroll", request, label=label)
            self.assertEqual((status, text.split(b":")[0]), (400, b"attestation-nonce-wrong"))
        self.assertEqual(service.ask("simpleenroll", request, label="slow")[0], 200)
        self.assertEqual(service.ask("simpleenroll", request, label="slow")[0], 200)  # the answer was lost

    def test_as_a_device_does_it(self):
        before = self.serve()
        words = ("--ca", "ca/ca.pem", "--attest", "--key", "slow.key", "--subject", "/CN=slow", "-o", "slow.pem", "--wait", "0")

        def enroll(service):
            return LAB.tpmtls("--tpm", CHIPS["two"].tcti, "enroll", "--server", "localhost:%s/slow" % service.port, *words)

        self.assertEqual(enroll(before).code, 6)
        before.program.stop()
        service = self.serve()
        self.assertEqual(enroll(service).code, 6)
        self.assertEqual(len(self.approve()), 1)
        result = enroll(service)
        self.assertEqual(result.code, 0, result.err)


class Enrolment(Case):
    def test_nobody_but_a_tpm(self):
        """No token and no certificate: the TPM says who asks; the CA keeps the evidence."""
        service = self.serve()
        self.assertEqual(service.wish()[1], "sha256:7")
        self.assertNotEqual(service.wish()[0], service.wish()[0])
        self.proved(service, "one")
        text = self.enrol(service, "one", "/CN=one")
        LAB.write("one.p7", base64.b64decode(text))
        out = LAB.must("openssl", "pkcs7", "-inform", "DER", "-in", "one.p7", "-print_certs").out.decode()
        self.assertRegex(out, "CN ?= ?one")
        service.program.wait_for("event=issued")
        listed = LAB.must(PROGRAM, "--json", "ca", "list", "--dir", "ca").out.decode()
        self.assertIn('"attested":true', listed.replace(" ", ""))
        self.kept()
        # The same TPM again, after a clear, with a new key: the same identity; another subject is another's.
        CHIPS["one"].tools("tpm2_clear", "-c", "p")
        os.unlink(LAB.path("one.key"))
        self.on("one", "key", "create", "-o", "one.key")
        self.proved(service, "one")
        self.enrol(service, "one", "/CN=one")
        said = self.enrol(service, "one", "/CN=another", status=400)
        self.assertIn(b"this TPM has the identity CN=one already", said)
        self.proved(service, "two")
        said = self.enrol(service, "two", "/CN=one", status=400)
        self.assertIn(b"another TPM has the identity CN=one", said)
        self.enrol(service, "two", "/CN=two")
        self.enrol(service, "two", "/CN=three", "loose")

    def kept(self):
        """The CA shows what was proved, and it can be judged again."""
        listed = json.loads(LAB.must(PROGRAM, "--json", "ca", "list", "--dir", "ca").out)
        serial = {e["subject"]: e["serial"] for e in listed}
        show = (PROGRAM, "ca", "show", "--dir", "ca", "--evidence")
        self.assertIn(b"endorsement key", LAB.must(*show, serial["CN=one"]).out)
        shown = json.loads(LAB.must(PROGRAM, "--json", *show[1:], serial["CN=one"]).out)
        self.assertEqual(shown["subject"], "CN=one")
        self.assertIn("attestation_key", shown["evidence"])
        LAB.must(*show, serial["CN=one"], "-o", "kept.evidence", "--force")
        out = LAB.must(PROGRAM, "attest", "verify", "--policy", "policy.ini", "--about", "one.csr", "kept.evidence").out
        self.assertIn(b"good", out)
        r = LAB.run(*show, serial["CN=localhost"])
        self.assertIn("was asked for without evidence", r.err)
        self.assertIn("the evidence of which certificate?", LAB.run(*show).err)

    def test_refused(self):
        service = self.serve()
        about = self.evidence(service, "two")
        self.assertIn(b"attestation-proof-missing", self.enrol(service, "two", "/CN=x", status=400))
        self.proved(service, "two")
        good = LAB.read("two.evidence")
        self.assertIn(b"attestation-key-other", self.enrol_with(service, "one", good, "/CN=x"))
        status, text = service.ask("simpleenroll", self.request("two", "/CN=x", evidence=False), label="device")
        self.assertEqual((status, b"evidence that the key is in a TPM" in text), (401, True))
        self.evidence(service, "two", about, pcrs="sha256:0")
        self.assertIn(b"attestation-quote-selection", self.enrol(service, "two", "/CN=x", status=400))
        # A profile that does not ask for evidence is not for who has nothing else.
        LAB.write("two.evidence", good)
        self.assertIn(b"profile client is not for this requester", self.enrol(service, "two", "/CN=x", "client", 400))
        status, text = service.ask("attest-challenge", b"nonsense", "application/tpmtls-evidence")
        self.assertEqual(status, 403 if b"attestation-malformed" in text else 400, text)
        self.assertEqual(service.ask("attest-challenge", b"x", "text/plain")[0], 415)
        self.assertEqual(service.ask("attest-challenge")[0], 405)

    def test_many_challenges(self):
        """Anybody may ask for a challenge, and none is free: there is a limit for an address, beside that for enrolments."""
        service = self.serve("rate = 2")
        got = [service.ask("attest-challenge", b"x", "application/tpmtls-evidence")[0] for _ in range(3)]
        self.assertEqual((got[0] == got[1], got[2]), (True, 429), got)
        self.assertEqual(service.ask("simpleenroll", b"x", label="device")[0], 401)

    def test_secret_of_others(self):
        LAB.write("open.key", os.urandom(32).hex())
        os.chmod(LAB.path("open.key"), 0o644)
        LAB.write("open.conf", "[ca]\ndir = ca\nlisten = 127.0.0.1:0\nkey = server.key\ncert = server.pem\nattest-policy = policy.ini\nattest-key = open.key\n")
        r = LAB.run(PROGRAM, "ca", "serve", "open.conf")
        self.assertEqual((r.code != 0, "open.key" in r.err), (True, True), r.err)

    def test_no_request(self):
        """What has the form of a request with evidence in it, and no key: the sender's fault, not the CA's (who else waits is not
        refused with it)."""
        def der(tag, *parts):
            body = b"".join(parts)
            assert len(body) < 128
            return bytes((tag, len(body))) + body
        attribute = der(0x30, der(0x06, bytes.fromhex("2a864886f70d010910023b")), der(0x31, der(0x30)))
        info = der(0x30, der(0x02, b"\0"), der(0x30), der(0x30), der(0xa0, attribute))
        status, text = self.serve().ask("simpleenroll", der(0x30, info, der(0x30), der(0x03, b"\0")), label="device")
        self.assertEqual((status, text.startswith(b"attestation-malformed")), (400, True), text)

    def enrol_with(self, service, chip, evidence, subject):
        """Evidence of another's key in a request of ours."""
        LAB.write(chip + ".evidence", evidence)
        return self.enrol(service, chip, subject, status=400)

    def test_with_a_token(self):
        """A profile that demands evidence takes no token without; with both, the token says who asks."""
        service = self.serve()
        token = LAB.must(PROGRAM, "ca", "token", "create", "--dir", "ca", "--profile", "device", "--expires", "1h").out.decode().split()[-1]
        status, text = service.ask("simpleenroll", self.request("two", "/CN=token", False), "application/pkcs10", "device", "-u", "x:" + token)
        self.assertEqual((status, b"demands that the key is shown to be in a TPM" in text), (400, True), text)
        self.proved(service, "two")
        status, text = service.ask("simpleenroll", self.request("two", "/CN=token"), "application/pkcs10", "device", "-u", "x:" + token)
        self.assertEqual(status, 200, text)

    def test_a_crash_loses_nothing(self):
        """What was given out before is good after: nothing is kept, and the key is in a file. Without it: it is not."""
        service = self.serve("attest-key = token.key")
        self.proved(service, "two")
        service.program.process.kill()
        service = self.serve("attest-key = token.key")
        self.enrol(service, "two", "/CN=crash", "loose")
        service = self.serve()
        self.assertIn(b"attestation-nonce-wrong", self.enrol(service, "two", "/CN=crash2", "loose", 400))

    def test_off(self):
        service = Service()
        self.addCleanup(service.program.stop)
        self.assertEqual(service.ask("csrattrs")[0], 204)
        self.assertEqual(service.ask("attest-challenge", b"x", "application/tpmtls-evidence")[0], 404)
        self.on("two", "attest", "make", "--key", "two.key", "--nonce", "00" * 32, "-o", "two.evidence", "--force")
        status, _ = service.ask("simpleenroll", self.request("two", "/CN=x"), label="device")
        self.assertEqual(status, 401)


if __name__ == "__main__":
    harness.tap_main()
