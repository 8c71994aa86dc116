"""Celery's beat, of which one is at work however many machines run a worker."""

from datetime import timedelta
from typing import Any, Final

from celery.beat import PersistentScheduler

from accounts.bus import PROCESS_ID, RedisAway, bus

# After which another takes over; renewed at every look at the schedule, every 5 s or sooner.
LEASE_SECONDS: Final = 30
# Until the next look of one that is not at work.
WAIT_SECONDS: Final = 5.0
FUTURE: Final = timedelta(minutes=1)

_TAKE: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""


class OneBeat(PersistentScheduler):
    """Sends what is due while this process holds the lease. Without Redis there is one worker."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; seconds until the next look."""
        if not is_at_work():
            return WAIT_SECONDS
        self._forget_the_future()
        return float(super().tick(*args, **kwargs))

    def _forget_the_future(self) -> None:
        """What was sent later than now was so by a clock that was wrong: without this it would
        not be due again before that time."""
        for entry in self.schedule.values():
            now = entry.default_now()
            if entry.last_run_at - now > FUTURE:
                entry.last_run_at = now
                # The order of what is due next is made anew.
                self._heap = None


def is_at_work() -> bool:
    """Whether this process's beat is the one."""
    if not bus.exists:
        return True
    key = f"{bus.prefix}beat"
    try:
        return bool(bus.ask(lambda client: client.eval(_TAKE, 1, key, PROCESS_ID, LEASE_SECONDS)))
    except RedisAway:
        # Nothing could be sent either.
        return False
