"""tests/interop: the interop matrix. `./dev interop [PEER...]` calls it: `python3 -m interop`, in a network namespace.

    python3 -m interop [--list] [--only WORD] [--docs] [PEER...]

Each cell is a real run; a table on stdout, all of it in build/interop/matrix.json. With --docs also docs/interop.md and
docs/interop.json; where only some peers or cells were asked for, the others stay there as they are. Exit code 1 when a cell fails, or a peer that was asked for is absent."""

import argparse
import json
import os
import sys

from interop import table
from interop.lab import ROOT, Lab
from interop.matrix import enter_namespace, run_peer
from interop.peers_list import PEERS


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def earlier():
    """The rows as they stand in docs/interop.json."""
    with open(os.path.join(ROOT, "docs", "interop.json"), encoding="utf-8") as f:
        return json.load(f)["peers"]


def main():
    parser = argparse.ArgumentParser(prog="interop")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", help="only cells with this word in their role or feature")
    parser.add_argument("--docs", action="store_true", help="write docs/interop.md and docs/interop.json")
    parser.add_argument("peers", nargs="*")
    args = parser.parse_args()
    if args.list:
        print("\n".join("%-14s %s" % (p.key, p.name) for p in PEERS))
        return 0
    unknown = [name for name in args.peers if not any(p.key.startswith(name) for p in PEERS)]
    if unknown:
        parser.error("no such peer: %s; there are: %s" % (", ".join(unknown), " ".join(p.key for p in PEERS)))
    enter_namespace("-B", "-m", "interop")
    chosen = [p for p in PEERS if not args.peers or any(p.key.startswith(name) for name in args.peers)]
    lab = Lab()
    try:
        rows = [run_peer(lab, peer, args.only) for peer in chosen]
    finally:
        lab.close()
    write(os.path.join(ROOT, "build", "interop", "matrix.json"), json.dumps({"peers": rows}, indent=1) + "\n")
    print(table.text(rows))
    absent = [row["name"] for row in rows if "absent" in row]
    if args.docs and absent:
        print("docs/interop.md is not written: not on this machine: " + ", ".join(absent))
    elif args.docs:
        rows = table.merge(earlier() if args.peers or args.only else [], rows, [p.key for p in PEERS])
        write(os.path.join(ROOT, "docs", "interop.md"), table.markdown(rows))
        write(os.path.join(ROOT, "docs", "interop.json"), table.as_json(rows))
    failed = sum(cell["status"] == "FAIL" for row in rows for cell in row["cells"])
    return 1 if failed or (absent and (args.peers or args.docs)) else 0


sys.exit(main())
