"""Kafka's messages in every version, from our own schema files (net/wire/schema, which tests/schema compares with Kafka's).

    from messages import call, send, take
    r = call(connection, "join_group", 9, group_id="g", protocols=[{"name": "range", "metadata": b""}])
    r.error_code, r.members[0].member_id        # texts are str, bytes and records are bytes, uuids are bytes

A field that is not given has its default; one that the version lacks is not sent. An answer's fields that the version lacks
have their defaults.
"""
import functools
import pathlib
import re
import struct

import wire

FOLDER = pathlib.Path(__file__).resolve().parent.parent.parent / "net/wire/schema"
NUMBERS = {"bool": "?", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint16": "H", "float64": "d"}
FORMS = {form: struct.Struct(">" + form) for form in (*NUMBERS.values(), "B")}
PACKS = {type_: FORMS[form].pack for type_, form in NUMBERS.items()}
WORDS = re.compile(r"(?<!\w)(API|STRUCT|FIELD|TEXT|LIST|ARRAY|NULLABLE|TAG_FIELD|TAG_TEXT|TAG_ARRAY|TAG_NEST|END)\(([^()]*)\)")
LAST = NEVER = 1 << 15
CONSTANTS = {"LAST": LAST, "NEVER": NEVER, "EMPTY": 0, "NONE": None, "MAY_DROP": 1, "MUST_FIT": 0, "true": True, "false": False,
             "INT32_MIN": -(1 << 31), "INT32_MAX": (1 << 31) - 1, "INT64_MAX": (1 << 63) - 1}


class Fields(dict):
    __getattr__ = dict.__getitem__


def number(text):
    return CONSTANTS[text] if text in CONSTANTS else int(text)


def field(word, values):
    tag = None
    if word.startswith("TAG_"):
        word, tag, values = word.removeprefix("TAG_"), int(values[0]), values[1:]
    type_, name, since, until = values[0], values[1], number(values[2]), number(values[3])
    null_since = number(values[4]) if word in ("TEXT", "LIST", "ARRAY", "NULLABLE") else NEVER
    default = number(values[-1]) if word in ("FIELD", "TEXT", "LIST", "ARRAY") else None
    return Fields(kind=word, type=type_, name=name, since=since, until=until, null_since=null_since, default=default, tag=tag)


@functools.cache
def schema():
    """(APIs by name: key, advertised, first, last, flexible; fields by struct)"""
    apis, structs = {}, {}
    for path in sorted(FOLDER.glob("*.def")):
        if path.name.startswith("words"):
            continue
        current = None
        for word, inside in WORDS.findall(re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)):
            values = [v.strip() for v in inside.split(",")]
            if word == "API":
                apis[values[0]] = tuple(number(v) for v in values[2:])
            elif word == "STRUCT":
                current = structs.setdefault(values[0], [])
            elif word != "END":
                current.append(field(word, values))
    return apis, structs


def versions(api):
    _, _, first, last, _ = schema()[0][api]
    return range(first, last + 1)


def fresh(f):
    if f.kind == "FIELD":
        return bytes(16) if f.type == "uuid" else f.default
    if f.kind == "TEXT":
        return None if f.default is None else "" if f.type == "string" else b""
    if f.kind == "NEST":
        return Fields({g.name: fresh(g) for g in schema()[1][f.type]})
    return None if f.kind == "NULLABLE" or f.default is None else []


@functools.cache
def layout(name, version):
    """Of a struct in a version: its fields without a tag, and with one; the names of all versions; an answer in which nothing was read
    yet, and those of its values that each answer needs anew. Requests and answers have 100,000 of a struct: nothing is worked out twice."""
    everything = schema()[1][name]
    there = [f for f in everything if f.since <= version <= f.until]
    plain = [f for f in there if f.tag is None]
    read = {f.name for f in plain}
    empty = {f.name: fresh(f) for f in everything}
    anew = [f for f in everything if f.name not in read and isinstance(empty[f.name], (list, dict))]
    return plain, [f for f in there if f.tag is not None], empty.keys(), empty, anew


# --- encoding ---


def put_length(n, wide, flexible):
    if flexible:
        return wire.uvarint(0 if n is None else n + 1)
    return struct.pack(">i" if wide else ">h", -1 if n is None else n)


def put_plain(type_, value, flexible):
    if type_ in PACKS:
        return PACKS[type_](value)
    if type_ == "uuid":
        return value
    raw = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    return put_length(None if raw is None else len(raw), type_ not in ("string", "string16"), flexible and type_ != "string16") + (raw or b"")


def put(f, value, version, flexible):
    kind, type_ = f["kind"], f["type"]
    if kind in ("FIELD", "TEXT"):
        return put_plain(type_, value, flexible)
    if kind == "ARRAY":
        return put_length(None if value is None else len(value), True, flexible) + put_structs(type_, value or [], version, flexible)
    if kind == "LIST":
        return put_length(None if value is None else len(value), True, flexible) + b"".join([put_plain(type_, v, flexible) for v in value or []])
    if kind == "NEST":
        return put_struct(type_, value, version, flexible)
    return b"\xff" if value is None else b"\x01" + put_struct(type_, value, version, flexible)


def put_structs(name, values, version, flexible):
    """One that stands there again and again ([x] * 10000) is put into bytes once."""
    out, last, raw = [], None, b""
    for v in values:
        if v is not last:
            last, raw = v, put_struct(name, v, version, flexible)
        out.append(raw)
    return b"".join(out)


def put_struct(name, values, version, flexible):
    plain, tagged, names, _, _ = layout(name, version)
    unknown = values.keys() - names
    assert not unknown, f"{name} has no {unknown}"
    out = b"".join([put(f, values[n] if (n := f["name"]) in values else fresh(f), version, flexible) for f in plain])
    if not flexible:
        return out
    told = [f for f in tagged if f.name in values and values[f.name] != fresh(f)]
    out += wire.uvarint(len(told))
    for f in told:
        body = put(f, values[f.name], version, True)
        out += wire.uvarint(f.tag) + wire.uvarint(len(body)) + body
    return out


# --- decoding ---


class Cursor:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def bytes(self, n):
        assert 0 <= n <= len(self.raw) - self.at, "the answer ends in the middle of a field"
        self.at += n
        return self.raw[self.at - n:self.at]

    def number(self, form):
        known = FORMS[form]
        self.at += known.size
        assert self.at <= len(self.raw), "the answer ends in the middle of a field"
        return known.unpack_from(self.raw, self.at - known.size)[0]

    def uvarint(self):
        if self.at < len(self.raw) and self.raw[self.at] < 128:  # nearly always
            self.at += 1
            return self.raw[self.at - 1]
        value = shift = 0
        while True:
            byte = self.number("B")
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def length(self, wide, flexible):
        n = self.uvarint() - 1 if flexible else self.number("i" if wide else "h")
        return None if n < 0 else n


def get_plain(c, type_, flexible):
    if type_ in NUMBERS:
        return c.number(NUMBERS[type_])
    if type_ == "uuid":
        return c.bytes(16)
    n = c.length(type_ not in ("string", "string16"), flexible)
    if n is None:
        return None
    raw = c.bytes(n)
    return raw.decode(errors="surrogateescape") if type_.startswith("string") else raw


def get(c, f, version, flexible):
    kind, type_ = f["kind"], f["type"]
    if kind in ("FIELD", "TEXT"):
        return get_plain(c, type_, flexible)
    if kind in ("LIST", "ARRAY"):
        n = c.length(True, flexible)
        one = get_plain if kind == "LIST" else lambda c, t, flex: get_struct(c, t, version, flex)
        value = None if n is None else [one(c, type_, flexible) for _ in range(n)]
        assert value is not None or version >= f.null_since, f"{f.name} is null in version {version}"
        return value
    if kind == "NULLABLE" and c.number("b") < 0:
        return None
    return get_struct(c, type_, version, flexible)


def get_struct(c, name, version, flexible):
    plain, tagged, _, empty, anew = layout(name, version)
    out = Fields(empty)
    for f in anew:
        out[f.name] = fresh(f)
    for f in plain:
        value = out[f["name"]] = get(c, f, version, flexible)
        assert value is not None or version >= f.null_since, f"{name}.{f.name} is null in version {version}"
    for _ in range(c.uvarint() if flexible else 0):
        tag, size = c.uvarint(), c.uvarint()
        inner = Cursor(c.bytes(size))
        for f in tagged:
            if f.tag == tag:
                out[f.name] = get(inner, f, version, True)
    return out


# --- conversation ---


def frame(api, version, correlation=7, client="test", **values):
    """A frame."""
    key, _, _, _, flexible = schema()[0][api]
    head = wire.i16(key) + wire.i16(version) + wire.i32(correlation) + put_plain("string16", client, False)
    head += b"\0" if version >= flexible else b""
    raw = head + put_struct(api + "_request", values, version, version >= flexible)
    return wire.i32(len(raw)) + raw


def send(connection, api, version, **values):
    connection.send(frame(api, version, **values))


def take(connection, api, version):
    """The answer to what was sent."""
    flexible = version >= schema()[0][api][4]
    correlation, raw = connection.reply()
    assert correlation == 7, f"correlation id {correlation} instead of 7"
    c = Cursor(raw)
    if flexible and api != "api_versions":
        assert c.number("B") == 0, "the response header has tags"
    out = get_struct(c, api + "_response", version, flexible)
    assert c.at == len(raw), f"{len(raw) - c.at} bytes behind the answer to {api} version {version}"
    return out


def call(connection, api, version, **values):
    send(connection, api, version, **values)
    return take(connection, api, version)


def coordinated(connection, groups=()):
    """Are the coordinators there, have they loaded all groups, and do they answer for these?"""
    if call(connection, "find_coordinator", 4, coordinator_keys=["any"]).coordinators[0].error_code:  # the first question makes the topic
        return False
    described = call(connection, "describe_groups", 5, groups=list(groups)).groups
    return call(connection, "list_groups", 4).error_code == 0 and not any(g.error_code for g in described)


def alter(connection, name, kind=2, **values):
    """(error code, message) of altering a topic's settings, or a broker's (kind 4); `_` in their names stands for a point."""
    configs = [{"name": k.replace("_", "."), "config_operation": 0, "value": str(v)} for k, v in values.items()]
    r = call(connection, "incremental_alter_configs", 1, resources=[{"resource_type": kind, "resource_name": name, "configs": configs}])
    return r.responses[0].error_code, r.responses[0].error_message
