"""Whether a download may be run: judged when it is asked for, tried again, and while it runs."""

from accounts.capabilities import Capability
from accounts.models import User
from accounts.ranks import capabilities_of
from accounts.sentences import english
from downloads.errors import NotAllowed
from downloads.models import DownloadJob


def may_run(job: DownloadJob) -> str | None:
    """Why a job may not be run, by what the database says now; None: it may."""
    wanted = {job.user_id, job.target_id}
    rows = User.objects.select_related("role").filter(pk__in=wanted, is_active=True)
    users = {user.pk: user for user in rows}
    if users.keys() != wanted:
        return english("An account that this download belongs to is not active any more.")
    user, target = users[job.user_id], users[job.target_id]
    held = capabilities_of(user)
    if Capability.DOWNLOAD_MODELS not in held:
        return english("Who asked for this may not download models any more.")
    if target != user and not (
        Capability.MANAGE_MODEL_SHARING in held and ranks_enough(user, target)
    ):
        return english(
            "Who asked for this may not give models to %(name)s any more.", name=target.username
        )
    return None


def judge(job: DownloadJob) -> None:
    """Raises NotAllowed where `may_run` has a reason."""
    if reason := may_run(job):
        raise NotAllowed(reason)


def ranks_enough(user: User, target: User) -> bool:
    """Whether `user` may have something done in the name of `target`, with their keys."""
    return target.role.rank <= user.role.rank
