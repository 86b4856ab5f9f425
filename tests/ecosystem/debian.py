"""Programs of Debian's packages, unpacked below build/tests/ and not installed: two system loggers exclude each other, and neither is wanted here."""
from world import *

LISTING = os.path.join(HERE, "debian_packages.txt")


def unpacked():
    """The folder with the files of all the packages, as they lie in the system otherwise."""
    def make(folder):
        need("dpkg")
        with open(LISTING, encoding="ascii") as file:
            wanted = file.read().split()
        os.makedirs(folder)
        must(["sh", "-c", 'cd "$0" && apt-get -q download "$@"', folder, *wanted], 300)
        for name in os.listdir(folder):
            must(["dpkg", "-x", os.path.join(folder, name), folder], 60)
            os.remove(os.path.join(folder, name))
    return os.path.abspath(installed("debian", LISTING, make))


def program_of(path, *arguments):
    """The command line and environment of a program of the packages."""
    root = unpacked()
    libraries = [os.path.join(root, "usr/lib/x86_64-linux-gnu"), os.path.join(root, "lib/x86_64-linux-gnu"), os.path.join(root, "usr/lib/syslog-ng"),
                 os.path.join(root, "usr/lib/syslog-ng/3.38")]
    return [os.path.join(root, path), *arguments], {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


def configured(name, text):
    path = os.path.abspath(f"{WORK}/{name}.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def run_packaged(name, path, *arguments):
    command, environment = program_of(path, *arguments)
    return Running(command, f"{WORK}/{name}.log", env=environment)


def written(path, first, count):
    with open(path, "a", encoding="ascii") as file:
        file.writelines(f"line {i}\n" for i in range(first, first + count))


def forwards_lines(name, start, also=None, lines=600):
    """What a logger reads of a file is in the topic NAME, each line at least once, also when the broker was killed in between.

    `also`: what the logger itself has of these lines in the end.
    """
    path, broker = os.path.abspath(f"{WORK}/{name}.txt"), open_broker(f"{WORK}/{name}", EXACTLY)
    open(path, "w", encoding="ascii").close()
    broker.keep_port = True
    wanted = {f"line {i}" for i in range(lines)}
    with broker:
        client("topic", broker.address, name, 1)
        logger = start(broker, path)
        written(path, 0, lines // 2)
        assert wait_until(lambda: asked("values", broker.address, name), 60, 1), f"no line comes: {logger.said()[-800:]}"
        broker.kill(), broker.start()
        written(path, lines // 2, lines // 2)

        def lacking():
            values = asked("values", broker.address, name)
            missing = wanted - {value.strip() for value in values} or (wanted - also() if also else None)
            return missing and f"{len(missing)} lines do not come, such as {min(missing)}: {logger.said()[-800:]}"
        comes(lacking, 90)
        logger.stop()
        broker.stop()
