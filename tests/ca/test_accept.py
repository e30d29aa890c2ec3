#!/usr/bin/env python3
"""What the CA makes stands before others: OpenSSL (strict), GnuTLS, NSS, Go. A root and an issuing CA below it, with keys of several
kinds, one of them in a TPM; certificates of each profile with all that a profile may put in; empty subjects, dates past 2050."""
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

PROGRAM = os.path.abspath(sys.argv[1])
TESTS = []
GO = r"""
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func read(path string) []*x509.Certificate {
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var found []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			fmt.Println(path, err)
			os.Exit(1)
		}
		found = append(found, c)
	}
	return found
}

func main() {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range read(os.Args[1]) {
		roots.AddCert(c)
	}
	for _, c := range read(os.Args[2]) {
		between.AddCert(c)
	}
	usage := x509.ExtKeyUsageClientAuth
	if os.Args[3] == "server" {
		usage = x509.ExtKeyUsageServerAuth
	}
	for _, path := range os.Args[4:] {
		options := x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}}
		if usage == x509.ExtKeyUsageServerAuth {
			options.DNSName = "a.example.org"
		}
		if _, err := read(path)[0].Verify(options); err != nil {
			fmt.Println(path, err)
			os.Exit(1)
		}
	}
	if data, err := os.ReadFile("ca.crl.der"); err == nil {
		if list, err := x509.ParseCRL(data); err != nil || read(os.Args[2])[0].CheckCRLSignature(list) != nil {
			fmt.Println("the CRL", err)
			os.Exit(1)
		}
	}
}
"""


class Skip(Exception):
    pass


def test(fn):
    TESTS.append(fn)
    return fn


def run(*command, code=0, says=None):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == code, "%s: exit code %d\n%s" % (" ".join(command), done.returncode, said)
    assert says is None or says in said, "%s: not '%s' but\n%s" % (" ".join(command), says, said)
    return said


LEAVES = {"client": [], "server": [], "both": []}


def make():
    """All that is judged below, once."""
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "root.key")
    run(PROGRAM, "ca", "init", "--dir", "root", "--subject", "/C=XX/O=Exämple/CN=Root", "--key", "root.key", "--path-length", "1",
        "--days", "18250")  # past 2050
    run(PROGRAM, "ca", "init", "--dir", "ca", "--parent", "root", "--subject", "/C=XX/O=Exämple/CN=Issuing", "--days", "10000",
        "--crl-url", "http://ca.example.org/ca.crl", "--ocsp-url", "http://ca.example.org/ocsp", "--issuer-url",
        "http://ca.example.org/ca.cer")
    with open("ca/profiles.ini", encoding="utf-8") as f:
        text = f.read()
    assert "\ncrl-url = http://ca.example.org/ca.crl\n" in text and "\nocsp-url = http://ca.example.org/ocsp\n" in text
    with open("ca/profiles.ini", "w", encoding="utf-8") as f:
        f.write(text.replace("[server]\n", "[server]\npolicies = 1.3.6.1.4.1.99999.2\n"))
    keys = {"p256": ("EC", "ec_paramgen_curve:P-256"), "p521": ("EC", "ec_paramgen_curve:P-521"), "rsa": ("RSA", "rsa_keygen_bits:2048")}
    for name, (kind, option) in keys.items():
        run("openssl", "genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", name + ".key")
        for profile in LEAVES:
            for subject in ("/O=Exämple/CN=device", "/"):
                out = "%s-%s-%d.pem" % (name, profile, len(subject))
                san = ["--san", "DNS:a.example.org", "--san", "IP:2001:db8::1"]
                run(PROGRAM, "csr", "--key", name + ".key", "--subject", subject, *san, "-o", "a.csr", "--force")
                run(PROGRAM, "ca", "sign", "--dir", "ca", "--profile", profile, "a.csr", "-o", out,
                    *(["--days", "9990"] if subject != "/" else []))
                LEAVES[profile].append(out)
    run(PROGRAM, "ca", "crl", "--dir", "ca", "-o", "ca.crl")
    run(PROGRAM, "ca", "crl", "--dir", "ca", "--der", "-o", "ca.crl.der")
    run("openssl", "x509", "-in", "ca/ca.pem", "-out", "issuing.pem")  # the first of the file


@test
def openssl_strictly():
    for profile, leaves in LEAVES.items():
        for purpose in ("sslclient", "sslserver"):
            good = profile == "both" or purpose == "ssl" + profile
            for leaf in leaves:
                run("openssl", "verify", "-x509_strict", "-purpose", purpose, "-policy_check", "-crl_check", "-CRLfile", "ca.crl", "-CAfile", "root/ca.pem",
                    "-untrusted", "issuing.pem", leaf, code=0 if good else 2)


@test
def gnutls():
    for leaf in sum(LEAVES.values(), []):
        with open("chain.pem", "wb") as f:
            for part in (leaf, "issuing.pem"):
                with open(part, "rb") as p:
                    f.write(p.read())
        run("certtool", "--verify", "--verify-profile", "medium", "--load-ca-certificate", "root/ca.pem", "--infile", "chain.pem",
            says="The certificate is trusted")
    run("certtool", "--verify-crl", "--load-ca-certificate", "issuing.pem", "--infile", "ca.crl", says="Verified")


@test
def nss():
    vfychain = shutil.which("vfychain") or "/usr/lib/nss/unsupported-tools/vfychain"
    if shutil.which("certutil") is None:
        raise Skip("no certutil")
    os.mkdir("nss")
    run("certutil", "-N", "-d", "sql:nss", "--empty-password")
    run("certutil", "-A", "-d", "sql:nss", "-n", "root", "-t", "CT,C,C", "-i", "root/ca.pem")
    run("certutil", "-A", "-d", "sql:nss", "-n", "issuing", "-t", ",,", "-i", "issuing.pem")
    for profile, leaves in LEAVES.items():
        for leaf in leaves:
            run("certutil", "-A", "-d", "sql:nss", "-n", leaf, "-t", ",,", "-i", leaf)
            usage = {"client": "C", "server": "V", "both": "V"}[profile]
            if usage == "V" and leaf.startswith("rsa"):
                # Of an RSA key NSS wants keyEncipherment, too, for the key exchange that TLS 1.3 has not: docs/ca.md
                run("certutil", "-V", "-d", "sql:nss", "-n", leaf, "-u", usage, "-e", code=255, says="key usage inadequate")
                continue
            run("certutil", "-V", "-d", "sql:nss", "-n", leaf, "-u", usage, "-e", says="certificate is valid")
            if os.access(vfychain, os.X_OK):
                run(vfychain, "-pp", "-u", {"C": "0", "V": "1"}[usage], "-d", "sql:nss", "-a", leaf, "-a", "issuing.pem", says="Chain is good")
    with open("ca/profiles.ini", encoding="utf-8") as f:
        text = f.read()
    with open("ca/profiles.ini", "w", encoding="utf-8") as f:
        f.write(text.replace("key-usage = digitalSignature", "key-usage = digitalSignature keyEncipherment"))
    run(PROGRAM, "csr", "--key", "rsa.key", "--subject", "/CN=a", "--san", "DNS:a.example.org", "-o", "a.csr", "--force")
    run(PROGRAM, "ca", "sign", "--dir", "ca", "--profile", "server", "a.csr", "-o", "old.pem")
    run("certutil", "-A", "-d", "sql:nss", "-n", "old", "-t", ",,", "-i", "old.pem")
    run("certutil", "-V", "-d", "sql:nss", "-n", "old", "-u", "V", "-e", says="certificate is valid")
    run("crlutil", "-I", "-d", "sql:nss", "-i", "ca.crl.der", "-t", "1")
    shown = run("crlutil", "-L", "-d", "sql:nss", "-n", "issuing")
    assert "Issuing" in shown, shown


@test
def go():
    if shutil.which("go") is None:
        raise Skip("no Go")
    with open("verify.go", "w", encoding="utf-8") as f:
        f.write(GO)
    os.environ.update(GOCACHE=os.path.abspath("gocache"), GOFLAGS="-mod=mod", GO111MODULE="off", HOME=os.getcwd())
    run("go", "build", "-o", "verify", "verify.go")
    run("./verify", "root/ca.pem", "issuing.pem", "client", *LEAVES["client"], *LEAVES["both"])
    run("./verify", "root/ca.pem", "issuing.pem", "server", *LEAVES["server"], *LEAVES["both"])
    run("./verify", "root/ca.pem", "issuing.pem", "server", LEAVES["client"][0], code=1)


@test
def keys_in_a_tpm():
    """A root and an issuing CA whose keys are in the same TPM."""
    if shutil.which("swtpm") is None:
        raise Skip("no swtpm")
    os.environ["TPMTLS_TPM"] = "embedded:" + os.path.abspath("tpm")
    run(PROGRAM, "key", "create", "-o", "troot.key")
    run(PROGRAM, "key", "create", "-o", "tca.key")
    run(PROGRAM, "ca", "init", "--dir", "troot", "--subject", "/CN=TPM Root", "--key", "troot.key", "--path-length", "1",
        says="its key is in the TPM")
    run(PROGRAM, "ca", "init", "--dir", "tca", "--parent", "troot", "--subject", "/CN=TPM Issuing", "--key", "tca.key")
    run(PROGRAM, "csr", "--key", "p256.key", "--subject", "/CN=a", "-o", "t.csr")
    run(PROGRAM, "ca", "sign", "--dir", "tca", "t.csr", "--chain", "-o", "t.pem")
    run("openssl", "verify", "-x509_strict", "-CAfile", "troot/ca.pem", "-untrusted", "t.pem", "t.pem")
    serial = run("openssl", "x509", "-in", "t.pem", "-noout", "-serial").split("=")[1].strip()
    run(PROGRAM, "ca", "revoke", "--dir", "tca", serial)
    with open("tca.pem", "wb") as f:
        for part in ("tca/ca.pem",):
            with open(part, "rb") as p:
                f.write(p.read())
    run(PROGRAM, "ca", "crl", "--dir", "tca", "-o", "t.crl")
    run("openssl", "verify", "-crl_check", "-CRLfile", "t.crl", "-CAfile", "troot/ca.pem", "-untrusted", "tca.pem", "t.pem", code=2,
        says="certificate revoked")


def main():
    print("1..%d" % len(TESTS))
    failed = 0
    home = tempfile.mkdtemp(prefix="tpmtls-ca-accept.")
    os.chdir(home)
    try:
        make()
        for number, fn in enumerate(TESTS, 1):
            began = time.monotonic()
            try:
                fn()
                print("ok %d - %s" % (number, fn.__name__), flush=True)
            except Skip as why:
                print("ok %d - %s # SKIP %s" % (number, fn.__name__, why), flush=True)
            except Exception:  # pylint: disable=broad-except
                failed += 1
                print("not ok %d - %s\n# %s" % (number, fn.__name__, traceback.format_exc().replace("\n", "\n# ")), flush=True)
            print("# %.1f s" % (time.monotonic() - began))
    finally:
        os.chdir("/")
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(failed > 0)


main()
