"""tests/cbmc/test_proofs.py: lets CBMC prove what the programs beside this file assert, for all inputs up to their bound.
TAP. Debian 13 has CBMC, Debian 12 has not."""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CHECKS = ("--bounds-check", "--pointer-check", "--pointer-overflow-check", "--signed-overflow-check", "--conversion-check",
          "--unwind", "10", "--unwinding-assertions")


def prove(name):
    """(proved, output)"""
    done = subprocess.run(("cbmc", "--function", "main", "-I", ROOT + "/src", "-I", ROOT + "/include", "-D_GNU_SOURCE",
                           "-DTT_BUILDING") + CHECKS + (os.path.join(HERE, name + ".c"),),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200, check=False)
    return done.returncode == 0 and "VERIFICATION SUCCESSFUL" in done.stdout, done.stdout


def main():
    names = ("reader", "writer")
    failed = 0
    print("TAP version 13\n1..%d" % len(names), flush=True)
    for i, name in enumerate(names, 1):
        if shutil.which("cbmc") is None:
            print("ok %d - %s # SKIP cbmc is needed (Debian 13 has it)" % (i, name))
            continue
        proved, output = prove(name)
        failed += not proved
        if not proved:
            print("\n".join("# " + line for line in output.splitlines() if "FAILURE" in line or "rror" in line))
        print("%sok %d - %s" % ("" if proved else "not ", i, name), flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
