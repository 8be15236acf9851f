"""postgres_asyncpg.py <address> insert|insert-pool|unnest|copy <connections>: asyncpg on uvloop, from a pool.

Each task keeps a connection and a prepared statement for the whole slice, which costs a third of `pool.execute`; only
`insert-pool` takes and gives back a connection for each row.
"""

import asyncio
import sys

import asyncpg
import uvloop
from postgres_peer import BATCH, COLUMNS, INSERT, UNNEST, Watch, columns, done, ready, row, rows, slices


async def insert(pool, count, connections):
    share = count // connections

    async def task(first):
        async with pool.acquire() as connection:
            statement = await connection.prepare(INSERT)
            for index in range(first, first + share):
                await statement.fetchval(*row(index))

    watch = Watch()
    await asyncio.gather(*(task(index * share) for index in range(connections)))
    return watch.read()


async def insert_pool(pool, count, connections):
    """A connection from the pool for each row, as a service would that has many callers."""
    share = count // connections

    async def task(first):
        for index in range(first, first + share):
            await pool.execute(INSERT, *row(index))

    watch = Watch()
    await asyncio.gather(*(task(index * share) for index in range(connections)))
    return watch.read()


async def unnest(pool, count, connections):
    batch = columns(BATCH)
    async with pool.acquire() as connection:
        statement = await connection.prepare(UNNEST)
        watch = Watch()
        for _ in range(count // BATCH):
            await statement.fetchval(*batch)
        return watch.read()


async def copy(pool, count, connections):
    records = rows(count)
    async with pool.acquire() as connection:
        watch = Watch()
        await connection.copy_records_to_table("ticks", records=records, columns=COLUMNS)
        return watch.read()


async def main(address, role, connections):
    work = {"insert": insert, "insert-pool": insert_pool, "unnest": unnest, "copy": copy}[role]
    size = int(connections)
    async with asyncpg.create_pool(address, min_size=size, max_size=size) as pool:
        ready(f"asyncpg {asyncpg.__version__}")
        for count in slices():
            await pool.execute("TRUNCATE ticks")
            watch = await work(pool, count, size)
            done(watch, await pool.fetchval("SELECT count(*) FROM ticks"))


uvloop.run(main(*sys.argv[1:]))
