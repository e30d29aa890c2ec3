"""tests/interop: the interop matrix. `./dev interop [PEER...]` calls it: `python3 -m interop`, in a network namespace.

    python3 -m interop [--list] [--only WORD] [--docs FILE] [PEER...]

Each cell is a real run; a table on stdout, all of it in build/interop/matrix.json. Exit code 1 when a cell fails."""

import argparse
import json
import os
import re
import sys
import time

from interop import table
from interop.cases import Case, columns
from interop.lab import ROOT, Absent, Failed, Lab
from interop.peers_list import PEERS
from interop.run import Doc, Seen, attempt


def enter_namespace():
    """Again, in a network of our own, where nobody else reaches a server that listens on every address."""
    if os.environ.get("TPMTLS_INTEROP_NAMESPACE"):
        return
    flags = "-n" if os.geteuid() == 0 else "-rn"
    os.environ["TPMTLS_INTEROP_NAMESPACE"] = "yes"
    os.execvp("unshare", ["unshare", flags, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-m", "interop"] + sys.argv[1:])


def quote(text, pattern):
    """The line of a text in which the pattern is."""
    line = next((line for line in text.splitlines() if re.search(pattern, line)), text)
    return re.sub(r"\s+", " ", line).strip()[:220]


def run_cell(lab, peer, title, options, role):
    case = Case(feature=title, role=role, **options)
    case.http = peer.speaks_http(case)
    cell = {"peer": peer.key, "role": role, "feature": title, "status": "ok", "note": "", "seconds": 0}
    words = peer.words(case)
    start = time.monotonic()
    if isinstance(words, Doc):
        cell.update(status="cannot", note=words.words)
        return cell
    try:
        wrong = attempt(lab, peer, case)
    except Absent as why:
        cell.update(status="absent", note=str(why))
        return cell
    cell["seconds"] = round(time.monotonic() - start, 2)
    if isinstance(words, Seen):
        if wrong is None:
            cell.update(status="FAIL", note="works, but was expected to say: " + words.pattern)
        elif re.search(words.pattern, wrong):
            said = quote(wrong, words.pattern)
            cell.update(status="cannot", note=(words.note + ": " if words.note else "") + '"%s"' % said)
        else:
            cell.update(status="FAIL", note="expected '%s': %s" % (words.pattern, wrong))
    elif wrong is not None:
        cell.update(status="FAIL", note=wrong)
    cell["note"] = cell["note"][:3000]
    return cell


def run_peer(lab, peer, only):
    row = {"key": peer.key, "name": peer.name, "version": "", "cells": []}
    try:
        row["version"] = peer.version(lab)
        peer.prepare(lab)
    except (Absent, Failed) as why:
        row["absent"] = str(why)
        print("%-14s absent: %s" % (peer.key, why), flush=True)
        return row
    print("%s: %s" % (peer.key, row["version"]), flush=True)
    for role in ("server", "client"):
        for title, options in columns():
            if only and not any(word.lower() in (role + " " + title).lower() for word in only):
                continue
            cell = run_cell(lab, peer, title, options, role)
            row["cells"].append(cell)
            print("  %-6s %-20s %-7s %5.1f s  %s" % (role, title, cell["status"], cell["seconds"],
                  cell["note"] if cell["status"] == "FAIL" else cell["note"][:110]), flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(prog="interop")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", help="only cells with this word in their role or feature")
    parser.add_argument("--docs", help="write the table there, as Markdown")
    parser.add_argument("peers", nargs="*")
    args = parser.parse_args()
    if args.list:
        print("\n".join("%-14s %s" % (p.key, p.name) for p in PEERS))
        return 0
    unknown = [name for name in args.peers if not any(p.key.startswith(name) for p in PEERS)]
    if unknown:
        parser.error("no such peer: %s; there are: %s" % (", ".join(unknown), " ".join(p.key for p in PEERS)))
    enter_namespace()
    chosen = [p for p in PEERS if not args.peers or any(p.key.startswith(name) for name in args.peers)]
    lab = Lab()
    try:
        rows = [run_peer(lab, peer, args.only) for peer in chosen]
    finally:
        lab.close()
    out = os.path.join(ROOT, "build", "interop")
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "matrix.json"), "w", encoding="utf-8") as f:
        json.dump({"peers": rows}, f, indent=1)
    print(table.text(rows))
    if args.docs:
        with open(args.docs, "w", encoding="utf-8") as f:
            f.write(table.markdown(rows))
    failed = sum(cell["status"] == "FAIL" for row in rows for cell in row["cells"])
    return 1 if failed or (args.peers and any("absent" in row for row in rows)) else 0


sys.exit(main())
