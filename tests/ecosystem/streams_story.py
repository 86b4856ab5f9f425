"""What happens in the topics that Topologies.java joins and counts, and what must come of it.

View i is of user i % 50, and 50 ms after view i - 1; there are none for two seconds of ten. A user clicks 40 ms after a view in each fourth
round over the users. So a view finds the clicks of three rounds within the 2.6 s of the join, or none. At the end of a story a view and a
click of each user, an hour and more behind, close every window.
"""
STEP, USERS, TEAMS, GROUPS = 50, 50, 5, 7
NEAR, TUMBLING, GAP, SLIDING = 2600, 5000, 1000, 1000
HOURS_AGO = 3  # a story begins; its windows wait an hour for latecomers, so it may have 70,000 views


def user(i):
    return f"u{i % USERS}"


def view_at(i):
    """Milliseconds since the beginning, or None: there is no view i."""
    return None if (i // 40) % 5 == 4 else i * STEP


def click_at(i):
    return i * STEP + 40 if (i // USERS) % 4 == 0 else None


def team_of(n, version):
    return f"t{(n + version) % TEAMS}"


def team_name(k, version):
    return f"name{k}-{version}"


def joined(count):
    """The click or None that each view meets: (user, "view:click")."""
    for i in range(count):
        if view_at(i) is None:
            continue
        met = [j for j in (i - USERS, i, i + USERS) if 0 <= j < count and click_at(j) is not None and abs(click_at(j) - view_at(i)) <= NEAR]
        for j in met or [None]:
            yield user(i), f"{i}:{'null' if j is None else j}"


def views_of(group, count):
    return [view_at(i) for i in range(group, count, GROUPS) if view_at(i) is not None]


def tumbling(start, times):
    """{(first, end): count} of each window; they begin at multiples of their size since 1970."""
    found = {}
    for t in times:
        first = (start + t) // TUMBLING * TUMBLING
        found[first, first + TUMBLING] = found.get((first, first + TUMBLING), 0) + 1
    return found


def sessions(start, times):
    found, first, last, count = {}, None, None, 0
    for t in [*times, None]:
        if first is not None and (t is None or t - last > GAP):
            found[start + first, start + last] = count
            first = None
        if t is not None:
            first, last, count = (t, t, 1) if first is None else (first, t, count + 1)
    return found


def sliding(start, times):
    """A window ends at each record, and one begins behind each record that another follows soon enough."""
    found = {}
    for first in {*(t - SLIDING for t in times), *(t + 1 for t in times)}:
        count = sum(first <= t <= first + SLIDING for t in times if abs(t - first) <= 2 * SLIDING)
        if count:
            found[start + first, start + first + SLIDING] = count
    return found


def windows(kind, start, count):
    """What a topic of windows holds: {"group@first-end": [count]}."""
    return {f"g{group}@{first}-{end}": [str(n)] for group in range(GROUPS)
            for (first, end), n in kind(start, views_of(group, count)).items()}


def totals(count):
    found = {}
    for i in range(count):
        if view_at(i) is not None:
            found[user(i)] = found.get(user(i), 0) + 1
    return found
