"""The socket that the server listens on."""

from __future__ import annotations

import asyncio
import socket

from tinyforge.config.serve import ServeSettings
from tinyforge.server.run import listen


def test_an_answers_body_does_not_wait_for_its_headers_to_be_confirmed() -> None:
    async def accepted() -> int:
        delays: asyncio.Queue[int] = asyncio.Queue()

        async def took(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected = writer.get_extra_info("socket")
            delays.put_nowait(connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen(ServeSettings(port=0)) as listener:
            port = listener.getsockname()[1]
            async with await asyncio.start_server(took, sock=listener):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return await asyncio.wait_for(delays.get(), 5)

    assert asyncio.run(accepted()) != 0
