"""The gateway's settings, but for a cheaper password hash: the tests log in a thousand times.

Tests of what the real one costs (time, memory, a crowd) start their gateway with the
product's own settings (fixture `product`).
"""

from django.contrib.auth.hashers import Argon2PasswordHasher

from mssproject.settings import *  # noqa: F403 - all of them


class CheapArgon2(Argon2PasswordHasher):
    """Argon2 as the product has it, on one thread and with a tenth of the memory."""

    time_cost = 1
    memory_cost = 8 * 1024
    parallelism = 1


PASSWORD_HASHERS = ["tests.settings.CheapArgon2", *PASSWORD_HASHERS[1:]]  # noqa: F405
# Tests kill workers and wait for others to go on.
DOWNLOAD_LEASE_SECONDS = 4
