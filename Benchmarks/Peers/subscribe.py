"""subscribe.py <port> <channel>: redis-py, without hiredis; counts messages and their bytes.

`done <CPU us> <wall us> <payload bytes>`, as the other peers.
"""

import sys
import time

import redis


def main(port, channel):
    client = redis.Redis(host="127.0.0.1", port=int(port), protocol=2)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(channel)
    while pubsub.get_message(timeout=1) is not None or not pubsub.subscribed:
        pass
    parser = type(pubsub.connection._parser).__name__
    print(f"ready redis-py {redis.__version__} {parser}", flush=True)
    for line in sys.stdin:
        left = int(line.removeprefix("slice "))
        print("armed", flush=True)
        size = 0
        cpu, wall = time.process_time_ns(), time.monotonic_ns()
        for message in pubsub.listen():
            size += len(message["data"])
            left -= 1
            if left == 0:
                break
        cpu, wall = time.process_time_ns() - cpu, time.monotonic_ns() - wall
        print(f"done {cpu / 1000:.3f} {wall / 1000:.3f} {size}", flush=True)


main(*sys.argv[1:])
