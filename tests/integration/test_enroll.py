"""tests/integration/test_enroll.py: `tpmtls enroll` and `tpmtls renew` against an EST server that answers in the forms of many
(est_forms.py), each a test; and what must not be taken, lost or written over."""

import base64
import json
import os
import shutil
import sys
import time
import unittest

import harness
from swtpm import Swtpm, manufactured

LAB = SERVER = PORT = None
VERBOSE = os.environ.get("TPMTLS_TEST_VERBOSE", "").split()


def setUpModule():
    global LAB, SERVER, PORT
    LAB = harness.Lab()
    os.mkdir(LAB.path("est"))
    LAB.env["XDG_STATE_HOME"] = LAB.path("state")
    SERVER = harness.Background([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "est_forms.py"), LAB.path("est")], LAB.env, LAB.dir)
    PORT = int(SERVER.wait_for(r"port (\d+)").group(1))
    LAB.write("token", "sesame\n")
    os.chmod(LAB.path("token"), 0o600)


def tearDownModule():
    SERVER.stop()
    LAB.close()


class Case(unittest.TestCase):
    def setUp(self):
        for name in ("state", "work"):
            shutil.rmtree(LAB.path(name), ignore_errors=True)
        os.mkdir(LAB.path("work"))
        for name in ("waits", "log"):
            if os.path.exists(LAB.path("est/" + name)):
                os.unlink(LAB.path("est/" + name))
        self.form()

    @staticmethod
    def form(**words):
        LAB.write("est/form.new", json.dumps(words))
        os.replace(LAB.path("est/form.new"), LAB.path("est/form"))

    @staticmethod
    def asked(operation=None):
        """What the server was asked."""
        lines = [json.loads(line) for line in LAB.read("est/log").decode().splitlines()] if os.path.exists(LAB.path("est/log")) else []
        return [line for line in lines if operation is None or line["path"].endswith("/" + operation)]

    def ends(self, code, *args, says=""):
        result = LAB.tpmtls(*args)
        self.assertEqual(result.code, code, "%s: %s" % (" ".join(args), result.err))
        self.assertIn(says, result.err)
        self.assertNotIn("Sanitizer", result.err)
        return result

    def enroll(self, *options, code=0, says="", subject="/CN=device-1", ca=("--ca", "est/root1.pem"), key="work/device.key"):
        return self.ends(code, "enroll", "--server", "localhost:%d" % PORT, *ca, "--key", key, "--subject", subject, "-o", "work/device.pem", *options,
                         says=says)

    def renew(self, *options, code=0, says=""):
        return self.ends(code, "renew", *(options or ("device",)), says=says)

    def verified(self, *options, root="est/root1.pem"):
        LAB.must("openssl", "verify", "-CAfile", root, "-untrusted", "work/device.pem", *options, "work/device.pem")

    @staticmethod
    def serial():
        return LAB.must("openssl", "x509", "-in", "work/device.pem", "-noout", "-serial").out

    def status(self):
        return json.loads(LAB.tpmtls("--json", "renew", "--all", "--status").out)[0]


class Forms(Case):
    """Each form in which servers answer."""

    def take(self, **form):
        self.form(**form)
        self.enroll("--chain", "work/chain.pem")
        self.verified()
        self.assertIn(b"BEGIN CERTIFICATE", LAB.read("work/chain.pem"))
        self.assertIn(b"TSS2 PRIVATE KEY", LAB.read("work/device.key"))
        self.assertEqual(os.stat(LAB.path("work/device.key")).st_mode & 0o777, 0o600)

    def test_bodies(self):
        for body in ("lines", "crlf", "crlf-76", "one-line", "spaced", "der", "pem", "indefinite"):
            with self.subTest(body=body):
                self.setUp()
                self.take(body=body)

    def test_content_transfer_encoding(self):
        """RFC 8951 section 3: whatever it says."""
        for said in ("base64", "binary", "7bit"):
            with self.subTest(said=said):
                self.setUp()
                self.take(transfer_encoding=said)

    def test_as_known_servers(self):
        for name, form in (("libest", {"status_header": True, "transfer_encoding": "base64"}),
                           ("globalsign/est", {"body": "crlf-76", "transfer_encoding": "base64", "sub": True, "certs": "leaf"}),
                           ("EJBCA", {"body": "indefinite", "sub": True, "certs": "chain"})):
            with self.subTest(server=name):
                self.setUp()
                self.take(**form)

    def test_order(self):
        for certs in ("leaf", "chain", "root-first", "twice"):
            with self.subTest(certs=certs):
                self.setUp()
                self.take(certs=certs, sub=True)
                self.assertEqual(LAB.read("work/device.pem").count(b"BEGIN"), 2)
                self.assertEqual(LAB.read("work/chain.pem").count(b"BEGIN"), 2)

    def test_http_1_0(self):
        for how in (True, "to the end"):
            with self.subTest(how=how):
                self.setUp()
                self.take(http10=how)

    def test_chunked(self):
        self.take(chunked=True)

    def test_redirects(self):
        for to in ("path", "origin"):
            with self.subTest(to=to):
                self.setUp()
                self.take(redirect=to)
        self.setUp()
        self.form(redirect="elsewhere")
        self.enroll(code=5, says="sends us elsewhere, to https://localhost:1/moved/cacerts")
        self.form(redirect="loop")
        self.enroll(code=1, says="redirects without an end")

    def test_label(self):
        self.ends(0, "enroll", "--server", "localhost:%d/devices" % PORT, "--ca", "est/root1.pem", "--key", "work/device.key", "--subject",
                  "/CN=device-1", "-o", "work/device.pem")
        self.assertEqual(self.asked("simpleenroll")[0]["path"], "/.well-known/est/devices/simpleenroll")

    def test_waits(self):
        """202, then the certificate; the same request again (section 4.2.3)."""
        self.form(waits=2, retry_after="1")
        start = time.monotonic()
        self.enroll(says="wants to be asked again in 1 s: an operator has to look at it")
        self.assertGreater(time.monotonic() - start, 2)
        bodies = [line["body"] for line in self.asked("simpleenroll")]
        self.assertEqual(len(bodies), 3)
        self.assertEqual(len(set(bodies)), 1)

    def test_waits_too_long(self):
        """The next process sends the same request: a server that issued meanwhile knows it again."""
        self.form(waits=1, retry_after="3600")
        self.enroll(code=6, says="has not decided yet")
        self.assertFalse(os.path.exists(LAB.path("work/device.pem")))
        self.enroll()
        bodies = [line["body"] for line in self.asked("simpleenroll")]
        self.assertEqual(len(bodies), 2)
        self.assertEqual(bodies[0], bodies[1])

    def test_no_csrattrs(self):
        for status in (204, 404):
            with self.subTest(status=status):
                self.setUp()
                self.take(no_csrattrs=status)


def oid(text):
    return bytes.fromhex(text)


class Wants(Case):
    """csrattrs honoured."""

    P384 = "MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw=="  # RFC 8951 section 4

    def test_kind_of_key(self):
        self.form(csrattrs=self.P384)
        self.enroll()
        text = LAB.must("openssl", "x509", "-in", "work/device.pem", "-noout", "-text").out.decode()
        self.assertIn("secp384r1", text)
        # and the connection is named in the request, since the challengePassword was asked for
        request = base64.b64decode(self.asked("simpleenroll")[0]["body"])
        self.assertIn(oid("06092a864886f70d010907"), request)

    def test_key_that_does_not_fit(self):
        LAB.must(harness.PROGRAM, "key", "create", "-o", "work/device.key")
        self.form(csrattrs=self.P384)
        self.enroll(code=1, says="the server wants a p384 key, and this one is p256")
        self.assertEqual(self.asked("simpleenroll"), [])

    def test_names(self):
        self.form(csrattrs=base64.b64encode(bytes.fromhex("30143012 06092a864886f70d01090e 31050603551d11".replace(" ", ""))).decode())
        self.enroll(says="wants alternative names in the request")
        self.setUp()
        self.enroll("--san", "DNS:device-1.example")
        self.assertIn(b"DNS:device-1.example", LAB.must("openssl", "x509", "-in", "work/device.pem", "-noout", "-text").out)

    def test_damaged(self):
        self.form(csrattrs="MEEGCSqGSIb3")
        self.enroll(code=1, says="CSR attributes is damaged")


class Refusals(Case):
    def test_what_is_not_good(self):
        for how, code, says in (("other-key", 1, "is for this key"), ("other-ca", 3, "leads to none of the CAs"), ("ended", 3, "ended on"),
                                ("other-name", 3, "another subject than was asked for"), ("early", 6, "is not valid before")):
            with self.subTest(how=how):
                self.setUp()
                self.form(issue=how)
                self.enroll(code=code, says=says)
                self.assertFalse(os.path.exists(LAB.path("work/device.pem")))
                self.assertFalse(os.path.exists(LAB.path("state/tpmtls/enrolments/device.json")))
                self.form()
                self.enroll()  # with the key that is there by now

    def test_statuses(self):
        for status, code, says in ((400, 5, "simpleenroll with 400: no\n"), (401, 5, "--token-file"), (403, 5, "403"), (404, 5, "LABEL"), (500, 6, "500"),
                                   (503, 6, "503"), (429, 6, "429")):
            with self.subTest(status=status):
                self.setUp()
                self.form(status=status)
                self.enroll(code=code, says=says)

    def test_what_it_says_moves_no_cursor(self):
        self.form(status=400, text="bad\x1b[2J\nmore")
        result = self.enroll(code=5, says="400: bad")
        self.assertNotIn("\x1b", result.err)
        self.form(status=400, text="<html>long</html>", text_type="text/html")
        self.assertNotIn("html", self.enroll(code=5).err)

    def test_no_answer_that_is_one(self):
        self.form(status=200, text="hello")
        self.enroll(code=1, says="is not base64")

    def test_not_there(self):
        self.ends(6, "enroll", "--server", "localhost:1", "--ca", "est/root1.pem", "--key", "work/device.key", "--subject", "/CN=d", "-o", "work/device.pem")
        self.assertFalse(os.path.exists(LAB.path("work/device.key")))

    def test_server_not_trusted(self):
        self.enroll(code=3, ca=("--ca", "est/other.pem"))
        self.assertEqual(self.asked(), [])

    def test_files_in_the_way(self):
        LAB.write("work/device.pem", "a poem\n")
        self.enroll(code=1, says="work/device.pem")
        self.assertEqual(self.asked(), [])
        self.enroll("--force")
        self.setUp()
        LAB.must(harness.PROGRAM, "key", "create", "-o", "work/device.pem")
        self.enroll("--force", code=1, says="key")

    def test_usage(self):
        self.ends(2, "enroll", "--server", "x", "--subject", "/CN=d", "--ca", "est/root1.pem", says="where do the key")
        self.enroll(code=2, ca=(), says="who is believed")
        self.enroll("--trust-on-first-use", code=2, ca=())
        for bad in ("a b", "x/y/z", "[::1", ":1", ""):
            self.ends(2, "enroll", "--server", bad, "--ca", "est/root1.pem", "--key", "k", "--subject", "/CN=d", "-o", "c")


class Token(Case):
    def test_alone_and_with_a_name(self):
        self.form(token="token:sesame")
        self.enroll("--token-file", "token")
        self.assertEqual([line["authorization"] for line in self.asked("cacerts")], [None])
        self.setUp()
        self.form(token="user:pass:word")
        LAB.write("work/t", "user:pass:word\nmore\n")
        os.chmod(LAB.path("work/t"), 0o600)
        self.enroll("--token-file", "work/t")

    def test_wrong(self):
        self.form(token="token:other")
        self.enroll("--token-file", "token", code=5, says="is the token used up")
        result = self.enroll("-v", "--token-file", "token", code=5)
        self.assertNotIn("sesame", result.err)

    def test_everybody_may_read_it(self):
        LAB.write("work/t", "sesame")
        os.chmod(LAB.path("work/t"), 0o644)
        self.enroll("--token-file", "work/t", code=1)
        self.assertEqual(self.asked(), [])


class FirstUse(Case):
    def fingerprint(self, name):
        return LAB.must("openssl", "x509", "-in", name, "-noout", "-fingerprint", "-sha256").out.decode().strip().split("=")[1].replace(":", "")

    def test_right(self):
        self.form(token="token:sesame")
        self.enroll("--trust-on-first-use", "--fingerprint", "sha256:" + self.fingerprint("est/root1.pem"), "--token-file", "token", ca=())
        self.verified()
        self.assertEqual(len(self.asked("cacerts")), 2)  # provisionally, then again by a server that is believed

    def test_wrong(self):
        self.enroll("--trust-on-first-use", "--fingerprint", "sha256:" + self.fingerprint("est/other.pem"), "--token-file", "token", ca=(), code=3,
                    says="none of the server's 1 CA certificates has the fingerprint")
        self.assertEqual([line["authorization"] for line in self.asked()], [None])


class Renewal(Case):
    def begin(self, *options, **form):
        """One that is due at once."""
        self.form(age=25 * 86400, **form)
        self.enroll(*options)
        self.form()

    def test_due(self):
        self.begin("--chain", "work/chain.pem", "--san", "DNS:d.example", "--exec-after", "echo $TPMTLS_CERTIFICATE >> after")
        before, after = self.serial(), LAB.path("after")
        self.assertEqual(self.status()["state"], "due")
        self.renew(says="device: renewed, ")
        self.assertNotEqual(self.serial(), before)
        self.assertEqual(LAB.read("after").decode().split(), [LAB.path("work/device.pem")] * 2)
        os.unlink(after)
        question = self.asked("simplereenroll")[0]
        self.assertTrue(question["certificate"])
        self.assertIsNone(question["authorization"])
        self.assertIn(b"DNS:d.example", LAB.must("openssl", "x509", "-in", "work/device.pem", "-noout", "-text").out)
        old = LAB.must("openssl", "x509", "-in", "work/device.pem.old", "-noout", "-serial").out
        self.assertEqual(old, before)
        self.assertTrue(os.path.exists(LAB.path("work/chain.pem.old")))
        self.assertEqual(self.status()["state"], "good")

    def test_by_path_by_name_all(self):
        self.enroll()
        for which in ("work/device.pem", LAB.path("work/device.pem"), "device", "./work/device.pem"):
            self.renew(which, says="not due before")
        self.assertEqual(self.renew("--all").err, "")
        self.renew("nobody", code=1, says="nothing is known of an enrolment")
        self.renew("--all", "device", code=2)
        self.ends(2, "renew")

    def test_a_type_that_the_tpm_lacks(self):
        """It is asked after its refusal, and the sentence is that of `key create`."""
        self.enroll("--type", "rsa4096", code=1, says="this TPM cannot make a key of type rsa4096; it has p256, p384, p521, rsa2048")
        self.assertFalse(os.path.exists(LAB.path("work/device.key")))

    def test_commands_of_the_tpm(self):
        """The key is made, loaded while its parent is in the TPM, and signs; then it is loaded, and signs twice: the handshake and the request."""
        self.form(age=25 * 86400)
        found = json.loads(self.ends(0, "--json", "enroll", "--server", "localhost:%d" % PORT, "--ca", "est/root1.pem", "--key", "work/device.key",
                                     "--subject", "/CN=device-1", "-o", "work/device.pem").out)
        self.assertEqual(found["tpm_commands"], 6)  # CreatePrimary, ReadPublic of 0x81000001, Create, Load, FlushContext, Sign
        self.form()
        found = json.loads(LAB.tpmtls("--json", "renew", "device").out)[0]
        self.assertEqual((found["result"], found["tpm_commands"]), ("renewed", 4))  # CreatePrimary, Load, FlushContext, Sign: the handshake's
        self.assertEqual(self.asked("simpleenroll")[0]["body"], self.asked("simplereenroll")[0]["body"])

    def test_commands_of_the_tpm_for_a_storage_key_in_it(self):
        """The usual way to set a TPM up: the storage key is at 0x81000001."""
        chip = Swtpm(LAB.path("work/chip"))
        try:
            chip.tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-c", "srk.ctx", "-a",
                       "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt")
            chip.tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "srk.ctx", "0x81000001")
            chip.tools("tpm2_flushcontext", "-t")
            self.form(age=25 * 86400)
            self.ends(0, "--tpm", chip.tcti, "enroll", "--server", "localhost:%d" % PORT, "--ca", "est/root1.pem", "--key", "work/device.key",
                      "--subject", "/CN=device-1", "-o", "work/device.pem")
            self.form()
            found = json.loads(LAB.tpmtls("--tpm", chip.tcti, "--json", "renew", "device").out)[0]
            self.assertEqual((found["result"], found["tpm_commands"]), ("renewed", 3))  # ReadPublic, Load, Sign
        finally:
            chip.stop()

    def bodies(self):
        return [line["body"] for line in self.asked() if line["method"] == "POST"]

    def renewed_with(self, questions, **form):
        """By so many requests. The bodies of all."""
        self.form(life=40 * 86400, **form)
        before, n = self.serial(), len(self.bodies())
        self.renew("--force", "device", says="renewed")
        self.assertNotEqual(self.serial(), before)
        self.assertEqual(len(self.bodies()), n + questions)
        return self.bodies()

    def test_the_request_is_sent_again(self):
        """Renewals need no second signature: the handshake shows who has the key (docs/enroll.md)."""
        self.begin("--san", "DNS:d.example")
        for _ in range(3):
            bodies = self.renewed_with(1)
            time.sleep(1.1)  # they have to end later than the one before
            self.assertEqual(len(set(bodies)), 1)

    def test_a_request_that_the_server_knows(self):
        """It refuses it, or has the old certificate for it: then it is signed anew, in the same run."""
        for how in ("refuse", "former"):
            with self.subTest(how=how):
                self.setUp()
                self.begin()
                bodies = self.renewed_with(2, repeated=how)
                self.assertEqual(bodies[0], bodies[1])
                self.assertNotEqual(bodies[1], bodies[2])

    def test_a_request_is_signed_anew(self):
        """Where the server wants it bound to its connection; where what is kept is another's, damaged, or asks for something else."""
        self.begin()
        bodies = self.renewed_with(1, csrattrs="MAsGCSqGSIb3DQEJBw==")  # challengePassword
        self.assertNotEqual(bodies[0], bodies[1])
        kept = os.path.join(LAB.path("state"), "tpmtls/enrolments/device.answered.pem")
        good = LAB.read(kept)
        LAB.must("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "other.key", "-subj", "/CN=device-1",
                 "-out", "other.csr")
        flipped = bytearray(base64.b64decode("".join(good.decode().splitlines()[1:-1])))
        flipped[-1] ^= 1
        flipped = b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(bytes(flipped)) + b"-----END CERTIFICATE REQUEST-----\n"
        for what in (LAB.read("other.csr"), flipped, good[:100], b""):
            time.sleep(1.1)
            LAB.write(kept, what)
            bodies = self.renewed_with(1)
            self.assertNotIn(bodies[-1], bodies[:-1])

    def test_a_renewal_that_waits_for_a_person(self):
        """The same request asks again, so that the server knows it again."""
        self.begin()
        os.unlink(os.path.join(LAB.path("state"), "tpmtls/enrolments/device.answered.pem"))
        self.form(waits=2, retry_after="1000")
        for _ in range(2):
            self.renew("--force", "device", code=6, says="has not decided yet")
        self.form(life=40 * 86400)
        self.renew("--force", "device", says="renewed")
        self.assertEqual(len(set(self.bodies()[1:])), 1)

    def test_commands_of_the_tpm_for_a_key_in_it(self):
        """It is read, and signs; nothing is made at a handle."""
        key = "handle:0x81000010"
        LAB.must(harness.PROGRAM, "key", "create", "--persist", "0x81000010")
        try:
            self.form(age=25 * 86400)
            self.enroll(key=key)
            self.form()
            found = json.loads(LAB.tpmtls("--json", "renew", "device").out)[0]
            self.assertEqual((found["result"], found["tpm_commands"]), ("renewed", 2))
        finally:
            LAB.must(harness.PROGRAM, "key", "evict", "0x81000010")
        self.renew("--force", "device", code=4)
        self.renew("--force", "--bootstrap", "device", code=2, says="without a token")

    def test_server_down(self):
        self.begin()
        before = LAB.read("work/device.pem")
        for status in (500, 503):
            self.form(status=status)
            self.renew("--force", "device", code=6, says=str(status))
        self.assertEqual(LAB.read("work/device.pem"), before)
        found = self.status()
        self.assertEqual((found["state"], found["failures"]), ("waiting", 2))
        self.assertIn("503", found["last_error"])
        self.form()
        self.renew(code=6, says="it failed lately")
        self.renew("--force", "device", says="renewed")
        self.assertEqual(self.status()["failures"], 0)

    def test_near_its_end(self):
        self.form(age=29 * 86400)
        self.enroll()
        self.form(status=503)
        self.renew(code=7)
        self.form(status=400)
        self.renew("--force", "device", code=5)

    def test_not_good(self):
        self.begin()
        before = LAB.read("work/device.pem")
        for how, code in (("other-key", 1), ("other-ca", 3), ("ended", 3), ("other-name", 3), ("early", 6), ("other-use", 3), ("server-use", 3),
                          ("no-signature", 3)):
            self.form(issue=how)
            self.renew("--force", "device", code=code)
        self.form(life=86400)
        self.renew("--force", "device", code=6, says="no later than the one that is there")
        self.assertEqual(LAB.read("work/device.pem"), before)

    def test_what_it_is_for(self):
        """One that is for nothing of TLS is not taken; one that is for less than the one before neither."""
        for how, says in (("other-use", "lacks TLS Web Client Authentication"), ("no-signature", "lacks digitalSignature")):
            self.form(issue=how)
            self.enroll(code=3, says=says)
            self.assertFalse(os.path.exists(LAB.path("work/device.pem")))
        self.form(issue="any-use")
        self.enroll()
        self.form(issue="server-use", life=40 * 86400)
        self.renew("--force", "device", code=3, says="lacks TLS Web Client Authentication")
        self.form(life=40 * 86400)
        self.renew("--force", "device", says="renewed")

    def test_half_written(self):
        self.enroll("--chain", "work/chain.pem")
        good, chain = LAB.read("work/device.pem"), LAB.read("work/chain.pem")
        for name, content in (("work/device.pem", good[:300]), ("work/device.pem", b""), ("work/chain.pem", chain[:100])):
            LAB.write(name, content)
            self.renew(says="is put right")
            self.assertEqual((LAB.read("work/device.pem"), LAB.read("work/chain.pem")), (good, chain))
        os.unlink(LAB.path("work/device.pem"))
        self.renew(says="is put right")
        self.assertEqual(LAB.read("work/device.pem"), good)

    def test_killed(self):
        """At any moment: what is there is whole, the old one or the new one, and the next run goes on."""
        import random
        import subprocess
        chance = random.Random(1)
        self.begin("--chain", "work/chain.pem")
        for i in range(int(os.environ.get("TPMTLS_KILL_ROUNDS", "12"))):
            self.form(age=25 * 86400, life=30 * 86400 + 60 * (i + 1))
            with subprocess.Popen([harness.PROGRAM, "renew", "--force", "device"], env=LAB.env, cwd=LAB.dir, stderr=subprocess.DEVNULL) as p:
                time.sleep(chance.random() * 0.4)
                p.kill()
            self.verified()
        self.form(life=60 * 86400)
        self.renew("--force", "device", says="renewed")
        self.assertEqual([n for n in os.listdir(LAB.path("work")) if ".tpmtls-" in n], [])

    def test_clock(self):
        self.form(age=-2, life=3600)
        self.enroll(code=6, says="is the clock right")

    def test_ca_has_a_new_key(self):
        self.begin()
        self.form(root=3)
        self.renew(code=3, says="leads to none of the CAs")  # nobody vouches for the new root
        self.form(root=2)
        self.renew("--force", "device", says="the old one vouches")
        self.verified(root="est/root2.pem")
        self.verified(root="est/root1.pem")  # for peers who have not heard of it
        trust = LAB.read("state/tpmtls/enrolments/device.trust.pem")
        self.assertEqual(trust.count(b"BEGIN"), 2)

    def test_two_at_once(self):
        self.enroll()
        import fcntl
        with open(LAB.path("state/tpmtls/enrolments/device.lock"), "w", encoding="utf-8") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            self.renew(code=6, says="another tpmtls is at work")

    def test_the_file_of_the_ca_is_not_needed(self):
        """Unless there is more in it: then it is said that it is gone."""
        LAB.write("work/ca.pem", LAB.read("est/root1.pem"))
        self.enroll(ca=("--ca", "work/ca.pem"))
        os.unlink(LAB.path("work/ca.pem"))
        time.sleep(1.1)
        self.assertNotIn("cannot be read", self.renew("--force", "device", says="renewed").err)
        LAB.write("work/ca.pem", LAB.read("est/root1.pem") + LAB.read("est/other.pem"))
        self.enroll(ca=("--ca", "work/ca.pem"))
        os.unlink(LAB.path("work/ca.pem"))
        time.sleep(1.1)
        self.renew("--force", "device", says="cannot be read any more")

    def test_state_is_damaged(self):
        self.enroll()
        LAB.write("state/tpmtls/enrolments/device.json", "{")
        self.renew(code=1, says="is damaged, or of another version")

    def test_key_lost(self):
        """The TPM was cleared: said; with --bootstrap a new key and a new certificate."""
        self.form(token="token:sesame", age=25 * 86400)
        self.enroll("--token-file", "token")
        self.form(token="token:sesame")
        LAB.env["TPMTLS_TPM"], former = "embedded:" + LAB.path("tpm2"), LAB.env["TPMTLS_TPM"]
        try:
            self.renew(code=4, says="or this TPM was cleared")
            self.renew("--force", "device", code=4, says="renew --bootstrap device")
            result = self.renew("--bootstrap", "--force", "device", says="the key is lost; its file is now")
            self.assertIn("renewed", result.err)
            self.verified()
            self.assertEqual(len([n for n in os.listdir(LAB.path("work")) if n.startswith("device.key.lost-")]), 1)
            time.sleep(1.1)  # the next one ends a second later
            self.renew("--force", "device", says="renewed")
        finally:
            LAB.env["TPMTLS_TPM"] = former

    def test_refused(self):
        """The certificate is not good any more: with --bootstrap the token is."""
        self.form(token="token:sesame", age=25 * 86400)
        self.enroll("--token-file", "token")
        self.form(token="token:sesame", refuse_certificate=True)
        self.renew(code=5, says="403: this certificate is not good here")
        self.renew("--bootstrap", "--force", "device", says="renewed")
        self.assertEqual(len(self.asked("simpleenroll")), 2)

    def test_identity(self):
        LAB.env["TPMTLS_IDENTITIES"] = LAB.path("work/ids")
        try:
            self.form(age=25 * 86400)
            self.ends(0, "enroll", "--server", "localhost:%d" % PORT, "--ca", "est/root1.pem", "--subject", "/CN=vpn", "--identity", "vpn")
            self.form()
            self.assertIn("CN=vpn", LAB.tpmtls("identity", "list").out.decode())
            self.renew("vpn", says="renewed")
        finally:
            del LAB.env["TPMTLS_IDENTITIES"]


class Service(Case):
    """`tpmtls ca serve`, our own."""

    def begin(self, *lines):
        for name in ("ca", "ca.conf"):
            shutil.rmtree(LAB.path("work/" + name), ignore_errors=True)
        LAB.must(harness.PROGRAM, "ca", "init", "--dir", "work/ca", "--subject", "/CN=Our CA")
        LAB.must(harness.PROGRAM, "key", "create", "-o", "work/server.key")
        LAB.must(harness.PROGRAM, "csr", "--key", "work/server.key", "--subject", "/CN=localhost", "--san", "DNS:localhost", "-o", "work/server.csr")
        LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "work/ca", "work/server.csr", "--profile", "server", "-o", "work/server.pem")
        LAB.write("work/ca.conf", "\n".join(["[ca]", "dir = work/ca", "listen = 127.0.0.1:0", "key = work/server.key", "cert = work/server.pem", *lines, ""]))
        return self.serve()

    def serve(self, port=0):
        LAB.write("work/ca.conf", LAB.read("work/ca.conf").replace(b"127.0.0.1:0", b"127.0.0.1:%d" % port))
        self.server = harness.Background([harness.PROGRAM, "ca", "serve", "work/ca.conf"], LAB.env, LAB.dir)
        self.addCleanup(self.server.stop)
        return int(self.server.wait_for(r"event=listening address=127.0.0.1:(\d+) for=est").group(1))

    @staticmethod
    def token(*options):
        said = json.loads(LAB.must(harness.PROGRAM, "--json", "ca", "token", "create", "--dir", "work/ca", *options).out)
        LAB.write("work/token", said["token"] + "\n")
        os.chmod(LAB.path("work/token"), 0o600)

    def enroll_at(self, port, *options, code=0, says="", ca=("--ca", "work/ca/ca.pem")):
        return self.ends(code, "enroll", "--server", "localhost:%d" % port, *ca, "--key", "work/device.key", "--subject", "/CN=device-1", "-o",
                         "work/device.pem", *options, says=says)

    def test_token_then_certificate(self):
        port = self.begin()
        self.token("--subject", "device-1")
        self.enroll_at(port, "--token-file", "work/token")
        self.verified(root="work/ca/ca.pem")
        time.sleep(1.1)  # the next one ends a second later
        self.renew("--force", "device", says="renewed")
        self.enroll_at(port, "--token-file", "work/token", code=5, says="the token used up")
        self.enroll_at(port, code=5, says="--token-file")

    def test_binding(self):
        """The request names its connection where the server demands it (RFC 9266)."""
        port = self.begin("binding = required")
        self.token()
        self.enroll_at(port, "--token-file", "work/token")
        time.sleep(1.1)
        self.renew("--force", "device", says="renewed")

    def waiting(self):
        return json.loads(LAB.must(harness.PROGRAM, "--json", "ca", "pending", "--dir", "work/ca").out)

    def test_binding_and_approval(self):
        """A request that waits for a person names the connection that it came by, and is asked for by others: as the same. One that the
        server does not know is made anew for its connection."""
        port = self.begin("binding = required", "retry-after = 1")
        LAB.write("work/ca/profiles.ini", LAB.read("work/ca/profiles.ini").decode() +
                  "\n[by-hand]\ndays = 90\nkey-usage = digitalSignature\npurposes = clientAuth\napproval = always\n")
        self.server.stop()
        port = self.serve(port)
        self.token("--profile", "by-hand", "--uses", "2")
        for options in (("--wait", "0"), ("--wait", "2"), ("--wait", "0")):
            self.enroll_at(port, "--token-file", "work/token", *options, code=6)
            self.assertEqual(len(self.waiting()), 1)
        LAB.must(harness.PROGRAM, "ca", "approve", "--dir", "work/ca", self.waiting()[0]["id"])
        self.enroll_at(port, "--token-file", "work/token")
        self.verified(root="work/ca/ca.pem")
        for wait in ("0", "0"):  # the renewal, too, and the second is no other request
            self.renew("--force", "--wait", wait, "device", code=6)
            self.assertEqual(len(self.waiting()), 1)
        LAB.must(harness.PROGRAM, "ca", "reject", "--dir", "work/ca", self.waiting()[0]["id"])
        self.renew("--force", "--wait", "0", "device", code=6)  # rejected; one that is made anew waits
        LAB.must(harness.PROGRAM, "ca", "approve", "--dir", "work/ca", self.waiting()[0]["id"])
        time.sleep(1.1)
        self.renew("--force", "device", says="renewed")

    def test_first_use(self):
        port = self.begin()
        self.token()
        mark = LAB.must("openssl", "x509", "-in", "work/ca/ca.pem", "-noout", "-fingerprint", "-sha256").out.decode().strip().split("=")[1].replace(":", "")
        self.enroll_at(port, "--token-file", "work/token", "--trust-on-first-use", "--fingerprint", "sha256:" + mark, ca=())

    def cross(self, of, by, out):
        """The key of one CA's directory, certified by the other's."""
        name = LAB.must("openssl", "x509", "-in", of + "/ca.pem", "-noout", "-ext", "subjectKeyIdentifier").out.decode().splitlines()[1].strip()
        LAB.write("work/cross.ext", "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
                                    "subjectKeyIdentifier=%s\nauthorityKeyIdentifier=keyid\n" % name)
        LAB.must("openssl", "req", "-new", "-key", of + "/ca.key", "-subj", "/CN=Our CA", "-out", "work/cross.csr")
        LAB.must("openssl", "x509", "-req", "-in", "work/cross.csr", "-CA", by + "/ca.pem", "-CAkey", by + "/ca.key", "-days", "300", "-extfile",
                 "work/cross.ext", "-out", out)

    def test_our_ca_has_a_new_key(self):
        """As docs/ca.md tells it: who was enrolled by the old key comes in by it, and goes over to the new root."""
        port = self.begin()
        self.token()
        self.enroll_at(port, "--token-file", "work/token")
        shutil.copy(LAB.path("work/device.pem"), LAB.path("work/before.pem"))
        self.server.stop()
        LAB.must(harness.PROGRAM, "ca", "init", "--dir", "work/next", "--subject", "/CN=Our CA")
        self.cross("work/next", "work/ca", "work/new-with-old.pem")
        self.cross("work/ca", "work/next", "work/old-with-new.pem")
        os.rename(LAB.path("work/ca"), LAB.path("work/kept"))
        shutil.copytree(LAB.path("work/kept"), LAB.path("work/ca"))
        for name in ("ca.pem", "ca.key"):
            os.replace(LAB.path("work/next/" + name), LAB.path("work/ca/" + name))
        LAB.write("work/ca/rollover.pem", LAB.read("work/new-with-old.pem") + LAB.read("work/old-with-new.pem"))
        self.serve(port)
        time.sleep(1.1)
        self.renew("--force", "device", says="the old one vouches")
        self.verified(root="work/ca/ca.pem")
        self.verified(root="work/kept/ca.pem")  # for peers who have not heard of it
        time.sleep(1.1)
        self.renew("--force", "device", says="renewed")  # with a certificate of the new key's
        # What the old key issued is revoked by the new one's CRL, for those who have the new root.
        LAB.must(harness.PROGRAM, "ca", "crl", "--dir", "work/ca", "-o", "work/now.crl")
        check = ("openssl", "verify", "-crl_check", "-CAfile", "work/ca/ca.pem", "-untrusted", "work/old-with-new.pem", "-CRLfile")
        LAB.must(*check, "work/now.crl", "work/before.pem")
        serial = LAB.must("openssl", "x509", "-in", "work/before.pem", "-noout", "-serial").out.decode().strip().split("=")[1]
        LAB.must(harness.PROGRAM, "ca", "revoke", "--dir", "work/ca", serial)
        LAB.must(harness.PROGRAM, "ca", "crl", "--dir", "work/ca", "-o", "work/later.crl")
        self.assertIn("certificate revoked", LAB.run(*check, "work/later.crl", "work/before.pem").err)

    def test_time_from_nothing(self):
        port = self.begin()
        self.token()
        start = time.monotonic()
        self.enroll_at(port, "--token-file", "work/token")
        print("# enrolled in %.2f s, key creation included" % (time.monotonic() - start))
        self.assertLess(time.monotonic() - start, 15)  # 1.5 s without sanitizers on a machine of its own (docs/enroll.md)


class Attested(Service):
    """A device with nothing but its endorsement key (docs/attestation.md)."""

    PROFILE = "\n[device]\ndays = 30\nkey-usage = digitalSignature\npurposes = clientAuth\nattestation = yes\none-identity = yes\nneed = subject\n"

    def setUp(self):
        super().setUp()
        self.chip = manufactured(LAB.path("work/chip"))
        if self.chip is None:
            self.skipTest("swtpm_setup is not installed (package swtpm-tools)")
        self.addCleanup(self.chip.stop)
        folder = LAB.path("work/chip/ca")
        LAB.write("work/roots", b"".join(LAB.read(os.path.join(folder, name)) for name in sorted(os.listdir(folder))
                                         if name.endswith("cert.pem") or name == "issuer.pem"))
        LAB.write("work/policy.ini", "ek-roots = roots\npcrs = sha256:7\n")
        self.env, LAB.env["TPMTLS_TPM"] = LAB.env["TPMTLS_TPM"], self.chip.tcti

    def tearDown(self):
        if hasattr(self, "env"):
            LAB.env["TPMTLS_TPM"] = self.env

    def begin(self, *lines):
        return self.elsewhere(*lines, "attest-policy = work/policy.ini")

    def elsewhere(self, *lines):
        """The server's own key is in another TPM."""
        LAB.env["TPMTLS_TPM"] = self.env
        try:
            return Service.begin(self, *lines)
        finally:
            LAB.env["TPMTLS_TPM"] = self.chip.tcti

    def profile(self):
        """Read again by the server when it is asked for."""
        LAB.write("work/ca/profiles.ini", LAB.read("work/ca/profiles.ini").decode() + self.PROFILE)

    def enroll_attested(self, port, *options, code=0, says=""):
        return self.ends(code, "--json", *VERBOSE, "enroll", "--server", "localhost:%d/device" % port, "--ca", "work/ca/ca.pem", "--key", "work/device.key",
                         "--subject", "/CN=device-1", "-o", "work/device.pem", "--attest", *options, says=says)

    def test_password_of_the_endorsement_hierarchy(self):
        """Both endorsement keys: of the elliptic curve's its password is not asked, of RSA's it is; the attestation key is derived by it."""
        port = self.begin()
        self.profile()
        self.chip.tools("tpm2_changeauth", "-Q", "-c", "e", "secret of the TPM")
        for name, word in (("right", "secret of the TPM"), ("wrong", "no secret")):
            LAB.write("work/" + name, word + "\n")
            os.chmod(LAB.path("work/" + name), 0o600)
        time.sleep(3)  # the profiles are read again
        result = self.enroll_attested(port, code=4, says="cannot derive the attestation key: the TPM's endorsement hierarchy has a password")
        self.assertIn("give it with --endorsement-auth-file FILE", result.err)
        self.enroll_attested(port, "--endorsement-auth-file", "work/wrong", code=4,
                             says="cannot derive the attestation key: the endorsement hierarchy's password is wrong")
        self.enroll_attested(port, "--endorsement-auth-file", "work/right", "--endorsement-auth-fd", "3", code=2, says="one option --endorsement-auth-")
        self.enroll_attested(port, "--endorsement-auth-file", "work/right")
        self.assertIn(LAB.path("work/right"), LAB.read("state/tpmtls/enrolments/device.json").decode())
        self.assertNotIn("secret of", LAB.read("state/tpmtls/enrolments/device.json").decode())
        time.sleep(1.1)
        self.renew("--force", "device", says="renewed")  # by the same file
        for ek in ("L-1", "H-3"):
            made = ("attest", "make", "--key", "work/device.key", "--nonce", "00" * 32, "--ek", ek, "-o", "work/evidence", "--force")
            self.ends(4, *made, says="--endorsement-auth-file")
            self.ends(0, *made, "--endorsement-auth-file", "work/right")

    def test_binding_and_approval(self):
        """The request that waits has its evidence and names the connection that it came by: both were judged then."""
        port = self.begin("binding = required")
        self.profile()
        LAB.write("work/ca/profiles.ini", LAB.read("work/ca/profiles.ini").decode() + "approval = always\n")
        time.sleep(3)  # the profiles are read again
        for _ in range(2):
            self.enroll_attested(port, "--wait", "0", code=6)
            self.assertEqual(len(self.waiting()), 1)
        LAB.must(harness.PROGRAM, "ca", "approve", "--dir", "work/ca", self.waiting()[0]["id"])
        self.enroll_attested(port)
        self.verified(root="work/ca/ca.pem")

    def test_commands_of_the_tpm(self):
        """With a key made for it, without a quote; one more where the TPM still tests itself."""
        LAB.write("work/policy.ini", "ek-roots = roots\n")
        port = self.begin()
        self.profile()
        time.sleep(3)  # the profiles are read again
        commands = json.loads(self.enroll_attested(port).out)["tpm_commands"]
        print("# attested enrolment without a quote: %d TPM commands" % commands)
        self.assertLessEqual(commands, 16 + len(VERBOSE))
        self.assertGreaterEqual(commands, 10)  # all of them were counted

    def test_enrol_renew_and_after_a_clear(self):
        port = self.begin()
        self.profile()
        time.sleep(3)  # the profiles are read again
        result = self.enroll_attested(port)
        commands = json.loads(result.out)["tpm_commands"]
        if VERBOSE:
            print("\n".join("# " + line for line in result.err.splitlines()))
        print("# attested enrolment: %d TPM commands" % commands)
        self.assertLessEqual(commands, 18 + len(VERBOSE))  # the quote, and the PCRs' values
        self.verified(root="work/ca/ca.pem")
        self.assertIn('"attested":true', LAB.must(harness.PROGRAM, "--json", "ca", "list", "--dir", "work/ca").out.decode().replace(" ", ""))
        time.sleep(1.1)
        self.renew("--force", "device", says="renewed")
        time.sleep(1.1)
        self.chip.tools("tpm2_clear", "-c", "p")
        self.renew("--force", "device", code=4, says="renew --bootstrap device")
        self.renew("--force", "--bootstrap", "device", says="the key is lost; its file is now")
        self.verified(root="work/ca/ca.pem")

    def test_not_asked_for(self):
        port = self.elsewhere()
        self.profile()
        time.sleep(3)
        self.enroll_attested(port, code=1, says="does not ask for evidence")

    def test_software_key(self):
        port = self.begin()
        self.profile()
        time.sleep(3)
        LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "work/device.key")
        self.enroll_attested(port, code=1, says="is a software key: no TPM can attest it")


for _name in ("test_token_then_certificate", "test_binding", "test_first_use", "test_our_ca_has_a_new_key", "test_time_from_nothing"):
    setattr(Attested, _name, None)


if __name__ == "__main__":
    harness.tap_main()
