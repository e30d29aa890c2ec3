"""tests/lab/test_doctor.py: `tpmtls doctor` against a swtpm in several states, chips the lab plays, and no TPM at all."""

import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_tools  # noqa: E402
from test_tools import harness  # noqa: E402

CERT = "0x01c00002"


class Case(unittest.TestCase):
    """Each test has a TPM of its own: its state is what is tested."""

    def setUp(self):
        self.lab = test_tools.ToolLab()
        self.addCleanup(self.lab.close)
        self.tpm = self.lab.chip.tcti

    def tool(self, *command, code=0):
        result = self.lab.run(command[0], "-T", self.tpm, *command[1:])
        if code is not None:
            self.assertEqual(result.code, code, result.err)
        return result

    def doctor(self, *args, tpm=None, code=0):
        result = self.lab.tpmtls("--tpm", tpm or self.tpm, "--json", "doctor", *args)
        self.assertEqual(result.code, code, result.out + result.err.encode())
        self.assertEqual(result.out.count(b"\n"), 1)
        page = json.loads(result.out)
        self.assertEqual(page["tls13_possible"], code == 0)
        return page

    def play(self, options, *args, code=0):
        return self.doctor(*args, tpm="lab:%s:%s" % (options, self.tpm), code=code)

    def hint(self, page, text):
        self.assertTrue(any(text in hint for hint in page["hints"]), page["hints"])

    def no_hint(self, page, text):
        self.assertFalse(any(text in hint for hint in page["hints"]), page["hints"])

    def key(self, page, name):
        return next(key for key in page["keys"] if key["type"] == name)


class States(Case):
    def test_new(self):
        page = self.doctor()
        self.assertEqual(page["manufacturer"], "IBM")
        self.assertEqual((page["kind"], page["emulated"]), ("virtual", True))
        self.assertRegex(page["spec"], r"^2\.0 revision 1\.\d\d$")
        self.assertLessEqual({"sha256", "sha384"}, set(page["hashes"]))
        self.assertLessEqual({"p256", "p384"}, set(page["curves"]))
        self.assertLessEqual({"2048", "3072"}, set(page["rsa"]))
        self.assertEqual(page["pss_salt"], {"measured": True, "bytes": 32, "valid": True, "fips": False})
        self.assertFalse(page["lockout"]["locked"])
        self.assertEqual(page["srk"], {"at_handle": False, "standard": False, "derivable": True, "usable": False, "counts": False})
        self.assertEqual(page["space"]["slots"], 3)
        self.assertEqual(page["ek"]["certificates"], [])
        self.assertGreater(page["clock"]["milliseconds"], 0)
        for name in ("p256", "p384", "rsa2048"):
            key = self.key(page, name)
            self.assertTrue(key["works"], key)
            self.assertGreater(min(key["create_us"], key["load_us"], key["sign_us"]), 0)
        self.assertFalse(self.key(page, "rsa4096")["has"])
        sign = next(row for row in page["latency"] if row["command"] == "TPM2_Sign p256")
        self.assertEqual(sign["count"], 3)
        self.hint(page, "emulated")

    def test_it_leaves_nothing_behind(self):
        handles = ("handles-transient", "handles-persistent", "handles-loaded-session", "handles-saved-session")
        before = [self.tool("tpm2_getcap", what).out for what in handles]
        self.doctor()
        self.assertEqual([self.tool("tpm2_getcap", what).out for what in handles], before)

    def test_quick(self):
        page = self.doctor("--quick")
        self.assertFalse(page["pss_salt"]["measured"])
        self.assertFalse(self.key(page, "rsa2048")["tried"])
        self.assertFalse(any("rsa" in row["command"] for row in page["latency"]))

    def test_srk_as_the_hint_says(self):
        hint = next(hint for hint in self.doctor("--quick")["hints"] if "tpm2_createprimary" in hint)
        for command in hint.split("keep it: ")[1].split(" && "):
            self.tool(*shlex.split(command))
        self.tool("tpm2_flushcontext", "-t")
        page = self.doctor("--quick")
        self.assertEqual(page["srk"], {"at_handle": True, "standard": True, "derivable": True, "usable": True, "counts": False})
        self.no_hint(page, "storage root key")

    def test_another_key_in_its_place(self):
        self.tool("tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "p.ctx")
        self.tool("tpm2_evictcontrol", "-C", "o", "-c", "p.ctx", "0x81000001")
        self.tool("tpm2_flushcontext", "-t")
        page = self.doctor("--quick")
        self.assertEqual((page["srk"]["at_handle"], page["srk"]["standard"]), (True, False))
        self.hint(page, "is not the standard ECC storage root key")

    def test_locked_out(self):
        self.lab.write("secret", "x")
        page = self.doctor("--quick")
        self.assertFalse([hint for hint in page["hints"] if "daUsed" in hint])
        text = self.lab.tpmtls("--tpm", self.tpm, "doctor", "--quick").out.decode()
        self.assertRegex(text, r"(?m)^lockout: +no \(0 of \d+ counted, .*what counts: wrong passwords, and power cuts")
        self.tool("tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "p.ctx")
        self.tool("tpm2_create", "-C", "p.ctx", "-i", "secret", "-p", "right", "-u", "k.pub", "-r", "k.priv", "-a",
                  "fixedtpm|fixedparent|userwithauth")
        self.tool("tpm2_flushcontext", "-t")
        self.tool("tpm2_load", "-C", "p.ctx", "-u", "k.pub", "-r", "k.priv", "-c", "k.ctx")
        self.tool("tpm2_flushcontext", "-t")
        for _ in range(4):
            self.tool("tpm2_unseal", "-c", "k.ctx", "-p", "wrong", code=None)
            self.tool("tpm2_flushcontext", "-t")
        page = self.doctor("--quick")  # keys without a password still work
        lockout = page["lockout"]
        self.assertTrue(lockout["locked"])
        self.assertGreaterEqual(lockout["failures"], lockout["max_failures"])
        self.assertGreater(lockout["seconds_to_unlock"], 0)
        self.hint(page, "tpm2_dictionarylockout --clear-lockout")
        self.hint(page, "may be no attack: a loss of its power without TPM2_Shutdown")
        text = self.lab.tpmtls("--tpm", self.tpm, "doctor", "--quick").out.decode()
        self.assertRegex(text, r"(?m)^lockout: +LOCKED for \d+ s more")

    def test_owner_password(self):
        self.tool("tpm2_changeauth", "-c", "o", "secret")
        page = self.doctor("--quick", code=4)
        self.assertTrue(page["passwords"]["owner"])
        self.hint(page, "owner hierarchy has a password")

    def test_slots_full(self):
        for _ in range(3):
            self.tool("tpm2_createprimary", "-C", "n", "-G", "ecc")
        page = self.doctor("--quick", code=4)
        self.assertEqual(page["space"]["slots_free"], 0)
        self.hint(page, "no object slot is free")


class Endorsement(Case):
    def certificates(self):
        run = self.lab.must
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "root.key",
            "-out", "root.pem", "-subj", "/CN=Vendor Root", "-days", "30")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ek.key", "-out",
            "ek.csr", "-subj", "/CN=EK")
        self.lab.write("ek.ext", "extendedKeyUsage=2.23.133.8.1\nbasicConstraints=critical,CA:FALSE\n")
        run("openssl", "x509", "-req", "-in", "ek.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out",
            "ek.der", "-outform", "DER", "-days", "10", "-extfile", "ek.ext")

    def put(self, index, content, attributes="ownerread|ownerwrite|authread|authwrite|no_da"):
        self.lab.write("nv", content)
        self.tool("tpm2_nvdefine", index, "-C", "o", "-s", str(len(content)), "-a", attributes)
        self.tool("tpm2_nvwrite", index, "-C", "o", "-i", "nv")

    def test_certificate(self):
        self.certificates()
        self.put(CERT, self.lab.read("ek.der") + b"\xff" * 100)  # vendors pad
        found = self.doctor("--quick")["ek"]["certificates"]
        self.assertEqual(len(found), 1)
        self.assertEqual((found[0]["issuer"], found[0]["key"], found[0]["expired"]), ("CN=Vendor Root", "P-256", False))
        self.assertEqual(found[0]["chain"], "not asked for")
        page = self.doctor("--quick", "--ek-roots", "root.pem")
        self.assertEqual(page["ek"]["certificates"][0]["chain"], "leads to a root that was given")
        self.lab.must("openssl", "req", "-x509", "-key", "root.key", "-out", "other.pem", "-subj", "/CN=Other", "-days", "30")
        page = self.doctor("--quick", "--ek-roots", "other.pem")
        self.assertIn("does not lead", page["ek"]["certificates"][0]["chain"])
        self.hint(page, "leads to no root of the file")
        text = self.lab.tpmtls("--tpm", self.tpm, "doctor", "--quick").out.decode()
        self.assertRegex(text, r"(?m)^EK certificate: +0x01c00002: P-256, by CN=Vendor Root, until 20\d\d-")

    def test_expired(self):
        self.lab.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")
        self.lab.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
        self.lab.dated_certificate("e", "20200101000000Z", "20200201000000Z")
        self.lab.must("openssl", "x509", "-in", "e.pem", "-outform", "DER", "-out", "e.der")
        self.put(CERT, self.lab.read("e.der"))
        page = self.doctor("--quick")
        self.assertTrue(page["ek"]["certificates"][0]["expired"])
        self.hint(page, "expired on")

    def test_garbage(self):
        self.put(CERT, b"\x30\x82\xff\xff" + b"x" * 200)
        page = self.doctor("--quick")
        self.assertEqual(page["ek"]["certificates"][0]["chain"], "not a certificate")
        self.hint(page, "should hold an endorsement certificate")

    def test_an_empty_password_is_not_tried(self):
        """An index that counts wrong passwords, under an owner with a password: it is not read."""
        self.put(CERT, b"0" * 50, "ownerread|ownerwrite|authread|authwrite")
        self.tool("tpm2_changeauth", "-c", "o", "secret")
        page = self.doctor("--quick", code=4)
        self.assertIn("owner hierarchy has a password", page["ek"]["certificates"][0]["chain"])
        page = self.doctor("--quick", code=4)
        self.assertEqual(page["lockout"]["failures"], 0)


class Chips(Case):
    def test_no_p384(self):
        page = self.play("lacks=p384", "--quick")
        self.assertNotIn("p384", page["curves"])
        key = self.key(page, "p384")
        self.assertEqual((key["has"], key["works"]), (False, False))

    def test_maximum_salt(self):
        page = self.play("salt=max,fips=on")
        self.assertEqual(page["pss_salt"], {"measured": True, "bytes": 222, "valid": True, "fips": True})
        self.assertTrue(self.key(page, "rsa2048")["works"])
        self.hint(page, "a salt of 222 bytes where TLS 1.3 demands 32")

    def test_two_slots(self):
        page = self.play("slots=2", "--quick")
        self.assertEqual(page["space"]["slots"], 2)
        self.assertTrue(self.key(page, "p256")["works"])
        self.hint(page, "only 2 object slots")

    def test_no_usable_curve(self):
        page = self.play("lacks=p256+p384+p521+rsa2048+rsa3072+rsa4096", code=4)
        self.assertFalse(page["pss_salt"]["measured"])
        self.hint(page, "no type of key works for TLS 1.3 here")

    def test_profile(self):
        page = self.play("profile=jetson,jitter=off", "--quick")
        row = next(row for row in page["latency"] if row["command"] == "TPM2_Sign p256")
        self.assertGreaterEqual(row["median_us"], 45139)

    def test_one_that_hangs(self):
        """It is given up: what was seen until then is told; nothing waits for ever."""
        for fault, reached in (("hang@Sign", True), ("hang#1", False)):
            tpm = "lab:fault=%s:%s" % (fault, self.tpm)
            result = self.lab.tpmtls("--tpm", tpm, "--tpm-timeout", "1", "--json", "doctor", "--quick")
            page = json.loads(result.out)
            self.assertEqual((result.code, page["reached"]), (4, reached))
            self.hint(page, "gave no answer for 1 s and was given up")
        self.lab.must("tpm2_flushcontext", "-T", self.tpm, "-t")
        self.lab.tpmtls("--tpm", self.tpm, "key", "create", "-o", "k.key")
        for command in (("csr", "--key", "k.key", "--subject", "/CN=x"), ("key", "list"), ("key", "show", "k.key")):
            result = self.lab.tpmtls("--tpm", "lab:fault=hang#1-:" + self.tpm, "--tpm-timeout", "1", *command)
            self.assertEqual(result.code, 4)
            self.assertRegex(result.err, "gave no answer for|does not answer when it is opened again")
        for wrong in ("0", "5x", "-1", "", "3601"):
            self.assertEqual(self.lab.tpmtls("--tpm", self.tpm, "--tpm-timeout", wrong, "key", "list").code, 2)

    def test_broken(self):
        page = self.play("fault=failure#1-", code=4)
        self.assertFalse(page["reached"])
        for fault in ("drop#3-", "garble.5#2-", "lockout#6-", "shorten.10#4-", "failure@Sign#1-", "garble.9@NV_ReadPublic"):
            page = json.loads(self.lab.tpmtls("--tpm", "lab:fault=%s:%s" % (fault, self.tpm), "--json", "doctor", "--quick").out)
            self.assertIn("hints", page)


class Profiles(unittest.TestCase):
    """What the page says of each chip the lab plays; microseconds of its ECDSA P-256 signature, as published."""

    SIGN = {"ns350": 16816, "slb9670": 68865, "slb9672": 35621, "st33ktpm": 25251, "npct650": 190149, "npct750": 56399,
            "qvault": 72781, "jetson": 45139, "pc": 200000}

    def page(self, name):
        lab = test_tools.ToolLab()
        try:
            tpm = "lab:profile=%s,jitter=off:%s" % (name, lab.chip.tcti)
            result = lab.tpmtls("--tpm", tpm, "--json", "doctor", "--quick", timeout=120)
            return result.code, json.loads(result.out)
        finally:
            lab.close()

    def test_each(self):
        with concurrent.futures.ThreadPoolExecutor(len(self.SIGN)) as pool:
            pages = dict(zip(self.SIGN, pool.map(self.page, self.SIGN)))
        for name, (code, page) in pages.items():
            keys = {key["type"]: key for key in page["keys"]}
            self.assertEqual((code, keys["p256"]["works"]), (0, True), name)
            self.assertGreaterEqual(keys["p256"]["sign_us"], self.SIGN[name], name)
            self.assertGreaterEqual(keys["p256"]["load_us"], self.SIGN[name] // 4, name)
            has_sha384 = name not in ("slb9670", "npct650")
            self.assertEqual("sha384" in page["hashes"], has_sha384, name)
            self.assertEqual(keys["p384"]["works"], has_sha384, name)
            if not has_sha384:
                self.assertIn("cannot make a key of type p384", keys["p384"]["why"])


class Nothing(unittest.TestCase):
    def setUp(self):
        self.lab = harness.Lab()
        self.addCleanup(self.lab.close)

    def page(self, tpm):
        result = self.lab.tpmtls("--tpm", tpm, "--json", "doctor")
        self.assertEqual(result.code, 4, result.err)
        page = json.loads(result.out)
        self.assertEqual((page["reached"], page["tls13_possible"]), (False, False))
        self.assertTrue(page["hints"])
        return page

    def test_no_device(self):
        page = self.page("device:/dev/tpm-that-is-not")
        self.assertIn("there is no such device", page["error"])
        self.assertEqual([place["where"] for place in page["places"]],
                         ["/dev/tpmrm0", "/dev/tpm0", "device:/dev/tpm-that-is-not"])

    def test_nobody_answers(self):
        self.page("swtpm:path=/nowhere")

    def test_no_permission(self):
        """As somebody who may not: a device's file that belongs to another."""
        program = self.lab.path("tpmtls")
        shutil.copy(harness.PROGRAM, program)
        device = self.lab.path("tpm0")
        self.lab.write("tpm0", "")
        os.chmod(self.lab.dir, 0o755)
        os.chmod(device, 0o000)
        who = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        done = subprocess.run([program, "--tpm", "device:" + device, "--json", "doctor"], stdout=subprocess.PIPE, timeout=60,
                              cwd="/", check=False, **who)
        page = json.loads(done.stdout)
        self.assertEqual(done.returncode, 4)
        self.assertIn("permission denied", page["error"])
        self.assertRegex(page["hints"][0], "group")

    def test_usage(self):
        self.assertEqual(self.lab.tpmtls("doctor", "--nope").code, 2)
        self.assertEqual(self.lab.tpmtls("doctor", "word").code, 2)
        self.assertIn(b"usage: tpmtls", self.lab.tpmtls("doctor", "--help").out)
        result = self.lab.tpmtls("--tpm", "lab:profil=x:swtpm", "doctor")
        self.assertEqual(result.code, 2)
        self.assertTrue(re.search("there is no option 'profil='", result.err))
        self.assertEqual(self.lab.tpmtls("--tpm", "swtpm", "doctor", "--ek-roots", "/nowhere").code, 1)


if __name__ == "__main__":
    harness.tap_main()
