"""tests/integration/schema.py: the tables of docs/json.md, and whether a value is as one of them says."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADING = re.compile(r"^### (output|event|table): (.+)$")
ROW = re.compile(r"^\| `(\w+)(\??)` \| ([^|]+) \|")
PLAIN = {"string": str, "integer": int, "boolean": bool, "null": type(None), "object": dict}


class Wrong(AssertionError):
    """A value that is not as the document says."""


def read(path=os.path.join(ROOT, "docs", "json.md")):
    """{"output: key list": {"fields": {name: (type, optional)}, "is_list": bool}}"""
    tables, now = {}, None
    with open(path, encoding="utf-8") as f:
        for line in f:
            heading, row = HEADING.match(line), ROW.match(line)
            if heading:
                now = tables["%s: %s" % heading.groups()] = {"fields": {}, "is_list": False}
            elif line.startswith("## "):
                now = tables.setdefault("events", {"fields": {}, "is_list": False}) if "Events" in line else None
            elif now is not None and line.strip() == "A list of:":
                now["is_list"] = True
            elif now is not None and row:
                name, optional, kind = row.groups()
                now["fields"][name] = (kind.strip(), optional == "?")
    return tables


TABLES = read()
OUTPUTS = [name[len("output: "):] for name in TABLES if name.startswith("output: ")]


def check_type(value, kind, where):
    if " or " in kind:
        if value is None and kind.endswith(" or null"):
            return
        kind = kind[:-len(" or null")]
    if kind.startswith("list of "):
        if not isinstance(value, list):
            raise Wrong("%s is no list: %r" % (where, value))
        for number, one in enumerate(value):
            check_type(one, kind[len("list of "):], "%s[%d]" % (where, number))
    elif kind == "number":
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise Wrong("%s is no number: %r" % (where, value))
    elif kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or (kind == "integer" and isinstance(value, bool)):
            raise Wrong("%s is no %s: %r" % (where, kind, value))
    else:
        check_fields(value, TABLES["table: " + kind]["fields"], where)


def check_fields(value, fields, where):
    if not isinstance(value, dict):
        raise Wrong("%s is no object: %r" % (where, value))
    for name, (kind, optional) in fields.items():
        if name in value:
            check_type(value[name], kind, where + "." + name)
        elif not optional:
            raise Wrong("%s has no %s: %r" % (where, name, value))
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise Wrong("%s has what docs/json.md does not tell: %s" % (where, ", ".join(unknown)))


def check_output(command, value):
    table = TABLES["output: " + command]
    values = value if table["is_list"] else [value]
    if table["is_list"] and not isinstance(value, list):
        raise Wrong("%s is no list" % command)
    for one in values:
        check_fields(one, table["fields"], command)


def check_event(event):
    name = event.get("event")
    if "event: %s" % name not in TABLES:
        raise Wrong("docs/json.md does not tell of the event %r" % name)
    if name != "lost":
        check_fields(event, dict(TABLES["event: " + name]["fields"], **TABLES["events"]["fields"]), "event " + name)
