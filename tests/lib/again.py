"""Which sections of a group to run, and how often: `run [--OPTION N] [name ...]`."""


def chosen(words, sections, option, counts, usage):
    """The names, in order. With the option, those in `counts` (name: how many each has) again and again, until there are N at least."""
    wanted = 0
    if words[:1] == [option] and len(words) > 1 and words[1].isdigit():
        wanted, words = int(words[1]), words[2:]
    names = words or list(sections)
    if not set(names) <= set(sections):
        raise SystemExit(usage)
    again = [name for name in names if name in counts]
    while again and sum(counts.get(name, 0) for name in names) < wanted:
        names = names + again
    return names
