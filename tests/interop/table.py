"""tests/interop/table.py: the matrix as text and as Markdown. In a cell, the left mark is our client against their server,
the right one their client against our server."""

import json

from interop.cases import columns

MARKS = {"ok": "+", "cannot": "-", "absent": "?", "FAIL": "X"}
LEGEND = "+ works   - the peer cannot, in its own words below   ? not on this machine   X fails   (. not run)"


def mark(row, role, feature):
    cell = next((c for c in row["cells"] if c["role"] == role and c["feature"] == feature), None)
    return MARKS[cell["status"]] if cell else ("?" if "absent" in row else ".")


def counts(rows):
    cells = [cell for row in rows for cell in row["cells"]]
    number = {status: sum(cell["status"] == status for cell in cells) for status in MARKS}
    return "%d cells: %d work, %d the peer cannot do, %d not on this machine, %d fail" % (
        len(cells), number["ok"], number["cannot"], number["absent"], number["FAIL"])


def text(rows):
    titles = [title for title, _ in columns()]
    wide = max(len(title) for title in titles)
    out = ["", " " * wide + "  " + " ".join("%-11s" % row["name"][:11] for row in rows)]
    for title in titles:
        out.append("%-*s  %s" % (wide, title, " ".join("%-11s" % (mark(row, "server", title) + " " + mark(row, "client", title)) for row in rows)))
    out += ["", "left: our client, their server; right: their client, our server", LEGEND, "", counts(rows)]
    return "\n".join(out)


def merge(old, new, keys):
    """The old rows with the new cells in their places, in the order of the peers and of the columns."""
    places = {title: at for at, (title, _) in enumerate(columns())}
    out = []
    for key in keys:
        before, now = (next((row for row in rows if row["key"] == key), None) for rows in (old, new))
        if before is None or now is None:
            now = before = before or now
        if now is None:
            continue
        cells = {(cell["role"], cell["feature"]): dict({"note": ""}, **cell) for cell in before["cells"] + now["cells"]}
        ordered = sorted(cells.values(), key=lambda cell: (cell["role"] == "client", places.get(cell["feature"], len(places))))
        out.append(dict(now, cells=ordered))
    return out


def as_json(rows):
    """For the repository: a cell a line, without the seconds it took."""
    out = []
    for row in rows:
        cells = [json.dumps({name: cell[name] for name in ("role", "feature", "status", "note") if cell[name]}) for cell in row["cells"]]
        head = json.dumps({name: row[name] for name in ("key", "name", "version")})
        out.append('%s, "cells": [\n  %s]}' % (head[:-1], ",\n  ".join(cells)))
    return '{"peers": [\n %s\n]}\n' % ",\n ".join(out)


def escape(words):
    return words.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def notes(rows):
    """One line for each thing a peer says, with the cells it says it for."""
    out = []
    for row in rows:
        if "absent" in row:
            out.append("| %s | all | %s |" % (row["name"], escape(row["absent"])))
        said = {}
        for cell in row["cells"]:
            if cell["status"] != "ok":
                said.setdefault(cell["note"], []).append("%s %s" % (cell["role"], cell["feature"]))
        out += ["| %s | %s | %s |" % (row["name"], ", ".join(cells), escape(words)) for words, cells in said.items()]
    return out


def markdown(rows):
    titles = [title for title, _ in columns()]
    out = ["# Interoperability", "",
           "Made by `./dev interop --debian13 --debian-next --docs`, with [interop.json](interop.json); every cell is a real run on the machine that wrote",
           "this page. The left mark is our client against their server, the right one their client against our server. `full` and `client",
           "certificate` are the program `tpmtls` with a P-256 key in a TPM (exactly one TPM command a handshake); the others are",
           "`tests/interop/tt_peer.c` on the public API. Data goes both ways in every cell. `ECH` is Encrypted Client Hello, accepted, by the program;",
           "in `ECH retry` the client has the configuration of another key, is told the right one by a server that proves the public name, and",
           "connects once more. A peer is named with the Debian it comes from by its version: 12, 13, unstable, and OpenSSL 4.0 of experimental.", "",
           "`+` works, `-` the peer cannot (its own words are below), `?` not on the machine, `X` fails. " + counts(rows) + ".", "",
           "| peer | version |", "|---|---|"]
    out += ["| %s | %s |" % (row["name"], escape(row["version"] or "-")) for row in rows]
    out += ["", "| | " + " | ".join(row["name"] for row in rows) + " |", "|---|" + "---|" * len(rows)]
    for title in titles:
        out.append("| %s | %s |" % (title, " | ".join(mark(row, "server", title) + " " + mark(row, "client", title) for row in rows)))
    out += ["", "## What a peer cannot do, in its own words", "",
            "`server` and `client` are the peer's role. What stands here was said in this very run, and the run fails when it is no longer said, or",
            "the cell works after all; only what begins with `documentation` was not tried.", "", "| peer | cells | words |", "|---|---|---|"]
    out += notes(rows)
    return "\n".join(out) + "\n"
