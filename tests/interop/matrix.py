"""tests/interop/matrix.py: the cells of one peer, run and judged; and the network namespace that all of it runs in."""

import os
import re
import sys
import time

from interop.cases import Case, columns
from interop.lab import Absent, Failed
from interop.run import Doc, Seen, attempt


def namespace_command():
    """How a program gets a network of its own, where nobody else reaches a server that listens on every address."""
    return ["unshare", "-n" if os.geteuid() == 0 else "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def enter_namespace(*words):
    """This Python program again, in such a network."""
    if os.environ.get("TPMTLS_INTEROP_NAMESPACE"):
        return
    os.environ["TPMTLS_INTEROP_NAMESPACE"] = "yes"
    os.execvp("unshare", namespace_command() + [sys.executable, *words] + sys.argv[1:])


# What our own side put in front, and what is another in each run: directories, times, process ids, ports.
NOISE = [(r"^nobody listens: |^no '.*?' in: |^\[peer\] |^ ?\[our server: |\]$", ""), (r"/\S*tpmtls-interop-\w+/", ""),
         (r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (\[\w+\]) \d+#\d+", r"\1"), (r"(\[\w+\]) +\(\d+\)", r"\1"), (r"127\.0\.0\.1:\d+", "127.0.0.1"),
         (r"^[0-9A-F]{8,}:(error:)", r"\1")]


def quote(text, pattern):
    """The line of a text in which the pattern is, without what is another in each run."""
    line = next((line for line in text.splitlines() if re.search(pattern, line)), text).strip()
    for noise, instead in NOISE:
        line = re.sub(noise, instead, line)
    return re.sub(r"\s+", " ", line).strip()[:200]


def run_cell(lab, peer, title, options, role):
    case = Case(feature=title, role=role, **options)
    case.http = peer.speaks_http(case)
    cell = {"peer": peer.key, "role": role, "feature": title, "status": "ok", "note": "", "seconds": 0}
    words = peer.words(case)
    start = time.monotonic()
    if isinstance(words, Doc):
        cell.update(status="cannot", note="documentation: " + words.words)
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
    for role in peer.roles:
        for title, options in columns():
            if peer.only and title not in peer.only:
                continue
            if only and not any(word.lower() in (role + " " + title).lower() for word in only):
                continue
            cell = run_cell(lab, peer, title, options, role)
            row["cells"].append(cell)
            print("  %-6s %-20s %-7s %5.1f s  %s" % (role, title, cell["status"], cell["seconds"],
                  cell["note"] if cell["status"] == "FAIL" else cell["note"][:110]), flush=True)
    return row
