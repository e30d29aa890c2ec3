#!/usr/bin/env python3
"""tests/proxy/test_units.py: the units of the proxy and of the CA, as systemd reads them: nothing unknown in them, and how much they
leave to whoever takes the service over."""
import os
import re
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402

LAB = None
UNITS = os.path.join(harness.ROOT, "packaging", "systemd")
EXPOSURE_MAX = 2.0  # "OK" begins at 5, "SAFE" below 1


def setUpModule():
    global LAB
    LAB = harness.Lab()
    for unit, name in (("tpmtls-proxy@.service.in", "tpmtls-proxy@test.service"), ("tpmtls-ca.service.in", "tpmtls-ca.service"),
                       ("tpmtls-renew@.service.in", "tpmtls-renew@test.service")):
        with open(os.path.join(UNITS, unit), encoding="utf-8") as f:
            LAB.write(name, f.read().replace("@sysconfdir@", "/etc").replace("@bindir@/tpmtls", harness.PROGRAM))
    shutil.copy(os.path.join(UNITS, "tpmtls-proxy@.socket"), LAB.path("tpmtls-proxy@test.socket"))
    shutil.copy(os.path.join(UNITS, "tpmtls-renew@.timer"), LAB.path("tpmtls-renew@test.timer"))


def tearDownModule():
    LAB.close()


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Units(unittest.TestCase):
    def verify(self, name):
        return LAB.run("systemd-analyze", "verify", "--man=no", LAB.path(name))

    def test_read_without_complaint(self):
        for name in ("tpmtls-proxy@test.service", "tpmtls-proxy@test.socket", "tpmtls-ca.service", "tpmtls-renew@test.service", "tpmtls-renew@test.timer"):
            done = self.verify(name)
            self.assertEqual((done.code, done.err), (0, ""), name)

    def test_a_fault_is_found(self):
        LAB.write("tpmtls-proxy@bad.service", LAB.read("tpmtls-proxy@test.service").replace(b"PrivateTmp", b"PrivatTmp"))
        self.assertIn("PrivatTmp", self.verify("tpmtls-proxy@bad.service").err)

    def test_exposure(self):
        for name in ("tpmtls-proxy@test.service", "tpmtls-ca.service", "tpmtls-renew@test.service"):
            done = LAB.run("systemd-analyze", "security", "--offline=true", LAB.path(name), env={"SYSTEMD_COLORS": "0"})
            level = re.search(r"Overall exposure level for .*: ([0-9.]+)", done.out.decode())
            self.assertIsNotNone(level, done.err)
            self.assertLessEqual(float(level.group(1)), EXPOSURE_MAX, done.out.decode())


@unittest.skipUnless(shutil.which("systemd-sysusers"), "systemd-sysusers is not installed")
class User(unittest.TestCase):
    def test_is_made(self):
        os.makedirs(LAB.path("root/etc"), exist_ok=True)
        done = LAB.run("systemd-sysusers", "--root=" + LAB.path("root"), os.path.join(UNITS, "tpmtls.sysusers"))
        if done.code != 0 and os.geteuid() != 0:
            self.skipTest("systemd-sysusers wants root here")
        self.assertEqual(done.code, 0, done.err)
        self.assertRegex(LAB.read("root/etc/passwd").decode(), r"(?m)^tpmtls:")
        self.assertRegex(LAB.read("root/etc/group").decode(), r"(?m)^tss:.*tpmtls")


if __name__ == "__main__":
    harness.tap_main()
