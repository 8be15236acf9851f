"""What the PostgreSQL peers share: the rows they store, and slices on request as `peer.h` describes them.

A peer stores in the table `ticks` of a database of its own, which is empty when a slice begins. The figures of a slice
are the CPU and wall time of the client's process in microseconds and the rows that are in the table afterwards.
"""

import sys
import time

COLUMNS = ("at", "market_id", "yes_bid", "yes_ask", "home_score", "away_score")
INSERT = "INSERT INTO ticks VALUES ($1, $2, $3, $4, $5, $6)"
UNNEST = (
    "INSERT INTO ticks SELECT * FROM unnest"
    "($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::int[], $6::int[])"
)
MARKET = "KXNBAGAME-26JUL01TORCLE-CLE"
BEGIN = 1_782_864_000_000_000
BATCH = 1_000


def row(index):
    return (BEGIN + index, MARKET, 62, 64, 101, 99)


def rows(count):
    return [row(index) for index in range(count)]


def columns(count):
    """The same rows, a list for each column."""
    return [list(column) for column in zip(*rows(count))]


class Watch:
    """CPU of the process, all threads, and wall time since it was made."""

    def __init__(self):
        self.wall, self.cpu = time.monotonic_ns(), time.process_time_ns()

    def read(self):
        cpu = time.process_time_ns() - self.cpu
        return cpu / 1000, (time.monotonic_ns() - self.wall) / 1000


def ready(what):
    print(f"ready {what}", flush=True)


def slices():
    """The counts that are asked for, until standard input ends."""
    for line in sys.stdin:
        yield int(line.removeprefix("slice "))


def done(watch, stored):
    cpu, wall = watch
    print(f"done {cpu:.3f} {wall:.3f} {stored}", flush=True)
