"""Requests and answers of any version, field by field, for the cases of this group.

    ask = Ask(c, DELETE_RECORDS, 2, flexible=2)      # a request of version 2, flexible from version 2 on
    ask.array([("t", 5)], lambda name, offset: ask.text(name).i64(offset).end())
    r = ask.i32(1000).end().reply()                 # a Reader that knows how this version spells texts and arrays
    r.array(lambda: r.end((r.string(), r.i64())))
"""
import struct

from wire import i8, i16, i32, i64, string, uvarint

WORK = "build/tests/api"


class Reader:
    """Walks through an answer."""

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, n):
        assert self.at + n <= len(self.raw), "the answer is too short"
        self.at += n
        return self.raw[self.at - n:self.at]

    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def i8(self):
        return self.number("b")

    def i16(self):
        return self.number("h")

    def i32(self):
        return self.number("i")

    def i64(self):
        return self.number("q")

    def text(self):
        n = self.i16()
        return None if n < 0 else self.take(n).decode()

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def compact(self):
        n = self.uvarint()
        return None if n == 0 else self.take(n - 1).decode()

    def count(self):
        return self.uvarint() - 1

    def tags(self):
        for _ in range(self.uvarint()):
            self.uvarint()
            self.take(self.uvarint())

    def done(self):
        assert self.at == len(self.raw), f"{len(self.raw) - self.at} bytes too many"


def compact(text):
    return uvarint(len(text.encode()) + 1) + text.encode()


def call_flexible(c, key, version, body):
    """Header v2, response header v1."""
    raw = i16(key) + i16(version) + i32(7) + string("test") + b"\0" + body
    c.send(i32(len(raw)) + raw)
    correlation, answer = c.reply()
    assert correlation == 7 and answer[:1] == b"\0", "a response header v1 was due"
    return Reader(answer[1:])


class Answer(Reader):
    """A reader that spells texts and arrays as the version does."""

    def __init__(self, raw, flexible):
        super().__init__(raw)
        self.flexible = flexible

    def string(self):
        return self.compact() if self.flexible else self.text()

    def array(self, element):
        """A list of what element() answers; None for null."""
        n = self.count() if self.flexible else self.i32()
        return None if n < 0 else [element() for _ in range(n)]

    def end(self, value=None):
        """The tags after a struct; answers `value`."""
        if self.flexible:
            self.tags()
        return value


class Ask:
    def __init__(self, connection, key, version, flexible):
        self.connection, self.key, self.version = connection, key, version
        self.flexible = version >= flexible
        self.body = b""

    def raw(self, more):
        self.body += more
        return self

    def i8(self, v):
        return self.raw(i8(v))

    def i16(self, v):
        return self.raw(i16(v))

    def i32(self, v):
        return self.raw(i32(v))

    def i64(self, v):
        return self.raw(i64(v))

    def text(self, v):
        if v is None:
            return self.raw(b"\0" if self.flexible else i16(-1))
        return self.raw(compact(v) if self.flexible else string(v))

    def array(self, elements, write):
        """None is null; write(*element) or write(element)."""
        n = -1 if elements is None else len(elements)
        self.raw(uvarint(n + 1) if self.flexible else i32(n))
        for element in elements or ():
            write(*element) if isinstance(element, tuple) else write(element)
        return self

    def end(self):
        """The tags after a struct."""
        return self.raw(b"\0") if self.flexible else self

    def reply(self):
        if not self.flexible:
            return Answer(self.connection.call(self.key, self.version, self.body), False)
        return Answer(call_flexible(self.connection, self.key, self.version, self.body).raw, True)
