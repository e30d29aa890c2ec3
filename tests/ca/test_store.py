#!/usr/bin/env python3
"""The CA's store when things go wrong: processes killed at random moments, a disk that is full, a store that is locked or
read-only, a PostgreSQL that is killed in the middle. What was answered is in the store, no serial number comes twice, nothing is
half done. TPMTLS_KILL_ROUNDS=200 kills that often (default: 12)."""
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from postgres import Database, Skip

PROGRAM, ISSUER = map(os.path.abspath, sys.argv[1:3])
ROUNDS = int(os.environ.get("TPMTLS_KILL_ROUNDS", "12"))
TESTS = []


def test(fn):
    TESTS.append(fn)
    return fn


def run(*command, code=0, says=None, env=None, preexec=None):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                          env=dict(os.environ, **(env or {})), preexec_fn=preexec, check=False)
    said = done.stderr.decode("utf-8", "replace")
    assert done.returncode == code, "%s: exit code %d\n%s" % (" ".join(command), done.returncode, said)
    assert says is None or says in said, "%s: not '%s' but\n%s" % (" ".join(command), says, said)
    return done.stdout.decode()


def make(store=()):
    run(PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/O=Example/CN=Test CA", *store)
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "k.pem")
    run("openssl", "req", "-new", "-key", "k.pem", "-subj", "/CN=device-1", "-out", "a.csr")


def listed(*store):
    return [e["serial"] for e in json.loads(run(PROGRAM, "--json", "ca", "list", "--dir", "ca", *store))]


def delta():
    run(PROGRAM, "ca", "crl", "--dir", "ca", "--delta", "-o", "delta.pem")
    return run("openssl", "crl", "-in", "delta.pem", "-noout", "-text")


def whole(answered, *store):
    """What was answered is in the store, once; the audit log is whole; and it goes on."""
    serials = listed(*store)
    assert len(serials) == len(set(serials)), "a serial number twice"
    missing = set(answered) - set(serials)
    assert not missing, "answered and not in the store: %s" % missing
    run(PROGRAM, "ca", "audit", "verify", "--dir", "ca", *store)
    return serials


class Issuer:
    """The program that is killed; what it answered so far is read as it comes."""

    def __init__(self, batch, store="-", preexec=None):
        self.process = subprocess.Popen([ISSUER, "ca", "a.csr", str(batch), store], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, preexec_fn=preexec)
        self.text = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for data in iter(lambda: os.read(self.process.stdout.fileno(), 65536), b""):
            self.text += data

    def wait_first(self, seconds=30):
        end = time.monotonic() + seconds
        while not self.text:
            assert time.monotonic() < end and self.process.poll() is None, "nothing was issued"
            time.sleep(0.005)

    def finish(self):
        self.process.wait(60)
        self.reader.join(10)
        said = self.process.stderr.read().decode()
        self.process.stderr.close()
        self.process.stdout.close()
        lines = self.text.decode().split("\n")
        return [line for line in lines[:-1]], said  # a line that is cut was not answered

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        return self.finish()[0]


@test
def kill_at_random_moments():
    make()
    answered = []
    for number in range(ROUNDS):
        issuer = Issuer(random.choice((1, 3, 16)))
        if number % 4 != 0:  # else while it opens, too
            issuer.wait_first()
        time.sleep(random.random() * 0.08)
        answered += issuer.kill()
    serials = whole(answered)
    assert len(answered) > ROUNDS, "only %d answers" % len(answered)
    assert len(serials) <= len(answered) + 16 * ROUNDS


@test
def kill_beside_another():
    """Two at once on one store; one is killed, the other does not notice."""
    make()
    stays, answered = Issuer(2), []
    stays.wait_first()
    for _ in range(3):
        issuer = Issuer(8)
        issuer.wait_first()
        time.sleep(random.random() * 0.05)
        answered += issuer.kill()
    assert stays.process.poll() is None, stays.finish()[1]
    answered += stays.kill()
    whole(answered)


@test
def killed_while_it_is_made():
    for _ in range(6):
        process = subprocess.Popen([PROGRAM, "ca", "init", "--dir", "new", "--subject", "/CN=New"], stderr=subprocess.DEVNULL)
        time.sleep(random.random() * 0.06)
        process.kill()
        process.wait()
        if os.path.exists("new"):  # then it is whole
            run(PROGRAM, "ca", "audit", "verify", "--dir", "new")
            shutil.rmtree("new")


@test
def the_disk_is_full():
    if os.getuid() != 0 or shutil.which("unshare") is None:
        raise Skip("only root mounts a small disk")
    make()
    os.mkdir("disk")
    script = "mount -t tmpfs -o size=300k none disk && cp -rp ca disk/ && cd disk && %s ca ../a.csr 4 - >../out 2>../err; echo $? >../code; " \
             "cp -rp ca ../after"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script % ISSUER], stderr=subprocess.PIPE, timeout=120, check=False)
    if not os.path.exists("code"):
        raise Skip("no mounts here: %s" % done.stderr.decode().strip()[-80:])
    with open("err", encoding="utf-8") as f:
        said = f.read()
    assert "CA's store" in said and ("full" in said or "disk" in said), said
    with open("out", encoding="ascii") as f:
        answered = f.read().split()
    assert len(answered) > 4
    shutil.rmtree("ca")
    os.rename("after", "ca")
    whole(answered)


@test
def no_file_may_grow():
    make()
    size = os.path.getsize("ca/ca.db")

    def limit():
        import resource  # pylint: disable=import-outside-toplevel
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200000, resource.RLIM_INFINITY))
    issuer = Issuer(4, preexec=limit)
    answered, said = issuer.finish()
    assert issuer.process.returncode == 1 and "CA's store" in said and "disk" in said, said
    before = len(whole(answered))
    run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr", "-o", "a.pem", says="issued")
    assert len(whole(answered)) == before + 1


@test
def somebody_holds_it():
    make()
    holder = sqlite3.connect("ca/ca.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr", code=1, says="another process holds it")
    assert time.monotonic() - began > 5
    assert listed() == []  # readers do not wait
    holder.execute("ROLLBACK")
    holder.close()
    run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr")


@test
def it_may_not_be_written():
    """As a user to whom the directory does not belong: root is never refused."""
    make()
    if os.getuid() != 0:
        os.chmod("ca", 0o500)
        os.chmod("ca/ca.db", 0o400)
        try:
            run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr", code=1, says="writable for you")
        finally:
            os.chmod("ca", 0o700)
        return
    if shutil.which("unshare") is None:
        raise Skip("no unshare")
    script = "mount --bind ca ca && mount -o remount,bind,ro ca && touch ../mounted; exec %s ca sign --dir ca a.csr" % PROGRAM
    done = subprocess.run(["unshare", "-m", "sh", "-c", script.replace("../mounted", "mounted")], stderr=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, timeout=60, check=False)
    if not os.path.exists("mounted"):
        raise Skip("no mounts here")
    assert done.returncode == 1 and b"writable for you" in done.stderr, done.stderr
    assert listed() == []


@test
def it_is_of_a_newer_version():
    make()
    store = sqlite3.connect("ca/ca.db")
    store.execute("PRAGMA user_version = 99")
    store.commit()
    store.close()
    run(PROGRAM, "ca", "list", "--dir", "ca", code=1, says="newer tpmtls (store version 99)")


@test
def an_old_one_is_taken_over():
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "0.2.0", "ca")
    shutil.copytree(source, "ca")
    os.chmod("ca", 0o700)
    os.chmod("ca/ca.key", 0o600)
    before = sqlite3.connect("ca/ca.db").execute("SELECT serial, subject, sha256 FROM certificate ORDER BY rowid").fetchall()
    both = [subprocess.Popen([PROGRAM, "ca", "list", "--dir", "ca"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for _ in range(2)]  # two at once
    for one in both:
        said = one.communicate(timeout=60)[1].decode()
        assert one.returncode == 0, said
    assert [(e["serial"], e["subject"], e["sha256"]) for e in
            json.loads(run(PROGRAM, "--json", "ca", "list", "--dir", "ca"))] == before
    copy = sqlite3.connect("ca/ca.db.v1")
    assert copy.execute("PRAGMA user_version").fetchone()[0] == 1
    assert copy.execute("SELECT serial, subject, sha256 FROM certificate ORDER BY rowid").fetchall() == before
    copy.close()
    run(PROGRAM, "ca", "audit", "verify", "--dir", "ca")
    found = run(PROGRAM, "ca", "list", "--dir", "ca", "--subject", "dns:LOCALHOST")
    assert len(found.splitlines()) == 2, found  # names were read from the certificates


@test
def one_without_delta_crls_is_taken_over():
    make()
    run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr")
    store = sqlite3.connect("ca/ca.db")
    for statement in ("DROP TABLE delta", "DROP TABLE ca_key", "DROP TABLE former_crl", "DROP TABLE identity", "DROP INDEX certificate_key",
                      "ALTER TABLE certificate DROP COLUMN ca_key", "ALTER TABLE crl DROP COLUMN ca_key", "ALTER TABLE token DROP COLUMN names", "PRAGMA user_version = 2"):
        store.execute(statement)
    store.commit()
    store.close()
    assert "Delta CRL Indicator: critical" in delta()
    copy = sqlite3.connect("ca/ca.db.v2")
    assert copy.execute("PRAGMA user_version").fetchone()[0] == 2
    copy.close()
    run(PROGRAM, "ca", "audit", "verify", "--dir", "ca")


@test
def the_audit_log_shows_what_was_done_to_it():
    make()
    for _ in range(3):
        run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr")
    head = json.loads(run(PROGRAM, "--json", "ca", "audit", "verify", "--dir", "ca"))["head"]
    run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr")
    run(PROGRAM, "ca", "audit", "verify", "--dir", "ca", "--head", head)
    run(PROGRAM, "ca", "audit", "verify", "--dir", "ca", "--head", "0" * 64, code=3, says="no act of the audit log")
    shutil.copytree("ca", "kept")
    for change, says in (("UPDATE act SET line = replace(line, 'device-1', 'device-2') WHERE number = 2", "act 3"),
                         ("DELETE FROM act WHERE number = 3", "it is missing"),
                         ("DELETE FROM act WHERE number = 5", "ends at act 4"),
                         ("DELETE FROM certificate WHERE number = 2", "has 3 certificates"),
                         ("UPDATE certificate SET der = x'3000' WHERE number = 2", "or others"),
                         ("UPDATE certificate SET status = 'revoked' WHERE number = 2", "as revoked")):
        shutil.rmtree("ca")
        shutil.copytree("kept", "ca")
        store = sqlite3.connect("ca/ca.db")
        if " act " in change:
            try:
                store.execute(change)
                raise AssertionError("the store let it happen: " + change)
            except sqlite3.IntegrityError as why:
                assert "only added to" in str(why)
            store.execute("DROP TRIGGER act_is_never_changed")
            store.execute("DROP TRIGGER act_is_never_removed")
        store.execute(change)
        store.commit()
        store.close()
        run(PROGRAM, "ca", "audit", "verify", "--dir", "ca", code=3, says=says)


# ---- PostgreSQL ----

def with_database(fn):
    def wrapped():
        db = Database()
        try:
            make(("--store", db.url))
            fn(db)
        finally:
            db.close()
    wrapped.__name__ = fn.__name__
    return test(wrapped)


@with_database
def postgres_does_all_that_sqlite_does(db):
    with open("ca/store", encoding="ascii") as f:
        assert f.read().strip() == db.url
    assert os.stat("ca/store").st_mode & 0o777 == 0o600 and not os.path.exists("ca/ca.db")
    run(PROGRAM, "ca", "init", "--dir", "other", "--subject", "/CN=Other", "--store", db.url, code=1, says="already the store of a CA")
    run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr", "-o", "a.pem")
    run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr", "-o", "b.pem")
    run("openssl", "verify", "-x509_strict", "-CAfile", "ca/ca.pem", "a.pem")
    one, two = listed()
    run(PROGRAM, "ca", "revoke", "--dir", "ca", one, "--reason", "superseded")
    run(PROGRAM, "ca", "revoke", "--dir", "ca", two, "--reason", "certificateHold")
    run(PROGRAM, "ca", "crl", "--dir", "ca", "-o", "crl.pem")
    text = run("openssl", "crl", "-in", "crl.pem", "-noout", "-text")
    assert one.upper() in text and two.upper() in text and "Certificate Hold" in text
    text = delta()  # to the CRL that the first revocation made
    assert two.upper() in text and one.upper() not in text, text
    run(PROGRAM, "ca", "unrevoke", "--dir", "ca", two)
    for _ in range(5):  # more than are kept, beside the base
        run(PROGRAM, "ca", "revoke", "--dir", "ca", two, "--reason", "certificateHold")
        run(PROGRAM, "ca", "unrevoke", "--dir", "ca", two)
    text = delta()
    assert re.search(r"Delta CRL Indicator: critical\s+1\s", text) and "No Revoked Certificates" in text, text
    assert delta() == text
    assert [e["serial"] for e in json.loads(run(PROGRAM, "--json", "ca", "list", "--dir", "ca", "--state", "revoked"))] == [one]
    assert one not in run(PROGRAM, "ca", "list", "--dir", "ca", "--subject", "device_1")  # _ is no wildcard
    token = json.loads(run(PROGRAM, "--json", "ca", "token", "create", "--dir", "ca"))
    run(PROGRAM, "ca", "token", "revoke", "--dir", "ca", token["id"])
    stats = json.loads(run(PROGRAM, "--json", "ca", "stats", "--dir", "ca"))
    assert stats["revoked"] == 1 and stats["held"] == 0 and stats["valid"] == 2 and stats["issuedHour"] == 3, stats
    assert run(PROGRAM, "ca", "export", "--dir", "ca", "--state", "valid").count("BEGIN CERTIFICATE") == 2
    assert len(run(PROGRAM, "ca", "audit", "list", "--dir", "ca").splitlines()) > 8
    run(PROGRAM, "ca", "rollover", "--dir", "ca")
    former = json.loads(run(PROGRAM, "--json", "ca", "show", "--dir", "ca"))["former"][0]
    assert former["certificates"] == 2, former
    run(PROGRAM, "ca", "crl", "--dir", "ca", "--key-id", former["keyId"], "-o", "former.crl")
    assert one.upper() in run("openssl", "crl", "-in", "former.crl", "-noout", "-text")
    run(PROGRAM, "ca", "sign", "--dir", "ca", "a.csr", "-o", "c.pem")
    run("openssl", "verify", "-x509_strict", "-CAfile", "ca/ca.pem", "c.pem")
    run(PROGRAM, "ca", "audit", "verify", "--dir", "ca")
    db.crash()
    run(PROGRAM, "ca", "list", "--dir", "ca", code=1, says="is PostgreSQL running")
    db.start()


@with_database
def postgres_with_two_one_killed(db):
    stays, answered = Issuer(4), []
    stays.wait_first()
    for _ in range(max(4, ROUNDS // 10)):
        issuer = Issuer(8)
        issuer.wait_first()
        time.sleep(random.random() * 0.1)
        answered += issuer.kill()
    assert stays.process.poll() is None, stays.finish()[1]
    before = len(stays.text)
    time.sleep(0.3)
    assert len(stays.text) > before, "it stands still"
    answered += stays.kill()
    whole(answered)
    assert db.url


@with_database
def postgres_killed_in_the_middle(db):
    """The database goes at random moments, in mid-commit among them, and comes back: who issues waits, and goes on."""
    issuers = [Issuer(1), Issuer(16)]
    for issuer in issuers:
        issuer.wait_first()
    for _ in range(max(4, ROUNDS // 10)):
        time.sleep(random.random() * 0.2)
        db.crash()
        db.start()
        for issuer in issuers:
            before = len(issuer.text)
            end = time.monotonic() + 40
            while len(issuer.text) == before and time.monotonic() < end:
                assert issuer.process.poll() is None, issuer.finish()[1]
                time.sleep(0.02)
            assert len(issuer.text) > before, "it does not go on"
    answered = [serial for issuer in issuers for serial in issuer.kill()]
    whole(answered)


def main():
    print("1..%d" % len(TESTS))
    failed = 0
    for number, fn in enumerate(TESTS, 1):
        home = tempfile.mkdtemp(prefix="tpmtls-ca-store.")
        os.chdir(home)
        try:
            fn()
            print("ok %d - %s" % (number, fn.__name__), flush=True)
        except Skip as why:
            print("ok %d - %s # SKIP %s" % (number, fn.__name__, why), flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print("not ok %d - %s\n# %s" % (number, fn.__name__, traceback.format_exc().replace("\n", "\n# ")), flush=True)
        finally:
            os.chdir("/")
            shutil.rmtree(home, ignore_errors=True)
    sys.exit(failed > 0)


main()
