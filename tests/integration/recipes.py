"""tests/integration/recipes.py: reads the blocks of shell in a page of docs/, and makes one script of them.

In docs/recipes/ a block is ```sh, and the lines of ```text behind it are what it prints ("a ... b" in one line: in this order).
A comment in front says what a person does not need to read:
    <!-- not run: REASON -->        the next block is not run
    <!-- needs: PROGRAM... -->      for the whole page; needs-here: for the next block
    <!-- tpm: swtpm -->             a TPM of which one program at a time makes use, and which tpm2-openssl reaches
A program that goes on in the background is waited for: a line that ends in & names its port, HOST:PORT or "# listens on PORT".
"""
import os
import re

COMMENT = re.compile(r"^<!-- (not run|needs|needs-here|tpm): (.+) -->$")
PORT = re.compile(r"listens on (\d+)|(?:localhost|127\.0\.0\.1):(\d+)")
REASON_AT_LEAST = 20  # characters; "TODO" is none


class Block:
    def __init__(self, text, line, reason, needs):
        self.text, self.line, self.reason, self.needs = text, line, reason, needs
        self.prints = []


class Page:
    def __init__(self, path):
        self.path, self.blocks, self.needs, self.tpm = path, [], [], "embedded"
        with open(path, encoding="utf-8") as f:
            self._read(f.read().splitlines())

    def _read(self, lines):
        reason, needs, at = None, [], 0
        while at < len(lines):
            comment = COMMENT.match(lines[at])
            fence = re.match(r"^```(\w*)$", lines[at])
            if comment and comment.group(1) == "not run":
                reason = comment.group(2)
            elif comment and comment.group(1) == "needs-here":
                needs = comment.group(2).split()
            elif comment and comment.group(1) == "needs":
                self.needs += comment.group(2).split()
            elif comment:
                self.tpm = comment.group(2)
            elif fence:
                end = lines.index("```", at + 1)
                self._take(fence.group(1), "\n".join(lines[at + 1:end]), at + 1, reason, needs)
                reason, needs, at = None, [], end
            at += 1

    def _take(self, kind, text, line, reason, needs):
        if kind == "text":
            self.blocks[-1].prints = text.splitlines()
        elif kind == "sh":
            self.blocks.append(Block(text, line, reason, needs))
        else:
            raise ValueError("%s:%d: a block is sh or text, not %r" % (self.path, line, kind))


def complaints(page):
    """What is wrong with how a page is written."""
    for block in page.blocks:
        if block.reason is not None and len(block.reason) < REASON_AT_LEAST:
            yield "%s:%d: %r is no reason" % (page.path, block.line, block.reason)
        if block.reason is not None and block.prints:
            yield "%s:%d: what a block prints that is not run, nobody knows" % (page.path, block.line)


def waited(text):
    """After a program that was put into the background, its port is waited for."""
    out = []
    for line in text.split("\n"):
        out.append(line)
        if re.search(r"(^|\s)&(\s*#.*)?$", line.rstrip()) and not line.rstrip().endswith("&&"):
            port = PORT.search(line) or PORT.search("\n".join(out[-2:]))
            if port is None:
                raise ValueError("which port does this listen on? %s" % line)
            out.append("await_port %s" % (port.group(1) or port.group(2)))
    return "\n".join(out)


PROLOGUE = r"""set -euo pipefail
await_port() {
    for _ in $(seq 200); do
        ! (exec 3<>"/dev/tcp/localhost/$1") 2>/dev/null || return 0
        sleep 0.05
    done
    echo "nothing listens on port $1" >&2
    return 1
}
"""


def script(blocks):
    """One script; before each block a line that says which it is."""
    parts = [PROLOGUE]
    for number, block in enumerate(blocks):
        parts.append("printf '\\n### block %d\\n'\n%s" % (number, waited(block.text)))
    return "\n".join(parts) + "\n"


def missing_lines(output, blocks):
    """[(block, line)] of what should have been printed and was not."""
    pieces = re.split(r"^### block (\d+)\n", output, flags=re.M)
    printed = {int(number): text for number, text in zip(pieces[1::2], pieces[2::2])}
    bad = []
    for number, block in enumerate(blocks):
        for line in block.prints:
            pattern = ".*?".join(r"\s+".join(re.escape(word) for word in part.split()) for part in line.split("..."))
            if not re.search(pattern, printed.get(number, ""), re.S if "..." in line else 0):
                bad.append((block, line))
    return bad


def hand_list(readme):
    """README's list by hand: the indented block with `key create` in it, as one Block, without its first lines, which install."""
    with open(readme, encoding="utf-8") as f:
        text = f.read()
    section = re.search(r"^## By hand.*?(?=^## )", text, re.M | re.S).group(0)
    for found in re.finditer(r"(?:^    .*\n|^\n(?=    ))+", section, re.M):
        lines = [line[4:] for line in found.group(0).splitlines()]
        if any("tpmtls key create" in line for line in lines):
            return Block("\n".join(line for line in lines if not line.startswith("./dev ")), 0, None, [])
    raise ValueError("README has no list by hand")


def exists(name, has):
    """Is a program, or what `has` says, here?"""
    return has[name]() if name in has else any(os.access(os.path.join(d, name), os.X_OK) for d in os.environ["PATH"].split(":"))
