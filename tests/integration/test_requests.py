"""tests/integration/test_requests.py: requests without a subject and with names of other kinds, made and certified; what is in them
is read by openssl and certtool."""

import unittest

import harness

LAB = None


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
    LAB.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")


def tearDownModule():
    LAB.close()


class Case(unittest.TestCase):
    def ends(self, code, *args, says=""):
        result = LAB.tpmtls(*args)
        self.assertEqual(result.code, code, "%s: %s" % (" ".join(args), result.err))
        self.assertIn(says, result.err)
        self.assertNotIn("Sanitizer", result.err)
        return result

    def request(self, *names, subject="/", code=0, says=""):
        LAB.must("rm", "-f", "r.csr")
        sans = [word for name in names for word in ("--san", name)]
        self.ends(code, "csr", "--key", "soft.key", "--subject", subject, *sans, "-o", "r.csr", says=says)

    def signed(self, *options, name="r.csr", code=0, says=""):
        LAB.must("rm", "-f", "r.pem")
        return self.ends(code, "ca", "sign", "--dir", "ca", name, "-o", "r.pem", *options, says=says)

    def text(self, kind, name):
        return LAB.must("openssl", kind, "-in", name, "-noout", "-text").out.decode()

    def others(self, *config, subject="/CN=x"):
        """A request of openssl's with these lines of configuration."""
        LAB.write("c", "[req]\ndistinguished_name=dn\nreq_extensions=e\n[dn]\n[e]\n" + "\n".join(config) + "\n")
        LAB.must("openssl", "req", "-new", "-key", "soft.key", "-config", "c", "-subj", subject, "-out", "o.csr")
        return "o.csr"


class EmptySubject(Case):
    def test_critical(self):
        """RFC 5280 4.2.1.6: without a subject the names are critical; with one they are not."""
        for subject in ("/", ""):
            self.request("URI:spiffe://example.org/device/1", subject=subject)
            self.assertRegex(self.text("req", "r.csr"), r"Subject: *\n[^$]*Subject Alternative Name: critical\s+URI:spiffe://example")
            seen = LAB.run("openssl", "req", "-in", "r.csr", "-verify", "-noout")
            self.assertIn("self-signature verify OK", seen.err + seen.out.decode())  # OpenSSL 3.6 says it on stdout
            self.assertIn("spiffe://example.org/device/1", LAB.must("certtool", "--crq-info", "--infile", "r.csr").out.decode())
            self.signed()
            self.assertRegex(self.text("x509", "r.pem"), r"Subject: *\n[^$]*Subject Alternative Name: critical\s+URI:spiffe://example")
            LAB.must("openssl", "verify", "-x509_strict", "-CAfile", "ca/ca.pem", "r.pem")
        self.request("URI:spiffe://example.org/device/1", subject="/CN=x")
        self.assertRegex(self.text("req", "r.csr"), r"Subject: CN ?= ?x\n[^$]*Subject Alternative Name: *\n")

    def test_nobody_at_all(self):
        for subject in ("/", ""):
            self.request(subject=subject, code=2, says="neither a subject nor alternative names")
        self.ends(2, "ca", "init", "--dir", "nobody", "--subject", "/")
        self.ends(2, "ca", "init", "--dir", "nobody", "--subject", "")


class OtherNames(Case):
    def test_upn(self):
        for name in ("UPN:dev@corp.example", "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:dev@corp.example", "upn:dev@corp.example"):
            self.request(name, "DNS:dev.corp.example", subject="/CN=dev")
            for kind, where in (("req", "r.csr"), ("x509", "r.pem")):
                if kind == "x509":
                    self.signed("--profile", "both")
                dump = LAB.must("openssl", "asn1parse", "-in", where, "-strparse", self.offset_of_san(where)).out.decode()
                self.assertRegex(dump, r"OBJECT +:Microsoft User Principal Name\n.*cont \[ 0 \].*\n.*UTF8STRING +:dev@corp.example")
        self.assertIn("dev@corp.example", LAB.must("certtool", "-i", "--infile", "r.pem").out.decode())
        shown = LAB.must(harness.PROGRAM, "ca", "list", "--dir", "ca")
        self.assertIn(b"dev", shown.out)

    def offset_of_san(self, where):
        """Where the octets of subjectAltName's value begin."""
        lines = LAB.must("openssl", "asn1parse", "-in", where).out.decode().splitlines()
        at = next(i for i, line in enumerate(lines) if "X509v3 Subject Alternative Name" in line)
        return next(line for line in lines[at:] if "OCTET STRING" in line).split(":")[0].strip()

    def test_hardware_module_name(self):
        self.request("HardwareModuleName:1.3.6.1.4.1.99999.1:534E30303031")
        mine = LAB.must("openssl", "asn1parse", "-in", "r.csr", "-strparse", self.offset_of_san("r.csr")).out.decode()
        self.assertRegex(mine, r"(?s)OBJECT +:(1.3.6.1.5.5.7.8.4|id-on-hardwareModuleName|Hardware Module Name).*SEQUENCE.*"
                               r"OBJECT +:1.3.6.1.4.1.99999.1\n.*OCTET STRING +:SN0001")
        self.others("subjectAltName=critical,otherName:1.3.6.1.5.5.7.8.4;SEQUENCE:hw", "[hw]", "a=OID:1.3.6.1.4.1.99999.1",
                    "b=FORMAT:HEX,OCT:534E30303031", subject="/")
        theirs = LAB.must("openssl", "asn1parse", "-in", "o.csr", "-strparse", self.offset_of_san("o.csr")).out.decode()
        self.assertEqual(mine, theirs)
        for name in ("r.csr", "o.csr"):
            self.signed(name=name)
            self.assertEqual(LAB.must("openssl", "asn1parse", "-in", "r.pem", "-strparse", self.offset_of_san("r.pem")).out.decode(), theirs)

    def test_what_is_none(self):
        for name in ("UPN:", "UPN:dev", "UPN:@corp.example", "UPN:dev@", "UPN:a@b@corp.example", "UPN:a b@corp.example", "UPN:dev@-x",
                     "UPN:dev@corp.example\u202e", "UPN:d\x01v@corp.example", "HardwareModuleName:", "HardwareModuleName:1.2.3",
                     "HardwareModuleName:1.2.3:", "HardwareModuleName:1.2.3:0", "HardwareModuleName:1.2.3:0g",
                     "HardwareModuleName:x:00", "HardwareModuleName:1.2.3:" + "00" * 65, "otherName:1.2.3;UTF8:x"):
            self.request(name, subject="/CN=x", code=2, says="hint")

    def test_the_profile(self):
        """A server is not known by such names."""
        self.request("UPN:dev@corp.example", "DNS:dev.corp.example", subject="/CN=dev")
        self.signed("--profile", "server", code=1, says="which the profile server does not allow")
        self.signed("--profile", "client")
        self.signed("--profile", "both")

    def test_requests_of_others(self):
        """Other kinds, other types of string, and names that are none: not certified."""
        for config, says in ((["subjectAltName=otherName:1.2.3.4;UTF8:x"], "otherName of a kind that is not certified"),
                             (["subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;BMP:dev@corp.example"], "not certified"),
                             (["subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:dev"], "UPN"),
                             (["subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:a@b@c"], "UPN"),
                             (["subjectAltName=DER:301ba019060a2b060104018237140203a00b0c096100406263642e6578"], "UPN"),  # a NUL
                             (["subjectAltName=otherName:1.3.6.1.5.5.7.8.4;UTF8:x"], "not certified"),
                             (["subjectAltName=otherName:1.3.6.1.5.5.7.8.4;SEQUENCE:hw", "[hw]", "a=OID:1.2.3"], "damaged"),
                             (["subjectAltName=otherName:1.3.6.1.5.5.7.8.4;SEQUENCE:hw", "[hw]", "a=OID:1.2.3", "b=OCT:x", "c=OCT:y"],
                              "damaged")):
            self.signed(name=self.others(*config), code=1, says=says)
        self.signed(name=self.others("subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:dev@corp.example"))

    def test_said_twice(self):
        self.request("UPN:dev@corp.example", "UPN:dev@corp.example", "DNS:a.example", "DNS:a.example", "UPN:other@corp.example")
        dump = LAB.must("openssl", "asn1parse", "-in", "r.csr", "-strparse", self.offset_of_san("r.csr")).out.decode()
        self.assertEqual((dump.count("UTF8STRING"), dump.count("cont [ 2 ]")), (2, 1))


if __name__ == "__main__":
    harness.tap_main()
