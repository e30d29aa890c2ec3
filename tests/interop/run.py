"""tests/interop/run.py: one cell: our end and the peer's end, started, fed, checked, and ended."""

import json
import re
import time

from interop.cases import ML_KEM, PSK, problems
from interop.lab import Failed

class Doc:
    """A cell that is not run: the peer's documentation says that it cannot be."""

    def __init__(self, words):
        self.words = words


class Seen:
    """A cell that is run, fails, and must fail with this (a regular expression) in the peer's own words or, where the
    peer says nothing, ours. A cell that works after all is reported as a failure, so that the list stays true."""

    def __init__(self, pattern, note=""):
        self.pattern, self.note = pattern, note


NO_KEY = Seen(r"(?i)(unable|unsupported|unknown|invalid|error|fail|cannot|could not|unimplemented|bad|no).*"
              r"(private key|cert|pem|algorithm|signature|authentication scheme)|ee key too small")
NO_SCHEME = Seen(r"the client accepts no signature that our key can make", "its signature_algorithms have none for such a key, and our server says")


def cannot_have_certificates(*kinds):
    """Cells of a peer that neither loads such a key nor offers its signature scheme."""
    return {(role, "cert " + kind): words for kind in kinds for role, words in (("server", NO_KEY), ("client", NO_SCHEME))}


def cannot_have_ml_kem(server, client=None, groups=ML_KEM):
    return {(role, group): words for group in groups for role, words in (("server", server), ("client", client or server))}


def our_options(lab, case):
    """The options of tt_peer that both roles have."""
    words = []
    if case.suite:
        words += ["--suites", case.suite]
    if case.psk:
        words += ["--psk", ":".join(PSK)]
        if not case.suite:
            words += ["--suites", "TLS_AES_128_GCM_SHA256"]
    if case.key_update:
        words += ["--key-update"]
    return words


def facts_of(process):
    return [json.loads(line) for line in process.text().splitlines() if line.startswith('{"connection"')]


def facts_of_program(process, data, is_client):
    """The same facts from the events of `tpmtls --json`."""
    events = [json.loads(line) for line in bytes(process.err).decode("utf-8", "replace").splitlines() if line.startswith("{")]
    shaken = [e for e in events if e["event"] == "handshake"]
    if not shaken:
        return []
    e = ([e for e in shaken if not e["resumed"]] or shaken)[-1]  # a browser comes back, for an icon
    received = len(process.out) if data is not None else 1
    return [{"ok": True, "error": "", "exact": data is not None and bytes(process.out) == data, "received": received,
             "hello_retry_request": e["hello_retry_request"], "resumed": False, "early": "none", "early_bytes": 0, "suite": e["suite"],
             "group": e["group"], "key_updates": 0, "peer_chain": 1 if e.get("peer_certificate") else 0,
             "scheme": e["scheme"] or "", "local_scheme": (e["client_scheme"] if is_client else e["scheme"]) or "",
             "tpm_commands": e["tpm_commands"], "ech": e["ech"],
             "ech_retried": any(x["event"] == "ech_retry" or x.get("ech") == "rejected" or "ech_required" in json.dumps(x) for x in events)}]


# ---- our client against their server ----

def tpm_client(lab, case, server):
    identity = ["--key", "tpm-client.key", "--cert", "tpm-client.pem"] if case.client_cert else []
    ech = ["--ech", lab.ech_list(case), "--ech-required"] if case.ech else []
    ours = lab.spawn(*lab.tpmtls(), "--json", "connect", "localhost:%d" % server.port, "--ca", "ca.pem", "--trace", *identity, *ech)
    data = server.request(lab.data[case.data])
    ours.write(data)
    came = ours.wait_until(lambda: server.is_answer(bytes(ours.out), data))
    ours.process.stdin.close()
    ours.finish(3)
    if not came:
        raise Failed("no echo: " + ours.text()[-600:])
    facts = facts_of_program(ours, data, True)
    if case.client_cert and facts and facts[0]["tpm_commands"] != 1:
        raise Failed("%s TPM commands in the handshake instead of one" % facts[0]["tpm_commands"])
    return facts


def soft_client(lab, case, server):
    words = our_options(lab, case)
    words += ["--ca", "ca.pem"]
    if case.group:
        words += ["--groups", case.group]
    elif case.retry:
        words += ["--groups", "x25519,secp384r1", "--shares", "x25519"]
    if case.client_cert:
        words += ["--cert", "client.pem", "--key", "client.key"]
    if case.resume:
        words += ["--resume"]
    if case.early:
        words += ["--early", "early"]
    data = lab.data[case.data]
    if case.http:
        words += ["--until-close"]
    with open(lab.path("request"), "wb") as f:
        f.write(server.request(data))
    with open(lab.path("early"), "wb") as f:
        f.write(server.early)
    ours = lab.spawn(*lab.tt_peer(case.is_pq), "client", "--port", server.port, "--name", "localhost", "--data", "request", *words)
    ours.finish(2 * 15 + 5)
    facts = facts_of(ours)
    if case.http and facts and not server.is_answer(bytes(ours.err), server.request(data)):
        raise Failed("the answer is not the one that was expected: %r" % bytes(ours.err[-300:]))
    if not facts:
        raise Failed("our client: " + ours.text()[-600:])
    return facts


class Server:
    """A peer's server that runs. request() makes of the data what the server wants to get; is_answer() says whether what
    came is all of what it answers."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    early = b"xearly data that could be replayed\n"

    @staticmethod
    def request(data):
        return data

    @staticmethod
    def is_answer(got, sent):
        return got == sent

    def text(self):
        return self.process.text() if self.process is not None else ""


# ---- their client against our server ----

def start_server(lab, case):
    identity = ["--cert", case.cert + ".pem", "--key", case.cert + ".key"]
    if case.tpm:
        words = ["--client-ca", "ca.pem", "--require-client-cert"] if case.client_cert else []
        words += ["--ech-key", "ech.pem"] if case.ech else []
        ours = lab.spawn(*lab.tpmtls(), "--json", "serve", "127.0.0.1:0", "--key", "tpm-server.key", "--cert", "tpm-server.pem", "--trace",
                         "--www" if case.http else "--echo", *words)
        return ours, int(ours.wait_for(r'"address":"?\s?"\S*?:(\d+)"').group(1))
    words = our_options(lab, case) + identity
    if case.group or case.retry:
        words += ["--groups", case.group or "secp384r1"]
    if case.client_cert:
        words += ["--require-client-cert", "--ca", "ca.pem"]
    if case.resume:
        words += ["--tickets"]
    if case.early:
        words += ["--early", "yes"]
    if case.http:
        words += ["--http"]
    ours = lab.spawn(*lab.tt_peer(case.is_pq), "server", "--port", 0, *words)
    return ours, int(ours.wait_for(r"listening (\d+)").group(1))


def serve_cell(lab, peer, case):
    ours, port = start_server(lab, case)
    wanted = 2 if case.resume else 1
    try:
        theirs = peer.connect(lab, case, port)
    except Failed as why:
        time.sleep(0.2)
        errors = [] if case.tpm else [f["error"] for f in facts_of(ours) if f["error"]]
        raise Failed("%s [our server: %s]" % (why, "; ".join(errors) or ours.text()[-600:])) from why
    if case.tpm:
        ours.wait_until(lambda: b'"closed"' in ours.err, 3)
        facts = facts_of_program(ours, None, False)
        if facts and facts[0]["tpm_commands"] != 1:
            raise Failed("%s TPM commands in the handshake instead of one" % facts[0]["tpm_commands"])
    else:
        ours.wait_until(lambda: ours.out.count(b'{"connection"') >= wanted, 3)
        facts = facts_of(ours)
    return facts, theirs


# ---- a cell ----

def attempt(lab, peer, case):
    """None when it worked, else what went wrong, with what the peer said."""
    theirs = ""
    lab.tt_peer(case.is_pq)  # or Absent
    try:
        if case.role == "server":
            server = peer.serve(lab, case)
            try:
                facts = (tpm_client if case.tpm else soft_client)(lab, case, server)
                wrong = problems(case, facts)
            except Failed as why:
                wrong = str(why)
            time.sleep(0.1 if wrong else 0)
            theirs = server.text()
        else:
            facts, theirs = serve_cell(lab, peer, case)
            wrong = problems(case, facts)
    except Failed as why:
        wrong = str(why)
    finally:
        lab.stop_all()
    if wrong is None:
        wrong = peer.extra_check(case, theirs or "")
    return None if wrong is None else wrong + ("\n[peer] " + said(theirs) if theirs else "")


def said(text):
    """What a program printed, without our own data in it."""
    return "\n".join(line for line in text.splitlines() if not re.match(r"x[0-9]{8} ", line)).strip()[-50000:]
