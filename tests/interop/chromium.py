"""Chromium, headless: a client whose ECHConfigList comes from the HTTPS record that a resolver behind HTTPS (doh.py) tells."""

import json
import os
import shutil
import sys

from interop.lab import SECRET_NAME, Failed
from interop.peer import Peer

HERE = os.path.dirname(os.path.abspath(__file__))


class Chromium(Peer):
    key, name, http = "chromium", "Chromium", ("client",)
    only = ("full", "ECH", "ECH retry")
    says = {}
    ech = (("client", "accept"), ("client", "retry"))
    roles = ("client",)

    def version(self, lab):
        return " ".join(lab.must(lab.find("chromium", "chromium"), "--version", "--no-sandbox").split("\n")[-2].split()[:2])

    def prepare(self, lab):
        """The CA goes where Chromium looks for those of the user."""
        database = lab.path(".pki/nssdb")
        os.makedirs(database)
        lab.must(lab.find("certutil", "libnss3-tools"), "-N", "-d", "sql:" + database, "--empty-password")
        lab.must("certutil", "-A", "-d", "sql:" + database, "-n", "ca", "-t", "C,,", "-i", "ca.pem")

    def connect(self, lab, case, port):
        profile = lab.path("chromium-profile")
        shutil.rmtree(profile, ignore_errors=True)
        os.makedirs(profile)
        with open(lab.path("none.list"), "wb"):
            pass
        resolver = lab.free_port()
        doh = lab.spawn(sys.executable, os.path.join(HERE, "doh.py"), resolver, "p256.pem", "p256.key",
                        {None: "none.list", "accept": "ech.list", "retry": "ech-old.list"}[case.ech])
        lab.wait_listening(doh, resolver)
        with open(os.path.join(profile, "Local State"), "w", encoding="ascii") as f:
            json.dump({"dns_over_https": {"mode": "secure", "templates": "https://127.0.0.1:%d/dns-query{?dns}" % resolver}}, f)
        browser = lab.spawn(lab.find("chromium", "chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
                            "--user-data-dir=" + profile, "--timeout=20000", "--dump-dom", "https://%s:%d/" % (SECRET_NAME, port))
        browser.finish(40)
        if b"TLSv1.3" not in browser.out:
            raise Failed("no page: " + browser.text()[-1500:] + " [resolver: " + doh.text()[-600:] + "]")
        return doh.text()
