"""Our schema files as the preprocessor sees them (`codec table`), in the terms of kafka_json.py."""
import re

NEVER = 0x7FFF


class Schema:
    def __init__(self, table):
        self.structs, self.apis, self.others, self.messages, self.errors = {}, {}, {}, {}, []
        for line in table.splitlines():
            word, *rest = line.split()
            getattr(self, word)(*rest)

    def api(self, api, name, *numbers):
        key, advertised, first, last, flexible = map(int, numbers)
        self.apis[api] = {"name": name, "key": key, "advertised": advertised, "first": first, "last": last,
                          "flexible": flexible}

    def versions(self, name, *numbers):
        first, last, flexible = map(int, numbers)
        self.others[name] = {"name": None, "key": None, "first": first, "last": last, "flexible": flexible}

    def struct(self, name):
        self.current = self.structs.setdefault(name, [])

    def field(self, kind, type_, name, *numbers):
        since, until, null_since, may_drop, default, tag = map(int, numbers)
        self.current.append({"kind": kind, "type": type_, "name": name, "since": since, "until": until,
                             "null_since": null_since, "ignorable": bool(may_drop), "default": default, "tag": tag})

    def end(self, name):
        self.current = None

    def message(self, name, api):
        self.messages[name] = api

    def error(self, number, name, spoken):
        self.errors.append((int(number), name, spoken))

    def limits(self, message):
        return {**self.others, **self.apis}[self.messages[message]]

    def kafka_name(self, message):
        """produce_request is Kafka's ProduceRequest; an API's own name is in its API row."""
        api = self.apis.get(self.messages[message])
        if api:
            return api["name"] + message.removeprefix(self.messages[message] + "_").capitalize()
        return "".join(part.capitalize() for part in message.split("_"))

    def fields(self, struct, version):
        rows = [f for f in self.structs[struct] if f["since"] <= version <= f["until"]]
        return [self.as_of(f, version) for f in rows]

    def as_of(self, field, version):
        kind, type_ = field["kind"], field["type"]
        struct = type_ if kind in ("ARRAY", "NULLABLE", "NEST") else None
        return {
            "name": field["name"],
            "type": kafka_type(kind, type_),
            "fields": self.fields(struct, version) if struct else None,
            "nullable": field["null_since"] != NEVER and version >= field["null_since"],
            "default": kafka_default(kind, type_, field["default"]),
            "tag": field["tag"] if field["tag"] >= 0 else None,
            "ignorable": field["ignorable"],
            "flexible": type_ != "string16",
        }


def kafka_type(kind, type_):
    plain = re.sub("16$", "", type_) if type_.startswith("string") else type_
    return {"LIST": "[]" + plain, "ARRAY": "[]struct", "NULLABLE": "struct", "NEST": "struct"}.get(kind, plain)


def kafka_default(kind, type_, number):
    if kind in ("LIST", "ARRAY"):
        return None if number < 0 else []
    if kind in ("NULLABLE", "NEST"):
        return None if kind == "NULLABLE" else {}
    if kind == "TEXT":
        return None if number < 0 else ""
    if type_ == "bool":
        return bool(number)
    return bytes(16) if type_ == "uuid" else number
