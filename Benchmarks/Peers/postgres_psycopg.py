"""postgres_psycopg.py <address> insert|unnest|copy <connections>: psycopg 3 with its C extension, a thread a connection.

Threads that block store more rows per second than psycopg's asynchronous connections, on asyncio and on uvloop. Each
keeps a cursor that takes `$1` as it stands and a statement that is prepared at its first use.
"""

import sys
import threading

import psycopg
from postgres_peer import BATCH, COLUMNS, INSERT, UNNEST, Watch, columns, done, ready, row, rows, slices

TYPES = ("int8", "text", "int8", "int8", "int4", "int4")


def insert(connections, count):
    share = count // len(connections)

    def work(connection, first):
        cursor = connection.cursor()
        for index in range(first, first + share):
            cursor.execute(INSERT, row(index), prepare=True)

    watch = Watch()
    if len(connections) == 1:
        work(connections[0], 0)
        return watch.read()
    threads = [
        threading.Thread(target=work, args=(connection, index * share)) for index, connection in enumerate(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return watch.read()


def unnest(connections, count):
    batch = columns(BATCH)
    cursor = connections[0].cursor()
    watch = Watch()
    for _ in range(count // BATCH):
        cursor.execute(UNNEST, batch, prepare=True)
    return watch.read()


def copy(connections, count):
    records = rows(count)
    cursor = connections[0].cursor()
    watch = Watch()
    with cursor.copy(f"COPY ticks ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)") as copier:
        copier.set_types(TYPES)
        for record in records:
            copier.write_row(record)
    return watch.read()


def main(address, role, connections):
    work = {"insert": insert, "unnest": unnest, "copy": copy}[role]
    opened = [
        psycopg.connect(address, autocommit=True, cursor_factory=psycopg.RawCursor) for _ in range(int(connections))
    ]
    ready(f"psycopg {psycopg.__version__} {psycopg.pq.__impl__}")
    for count in slices():
        opened[0].execute("TRUNCATE ticks")
        watch = work(opened, count)
        done(watch, opened[0].execute("SELECT count(*) FROM ticks").fetchone()[0])


main(*sys.argv[1:])
