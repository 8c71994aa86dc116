"""What the admin does with several users at once. Whatever takes something away asks first."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from accounts import admission, errors, links, mail, mfa, proofs, ranks, services
from accounts.admin_userforms import RoleChoiceForm
from accounts.adminbase import TellingAdmin, actor_of
from accounts.login import client_ip
from accounts.models import AccountLink, User

# Each makes a link that is shown once.
MAX_LINKS = 50


class ActsOnUsers(TellingAdmin):
    """The actions. Of the users' admin."""

    def _each(
        self, request: HttpRequest, users: QuerySet[User], act: Callable[[User], object]
    ) -> int:
        """Do it to each; how many that was. What is refused is told, and stops nothing else."""
        done = 0
        for user in users.select_related("role"):
            try:
                with transaction.atomic():
                    act(user)
            except errors.GatewayError as error:
                self.message_user(request, f"{user}: {error.message}", messages.ERROR)
            else:
                done += 1
        return done

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        page = self.ask(
            request,
            queryset,
            question="Disable these users?",
            losses=("Their sessions end at once.", "Their API tokens are removed for good."),
            button="Disable",
        )
        if page is None:
            self._switch(request, queryset, active=False)
        return page

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._switch(request, queryset, active=True)

    def _switch(self, request: HttpRequest, queryset: QuerySet[User], *, active: bool) -> None:
        actor, ip = actor_of(request), client_ip(request)

        def switch(user: User) -> None:
            services.set_active(user, active, actor=actor, ip=ip)

        done = self._each(request, queryset, switch)
        self.message_user(request, f"{'Enabled' if active else 'Disabled'}: {done}.")

    @admin.action(description="Change role", permissions=["change"])
    def change_role(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        actor, ip = actor_of(request), client_ip(request)
        form = RoleChoiceForm(actor, request.POST if self.is_answered(request) else None)
        page = self.ask(
            request,
            queryset,
            question="Give these users another role?",
            losses=("What only their present role allows, they may not do any more.",),
            button="Change the role",
            form=form,
        )
        if page is not None:
            return page
        role = form.cleaned_data["role"]
        done = self._each(
            request, queryset, lambda user: services.set_role(user, role, actor=actor, ip=ip)
        )
        self.message_user(request, f"With the role {role}: {done}.")
        return None

    @admin.action(description="Require a new password", permissions=["change"])
    def require_new_password(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> HttpResponse | None:
        """Their password counts no more; each gets a link to set another."""
        page = self.ask(
            request,
            queryset,
            question="Require a new password of these users?",
            losses=(
                "Their present password does not work any more, and their sessions end at once.",
                "Each gets a link that sets a new one. You see the links once, on the next page.",
            ),
            button="Require a new password",
        )
        if page is not None:
            return page
        if queryset.count() > MAX_LINKS:
            told = f"At most {MAX_LINKS} at a time: their links are shown on one page."
            self.message_user(request, told, messages.ERROR)
            return None
        actor, ip = actor_of(request), client_ip(request)
        made: list[tuple[AccountLink, str]] = []
        self._each(
            request,
            queryset,
            lambda user: made.append(links.require_new_password(user, actor=actor, ip=ip)),
        )
        origin = mail.origin(request)
        urls = [(link, links.address(origin, link, token)) for link, token in made]
        shown = [(link, url, mail.send_password_link(link, url)) for link, url in urls]
        context = {"title": "New passwords", "made": shown}
        return self.own_page(
            request,
            "admin/links_made.html",
            context,
            purpose="The links are shown only now. Each works once, for whoever has it.",
        )

    @admin.action(description="Unlock after wrong passwords", permissions=["change"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset.select_related("role"):
            if ranks.may_manage(actor_of(request), user):
                admission.unlock(
                    username=user.username, actor=actor_of(request), ip=client_ip(request)
                )
        self.message_user(request, "They may try again at once, from addresses not locked.")

    @admin.action(description="Reset the second factor", permissions=["change"])
    def reset_second_factor(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> HttpResponse | None:
        """For who lost it. Their sessions and API tokens end."""
        page = self.ask(
            request,
            queryset,
            question="Reset the second factor of these users?",
            losses=(
                "Their authenticator apps, passkeys and backup codes are removed.",
                "Their sessions end at once, and their API tokens are removed for good.",
            ),
            button="Reset",
        )
        if page is not None:
            return page
        actor, ip = actor_of(request), client_ip(request)
        done = self._each(request, queryset, lambda user: mfa.reset(user, actor=actor, ip=ip))
        if done:
            self.message_user(request, f"Without a second factor at the next login: {done}.")
        return None

    @admin.action(description="Log out everywhere", permissions=["change"])
    def log_out_everywhere(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> HttpResponse | None:
        page = self.ask(
            request,
            queryset,
            question="Log these users out everywhere?",
            losses=("Their sessions end at once. API tokens stay.",),
            button="Log out",
        )
        if page is not None:
            return page
        actor, ip = actor_of(request), client_ip(request)
        ended: list[int] = []
        self._each(
            request,
            queryset,
            lambda user: ended.append(proofs.end_all_sessions(user, actor=actor, ip=ip)),
        )
        self.message_user(request, f"Ended {sum(ended)} sessions.")
        return None
