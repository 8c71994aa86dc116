"""What can be wrong with a backup or the place it is to go to."""


class BackupError(Exception):
    """`str()` is a sentence for the operator, saying what to do next."""


class Damaged(BackupError):
    """The file is no backup of this gateway, or not whole."""
