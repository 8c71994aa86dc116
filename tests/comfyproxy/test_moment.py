"""comfyproxy.moment"""

import asyncio

from comfyproxy.moment import Moment


async def test_all_who_wait_go_on_but_who_left() -> None:
    moment = Moment()
    waiting = [asyncio.ensure_future(moment.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, False, False]
    assert not moment.is_set()
    moment.set()
    await asyncio.gather(*waiting[1:])
    await moment.wait()
    assert moment.is_set()
