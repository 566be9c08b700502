"""`python slow.py PORT HALF_OPEN SLOW`: keep that many connections to nginx open that never come to an end.

A half-open one stops within its header, a slow one sends a picture byte by byte. Each is opened again as soon as nginx
gives it up. They come from many addresses of the loopback. At the end of its input it prints how many were open.
"""

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
HEADER = (
    b"POST /api/queries HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Content-Length: 1000000\r\n\r\n"
)
PAUSE_S = 3.0

opened: Counter[str] = Counter()


async def keep_open(kind: str, number: int, port: int) -> None:
    address = f"127.0.{1 + number % 50}.{1 + number // 50}"  # no address has more than nginx allows it
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            opened[kind] += 1
            try:
                await (half_open(reader, writer) if kind == "half_open" else slow(reader, writer))
            finally:
                opened[kind] -= 1
                writer.close()
        await asyncio.sleep(0.1)


async def half_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HALF)
    await reader.read()


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEADER)
    while not reader.at_eof():
        writer.write(b"x")
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_S):
                if await reader.read(1):
                    return


async def main(port: int, **wanted: int) -> None:
    tasks = [
        asyncio.create_task(keep_open(kind, number, port)) for kind, count in wanted.items() for number in range(count)
    ]
    while any(opened[kind] < 0.9 * count for kind, count in wanted.items()):
        await asyncio.sleep(0.1)
    print("all are open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(opened), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), half_open=int(sys.argv[2]), slow=int(sys.argv[3])))
