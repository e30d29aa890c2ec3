#!/usr/bin/env python3
"""test_cli.py TPMTLS: `tpmtls csr` and `tpmtls ca` as a user runs them, with software keys; the openssl program
checks what comes out. TAP on stdout."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM = os.path.abspath(sys.argv[1])
TESTS = []


def test(fn):
    TESTS.append(fn)
    return fn


def run(command, stdin=b"", code=0, says=""):
    """Run, check the exit code and that the words are on stderr; returns stdout."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    err = done.stderr.decode()
    assert done.returncode == code, "%r: exit %d, not %d: %s" % (command, done.returncode, code, err)
    assert says in err, "%r does not say %r but: %s" % (command, says, err)
    if code not in (0, 2):
        assert err.count("tpmtls: ") >= 1 and "usage:" not in err, err
    return done.stdout


def tpmtls(*words, **more):
    return run([PROGRAM, *words], **more)


def make_key(name):
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name])


def make_ca():
    make_key("key.pem")
    tpmtls("ca", "init", "--dir", "ca", "--subject", "/O=Example/CN=Test CA", says="software key, ca/ca.key")
    tpmtls("csr", "--key", "key.pem", "--subject", "/O=Example/CN=device-1", "--san", "DNS:a.example", "--san",
           "IP:192.0.2.1", "-o", "a.csr", says="software key")


@test
def help_is_on_stdout():
    for words in (["csr"], ["ca"], ["ca", "init"], ["ca", "sign"], ["ca", "show"], ["ca", "list"]):
        assert tpmtls(*words, "--help").startswith(b"usage: tpmtls " + words[0].encode())


@test
def usage_errors_exit_2():
    make_ca()
    for words, says in (
            (["csr"], "which key"),
            (["csr", "--key", "key.pem"], "for whom"),
            (["csr", "--key", "key.pem", "--subject", "/CN=a", "b"], "'b' is one word too many"),
            (["csr", "--key", "key.pem", "--subject", "CN=a"], "does not begin with '/'"),
            (["csr", "--key", "key.pem", "--subject", "/CM=a"], "no attribute 'CM'"),
            (["csr", "--key", "key.pem", "--subject", "/CN=a", "--san", "a"], "hint: write DNS:name"),
            (["csr", "--nonsense"], "--nonsense"),
            (["csr", "--key"], "--key needs an argument"),
            (["ca"], "init, sign, show, list"),
            (["ca", "frob"], "no command 'ca frob'"),
            (["ca", "init"], "--dir DIR"),
            (["ca", "init", "--dir", "x"], "--subject"),
            (["ca", "init", "--dir", "x", "--subject", "/CN=a", "--days", "0"], "--days: '0' is not a number from 1 to 36500"),
            (["ca", "init", "--dir", "x", "--subject", "/CN=a", "--days", "1y"], "--days: '1y' is not a number from 1 to 36500"),
            (["ca", "init", "--dir", "x", "--subject", "/CN=a", "--chain"], "there is no option --chain"),
            (["ca", "sign", "--dir", "ca"], "which request"),
            (["ca", "sign", "--dir", "ca", "a.csr", "b.csr"], "'b.csr' is one word too many"),
            (["ca", "sign", "--dir", "ca", "a.csr", "--profile", "god"], "this CA has no profile 'god'"),
            (["ca", "sign", "--dir", "ca", "a.csr", "--key", "k"], "there is no option --key"),
            (["ca", "list", "--dir", "ca", "x"], "'x' is one word too many")):
        tpmtls(*words, code=2, says=says)
    assert not os.path.exists("x")


@test
def a_store_elsewhere_is_its_owners_alone():
    os.umask(0o022)
    tpmtls("ca", "init", "--dir", "ca", "--subject", "/CN=Test CA", "--store", "sqlite:" + os.path.abspath("elsewhere.db"))
    assert os.stat("elsewhere.db").st_mode & 0o777 == 0o600


@test
def a_chain_that_openssl_verifies():
    make_ca()
    run(["openssl", "req", "-in", "a.csr", "-verify", "-noout"])
    tpmtls("ca", "sign", "--dir", "ca", "a.csr", "--profile", "server", "--chain", "-o", "server.pem", says="issued")
    run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "a.example", "-CAfile",
         "ca/ca.pem", "server.pem"])
    with open("server.pem", encoding="ascii") as f:
        assert f.read().count("BEGIN CERTIFICATE") == 2
    with open("a.csr", "rb") as f:
        client = tpmtls("ca", "sign", "--dir", "ca", "-", stdin=f.read())
    assert client.count(b"BEGIN CERTIFICATE") == 1
    run(["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "ca/ca.pem"], stdin=client)
    der = run(["openssl", "req", "-in", "a.csr", "-outform", "DER"])
    tpmtls("ca", "sign", "--dir", "ca", "-", stdin=der)


@test
def answers_are_json():
    make_ca()
    one = json.loads(tpmtls("--json", "ca", "sign", "--dir", "ca", "a.csr", "--days", "30"))
    assert one["subject"] == "CN=device-1,O=Example" and len(one["serial"]) == 40 and len(one["sha256"]) == 64
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["notAfter"])
    fingerprint = run(["openssl", "x509", "-noout", "-fingerprint", "-sha256"], stdin=one["pem"].encode())
    assert fingerprint.decode().strip().split("=")[1].replace(":", "").lower() == one["sha256"]
    two = json.loads(tpmtls("ca", "sign", "--json", "--dir", "ca", "a.csr", "-o", "two.pem"))
    assert "pem" not in two and os.path.exists("two.pem")
    entries = json.loads(tpmtls("ca", "list", "--dir", "ca", "--json"))
    assert [e["serial"] for e in entries] == [one["serial"], two["serial"]]
    assert {e["status"] for e in entries} == {"valid"}
    assert json.loads(tpmtls("ca", "show", "--dir", "ca", one["serial"], "--json"))["sha256"] == one["sha256"]
    table = tpmtls("ca", "list", "--dir", "ca").decode().splitlines()
    assert len(table) == 3 and two["serial"] in table[2]
    assert b"CN=Test CA,O=Example" in tpmtls("ca", "show", "--dir", "ca")
    assert tpmtls("ca", "show", "--dir", "ca", one["serial"], "-o", "-").decode() == one["pem"]


@test
def refusals_say_why():
    make_ca()
    tpmtls("csr", "--key", "key.pem", "--subject", "/CN=a", "-o", "nosan.csr")
    tpmtls("ca", "init", "--dir", "ca", "--subject", "/CN=a", code=1, says="ca is already there")
    tpmtls("ca", "sign", "--dir", "nix", "a.csr", code=1, says="nix is not a CA")
    tpmtls("ca", "sign", "--dir", "ca", "nix.csr", code=1, says="cannot open nix.csr")
    tpmtls("ca", "sign", "--dir", "ca", "ca/ca.pem", code=1, says="but a certificate")
    tpmtls("ca", "sign", "--dir", "ca", "nosan.csr", "--profile", "server", code=1, says="--san DNS:name")
    tpmtls("ca", "sign", "--dir", "ca", "a.csr", "--days", "3651", code=1, says="beyond the CA's own end")
    tpmtls("ca", "show", "--dir", "ca", "00", code=1, says="no certificate with the serial number 00")
    with open("a.csr", "rb") as f:
        text = f.read()
    tpmtls("ca", "sign", "--dir", "ca", "-", stdin=text[:200], code=1, says="cut off")
    der = bytearray(run(["openssl", "req", "-in", "a.csr", "-outform", "DER"]))
    der[-1] ^= 1
    tpmtls("ca", "sign", "--dir", "ca", "-", stdin=bytes(der), code=3, says="signature is wrong")
    run(["openssl", "req", "-new", "-key", "key.pem", "-subj", "/CN=a", "-addext", "basicConstraints=critical,CA:TRUE",
         "-out", "ca.csr"])
    tpmtls("ca", "sign", "--dir", "ca", "ca.csr", code=1, says="asks to become a CA")
    run(["openssl", "req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", "weak.key", "-subj", "/CN=a", "-out",
         "weak.csr"])
    tpmtls("ca", "sign", "--dir", "ca", "weak.csr", code=1, says="too weak")
    assert json.loads(tpmtls("ca", "list", "--dir", "ca", "--json")) == []


@test
def a_ca_finds_its_key_again():
    make_ca()
    make_key("own.pem")
    tpmtls("ca", "init", "--dir", "ca2", "--subject", "/CN=Own", "--key", "own.pem")
    assert not os.path.exists("ca2/ca.key")
    os.rename("ca", "moved")
    os.mkdir("elsewhere")
    os.chdir("elsewhere")
    tpmtls("ca", "sign", "--dir", "../moved", "../a.csr")
    tpmtls("ca", "sign", "--dir", "../ca2", "../a.csr")
    make_key("../own.pem")
    tpmtls("ca", "sign", "--dir", "../ca2", "../a.csr", code=2, says="not the one of this CA's certificate")


@test
def an_unwritable_output_loses_nothing():
    make_ca()
    tpmtls("ca", "sign", "--dir", "ca", "a.csr", "-o", "no/such/dir/x.pem", code=1, says="was issued and is kept")
    assert len(json.loads(tpmtls("ca", "list", "--dir", "ca", "--json"))) == 1


@test
def two_at_once():
    make_ca()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: tpmtls("ca", "sign", "--dir", "ca", "a.csr"), range(8)))
    entries = json.loads(tpmtls("ca", "list", "--dir", "ca", "--json"))
    assert len({e["serial"] for e in entries}) == 8


def main():
    print("1..%d" % len(TESTS))
    failed = 0
    for number, fn in enumerate(TESTS, 1):
        home = tempfile.mkdtemp(prefix="tpmtls-pki-cli.")
        os.chdir(home)
        try:
            fn()
            print("ok %d - %s" % (number, fn.__name__))
        except Exception as why:  # pylint: disable=broad-except
            failed += 1
            print("not ok %d - %s\n# %s" % (number, fn.__name__, str(why).replace("\n", "\n# ")))
        finally:
            os.chdir("/")
            shutil.rmtree(home)
    sys.exit(failed > 0)


main()
