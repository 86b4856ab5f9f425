"""Tools that no package of the distribution brings, installed once below build/tests/ and reused.

`venv_python()` is a Python with the packages of tests/clients/requirements.txt; `java(class, ...)` is the command
line of a Kafka tool, its jars resolved by Maven from tests/clients/pom.xml. Both are rebuilt when their list changes.
`compiled` builds a client program from one C file.
"""
import fcntl
import os
import shutil
import sys

from process import need, run, run_ok
from report import NotRun

ROOT = "build/tests"
REQUIREMENTS = "tests/clients/requirements.txt"
POM = "tests/clients/pom.xml"
LOGGING = "tests/lib/log4j2.properties"


def installed(name, listing, install):
    """The folder `name`, filled by install(folder) from the file `listing` unless it was already."""
    folder = os.path.join(ROOT, name)
    os.makedirs(ROOT, exist_ok=True)
    with open(listing, "rb") as file:
        wanted = file.read()
    with open(folder + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark_of(folder) != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            install(folder)
            with open(os.path.join(folder, "installed"), "wb") as file:
                file.write(wanted)
    return folder


def mark_of(folder):
    try:
        with open(os.path.join(folder, "installed"), "rb") as file:
            return file.read()
    except OSError:
        return None


def must(command, timeout):
    """Runs an installer; what it says becomes the reason of a NotRun."""
    code, out, err = run(command, timeout=timeout)
    if code != 0:
        lines = (err + out).decode(errors="replace").strip().splitlines()
        raise NotRun(f"{os.path.basename(command[0])} failed: {lines[0] if lines else code}")


def make_venv(folder):
    must([sys.executable, "-m", "venv", folder], 120)
    must([os.path.join(folder, "bin/pip"), "install", "--quiet", "--disable-pip-version-check",
          "--requirement", REQUIREMENTS], 600)


def venv_python():
    """The interpreter of the tests' own Python environment, or NotRun."""
    return os.path.join(installed("python", REQUIREMENTS, make_venv), "bin/python")


def copy_jars(folder, pom, version=None):
    need("java")
    must([need("mvn"), "-q", "-B", "-f", pom, *([f"-Dkafka.version={version}"] if version else []),
          "dependency:copy-dependencies", f"-DoutputDirectory={os.path.abspath(folder)}"], 600)


def jars(version=None, pom=POM, name="jars"):
    """The folder with a pom's jars (Kafka's, unless said otherwise), of the version that it names if none is said, or NotRun."""
    return installed(f"{name}-{version}" if version else name, pom, lambda folder: copy_jars(folder, pom, version))


def java(main, *arguments, heap="256m", logging="WARN", version=None, folder=None):
    """The command line of a Java tool. The flags make a short run start fast on few cores. `folder`: of its jars."""
    folder = folder or jars(version)
    return [need("java"), f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
            f"-Dlog4j2.configurationFile={LOGGING}", f"-Dtests.log={logging}", "-cp", f"{folder}/*", main, *arguments]


def compiled(source, header, library, folder):
    """The program `source` (C) linked with `library`, below `folder`, or NotRun where `header` is not installed."""
    program = os.path.join(folder, os.path.basename(source).removesuffix(".c"))
    os.makedirs(folder, exist_ok=True)
    code, _, _ = run([need("gcc"), "-E", "-x", "c", "-"], stdin=f"#include <{header}>\n".encode())
    if code != 0:
        raise NotRun(f"<{header}> is not installed")
    run_ok(["gcc", "-std=gnu2x", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source, f"-l{library}"],
           timeout=60)
    return program
