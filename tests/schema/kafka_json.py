"""Kafka's own message definitions, read from its JSON files, as plain facts per message and version, and an encoder that
knows nothing of our schema files.

A field, as it is in one version, is a dict: name (snake case), type, fields (of a struct, else None), nullable, default,
tag (None where the field is not tagged), ignorable, flexible (False where Kafka keeps the old encoding of a length).
Ignorable is None in an older file whose every version has the field: only a version without it makes a difference.
"""
import functools
import json
import pathlib
import random
import re
import struct

NUMBERS = {"int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint16": "H", "float64": "d"}
FOREVER = 1 << 15


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def versions(text):
    """The versions that "3+", "0-12", "5" or "none" name, as a range."""
    if not text or text == "none":
        return range(0)
    if text.endswith("+"):
        return range(int(text[:-1]), FOREVER)
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def versions_of(field):
    """A field that is always tagged may only say in which versions it is that."""
    return versions(field.get("versions") or field["taggedVersions"])


class Definitions:
    """The newest description that has a version wins; lower versions come from Kafka 3.9's files."""

    def __init__(self, folder):
        self.folders = [pathlib.Path(folder) / name for name in ("protocol", "protocol-3.9", "group-coordinator", "transaction-coordinator")]

    @functools.cache
    def files(self, name):
        paths = [folder / f"{name}.json" for folder in self.folders]
        return [json.loads(without_comments(path.read_text())) for path in paths if path.exists()]

    def message(self, name, version):
        """The file that describes this version of a message, or None."""
        return next((file for file in self.files(name) if version in versions(file["validVersions"])), None)

    @functools.cache
    def fields(self, name, version):
        file = self.message(name, version)
        shared = {s["name"]: s["fields"] for s in file.get("commonStructs", [])}
        fields = [as_of(f, version, shared) for f in file["fields"] if version in versions_of(f)]
        return fields if file is self.files(name)[0] else [without_idle_ignorable(f, file) for f in fields]

    def flexible(self, name, version):
        return version in versions(self.message(name, version)["flexibleVersions"])


def without_comments(text):
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith("//"))


def as_of(field, version, shared):
    kind = field["type"]
    inner = field.get("fields") or shared.get(kind.removeprefix("[]"))
    nullable = version in versions(field.get("nullableVersions"))
    return {
        "name": snake(field["name"]),
        "type": kind,
        "fields": inner and [as_of(f, version, shared) for f in inner if version in versions_of(f)],
        "nullable": nullable,
        "default": default(kind, field.get("default"), inner),
        "tag": field["tag"] if version in versions(field.get("taggedVersions")) else None,
        "ignorable": bool(field.get("ignorable", False)),
        "versions": versions_of(field),
        "flexible": field.get("flexibleVersions") != "none",
    }


def without_idle_ignorable(field, file):
    """A field of an older file, and its fields: the newest file may call it ignorable for versions that came later."""
    always = set(versions(file["validVersions"])) <= set(field["versions"])
    inner = field["fields"] and [without_idle_ignorable(f, file) for f in field["fields"]]
    return {**field, "fields": inner, "ignorable": None if always else field["ignorable"]}


def default(kind, given, inner):
    if kind.startswith("[]"):
        return None if given == "null" else []
    if inner:
        return None if given == "null" else {}
    if kind == "records":
        return None
    if kind in ("string", "bytes"):
        return None if given == "null" else given or ""
    if kind == "bool":
        return str(given).lower() == "true"
    if kind == "uuid":
        return bytes(16)
    return int(str(given), 0) if given not in (None, "") else 0


# ---- values: what a struct holds is a dict by field name, filled with Kafka's defaults for its tags ----

LENGTHS = [0, 1, 2, 5, 17, 126, 127, 128, 300]


class Values:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, longest):
        n = self.random.choice([n for n in LENGTHS if n <= longest])
        return bytes(self.random.choice(b"abcxyzABC019.-_") for _ in range(n))

    def number(self, kind):
        if kind == "float64":
            return self.random.choice([0.0, 1.0, -0.5, 1e300, float("inf"), self.random.uniform(-1e9, 1e9)])
        bits = 8 * struct.calcsize(">" + NUMBERS[kind])
        low, high = (0, (1 << bits) - 1) if kind == "uint16" else (-(1 << bits - 1), (1 << bits - 1) - 1)
        return self.random.choice([0, 1, max(low, -1), low, high, self.random.randint(low, high), self.random.randint(0, 127)])

    def of(self, field, room):
        kind = field["type"]
        if field["nullable"] and self.random.random() < 0.25:
            return None
        if kind.startswith("[]"):
            count = self.random.choice([0, 1, 1, 2, 3] if room > 0 else [0, 0, 1])
            return [self.of({**field, "type": kind[2:], "nullable": False}, room - 1) for _ in range(count)]
        if field["fields"] is not None:
            return self.struct(field["fields"], room)
        if kind in NUMBERS:
            return self.number(kind)
        if kind == "bool":
            return self.random.random() < 0.5
        if kind == "uuid":
            return self.random.choice([bytes(16), self.random.randbytes(16)])
        return self.text(300 if room > 0 else 20)

    def struct(self, fields, room):
        return {f["name"]: self.of(f, room) if f["tag"] is None or self.random.random() < 0.6 else fresh(f) for f in fields}


def fresh(field):
    """A field's default value."""
    if field["fields"] is not None and not field["type"].startswith("[]") and field["default"] is not None:
        return {f["name"]: fresh(f) for f in field["fields"]}
    given = field["default"]
    return given.encode() if isinstance(given, str) else given


# ---- encoding ----

def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def length(n, wide, flexible):
    if flexible:
        return varint(0 if n is None else n + 1)
    return struct.pack(">i" if wide else ">h", -1 if n is None else n)


def encode_value(field, value, flexible):
    kind = field["type"]
    if kind.startswith("[]"):
        head = length(None if value is None else len(value), True, flexible)
        element = {**field, "type": kind[2:], "nullable": False}
        return head + b"".join(encode_value(element, v, flexible) for v in value or [])
    if field["fields"] is not None:
        mark = (b"\xff" if value is None else b"\x01") if field["nullable"] else b""
        return mark + (encode_struct(field["fields"], value, flexible) if value is not None else b"")
    if kind in NUMBERS:
        return struct.pack(">" + NUMBERS[kind], value)
    if kind == "bool":
        return b"\x01" if value else b"\x00"
    if kind == "uuid":
        return value
    head = length(None if value is None else len(value), kind != "string", flexible and field["flexible"])
    return head + (value or b"")


def encode_struct(fields, value, flexible):
    plain = b"".join(encode_value(f, value[f["name"]], flexible) for f in fields if f["tag"] is None)
    if not flexible:
        return plain
    tagged = sorted((f for f in fields if f["tag"] is not None and value[f["name"]] != fresh(f)), key=lambda f: f["tag"])
    tags = b""
    for field in tagged:
        body = encode_value({**field, "nullable": field["nullable"] and field["fields"] is None}, value[field["name"]], True)
        tags += varint(field["tag"]) + varint(len(body)) + body
    return plain + varint(len(tagged)) + tags
