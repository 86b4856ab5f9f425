#!/usr/bin/env python3
"""The page of bench/report as a browser shows it: a picture is taken, and looked at.

Two brokers at two offered rates; what is in the results is made here. Each chart stands on the page as a whole, lies over no
other one, cuts off no word, and has a line of each broker's colour. The picture stays in build/tests/bench/report.png. Without chromium it says `not run`.
"""

import html
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import struct
import sys
import tempfile
import zlib
from itertools import accumulate

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from process import run_ok  # noqa: E402

WORK = os.path.join("build", "tests", "bench")
WIDTH = 1260
LOOK = """<script>document.title = JSON.stringify({height: document.documentElement.scrollHeight, width: document.documentElement.scrollWidth,
 cut: [...document.querySelectorAll("svg text")].filter(t => { const r = t.getBoundingClientRect(), s = t.ownerSVGElement.getBoundingClientRect();
  return r.left < s.left || r.right > s.right || r.top < s.top || r.bottom > s.bottom }).map(t => t.textContent),
 figures: [...document.querySelectorAll("figure")].map(f => { const r = f.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] })})</script>"""


def latency(base):
    nines = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]
    return {"p50": base, "p99": 4 * base, "p99.9": 9 * base, "curve": [[q, base * (1 + i * i)] for i, q in enumerate(nines)]}


def result(broker, workload, offered, slower):
    seconds = 20
    series = [[offered // slower, offered // slower, 0, 0, 300 * slower + 10 * (i % 5)] for i in range(seconds)]
    return {"broker": broker, "workload": workload, "offered": offered, "seconds": seconds, "acked_records": offered * seconds, "read_records": offered * seconds,
            "acked_bytes": offered * seconds * 1024, "read_bytes": offered * seconds * 1024, "backlog_s": 0, "from_due_us": latency(100 * slower),
            "end_to_end_us": latency(150 * slower), "broker_cpu_s": 2.5 * slower, "broker_rss_bytes": 9e7 * slower, "broker_written_bytes": 4e8,
            "load_busy": 0.4, "ack_meaning": "on stable media", "series": series}


def report():
    loader = importlib.machinery.SourceFileLoader("report", "bench/report")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("report", loader))
    loader.exec_module(module)
    return module


def browse(*words):
    with tempfile.TemporaryDirectory() as profile:
        return run_ok(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}", *words],
                      timeout=120).decode()


def paeth(left, up, corner):
    guess = left + up - corner
    return min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]


def line_of(kind, row, above, step):
    """A line of a PNG without its filter."""
    if kind == 1:
        out = bytearray(len(row))
        for c in range(step):
            out[c::step] = bytes(accumulate(row[c::step], lambda a, b: (a + b) & 255))
        return out
    if kind == 2:
        return bytearray((a + b) & 255 for a, b in zip(row, above))
    out = bytearray(row)
    for i in range(len(row) if kind > 2 else 0):
        left, corner = (out[i - step], above[i - step]) if i >= step else (0, 0)
        out[i] = (row[i] + ((left + above[i]) // 2 if kind == 3 else paeth(left, above[i], corner))) & 255
    return out


def read_png(path):
    """(bytes of a pixel, its lines)"""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "it is no PNG"
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, _, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", body)
        packed += body if kind == b"IDAT" else b""
        at += 12 + size
    assert depth == 8 and colours in (2, 6) and not interlaced, "another kind of PNG"
    step = 3 if colours == 2 else 4
    raw, wide, lines, above = zlib.decompress(packed), width * step, [], bytearray(width * step)
    for start in range(0, len(raw), wide + 1):
        above = line_of(raw[start], raw[start + 1:start + 1 + wide], above, step)
        lines.append(above)
    return step, lines


def pixels_of(picture, box, colour):
    """How many pixels in the box have about that colour."""
    step, lines = picture
    left, top, right, bottom = (round(v) for v in box)
    want = bytes.fromhex(colour[1:])
    return sum(1 for line in lines[top:bottom] for x in range(left, right)
               if all(abs(line[x * step + c] - want[c]) < 40 for c in range(3)))


def overlap(a, b):
    return min(a[2], b[2]) - max(a[0], b[0]) > 0.5 and min(a[3], b[3]) - max(a[1], b[1]) > 0.5


def main():
    if not shutil.which("chromium"):
        print("not run: report: no chromium to look at it")
        return
    module = report()
    brokers = ["Odradek", "Apache Kafka 4.3.1"]
    results = [result(broker, "simple", rate, slower) for slower, broker in enumerate(brokers, 1)
               for rate in (1000, 4000)]
    text = module.page(results, ["two brokers that nobody has measured"])
    os.makedirs(WORK, exist_ok=True)
    page, probe, shot = (os.path.abspath(os.path.join(WORK, name)) for name in ("report.html", "report-probe.html", "report.png"))
    for path, content in ((page, text), (probe, text.replace("</html>", LOOK + "</html>"))):
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
    dom = browse(f"--window-size={WIDTH},800", "--dump-dom", f"file://{probe}")
    seen = json.loads(html.unescape(re.search("<title>(.*?)</title>", dom, re.DOTALL).group(1)))
    assert seen["width"] <= WIDTH, f"the page is {seen['width']} wide"
    figures = seen["figures"]
    charts = 6
    assert len(figures) == charts, f"{len(figures)} charts, not {charts}"
    assert not seen["cut"], f"words are cut off: {seen['cut']}"
    assert not any(overlap(a, b) for i, a in enumerate(figures) for b in figures[:i]), "charts lie over each other"
    browse(f"--window-size={WIDTH},{seen['height']}", f"--screenshot={shot}", f"file://{page}")
    picture = read_png(shot)
    assert len(picture[1]) == seen["height"] and len(picture[1][0]) == WIDTH * picture[0], "the picture has another size"
    for number, box in enumerate(figures):
        assert box[0] >= 0 and box[2] <= WIDTH and box[3] <= seen["height"], f"chart {number} is cut off"
        for broker, colour in zip(brokers, module.COLOURS):
            found = pixels_of(picture, box, colour)
            assert found >= 15, f"chart {number} shows {found} pixels of {broker}"


try:
    main()
except AssertionError as why:
    sys.exit(f"{why} (report.html and report.png in {WORK})")
