"""The admin's export of model grants to CSV and JSON; their import: first checked, then done."""

from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path

from accounts import errors, grantfiles, grantplans
from accounts.adminbase import TellingAdmin, actor_of
from accounts.login import client_ip

LIST: Final = "admin:accounts_modelgrant_changelist"
MAX_EXPORTED: Final = 50_000
# Of what a file would do, and of its faults, so many are shown.
MAX_SHOWN: Final = 200
GIVE, TAKE = "give", "take"


class ImportForm(forms.Form):
    """A file, and what to do with it. The second time `content` stands for the file."""

    file = forms.FileField(
        required=False,
        help_text=(
            f"CSV or JSON, as exported here: {', '.join(grantfiles.FIELDS)}. "
            f"At most {grantfiles.MAX_LINES} grants and {grantfiles.MAX_FILE_BYTES // 1024**2} MB."
        ),
    )
    mode = forms.ChoiceField(
        label="What to do",
        choices=((GIVE, "Give these models"), (TAKE, "Take these models away")),
        widget=forms.RadioSelect,
        initial=GIVE,
    )
    content = forms.CharField(required=False, widget=forms.HiddenInput, strip=False)

    def read(self) -> grantfiles.Content:
        """What was sent.

        Raises:
            BadRequest: nothing, too much, or what cannot be read
        """
        again: str = self.cleaned_data["content"]
        if again:
            # What was read once already; with the fields' names it may be longer than the file.
            return grantfiles.read(again.encode(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        file = self.cleaned_data["file"]
        if file is None:
            raise errors.BadRequest("Choose a file.")
        return grantfiles.read(file.read(grantfiles.MAX_FILE_BYTES + 1))


class MovesGrants(TellingAdmin):
    """Both pages. Of the admin of grants."""

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view
        name = "accounts_modelgrant_export"
        return [
            path("export.<str:form>", view(self.export_view), name=name),
            path("import/", view(self.import_view), name="accounts_modelgrant_import"),
            *super().get_urls(),
        ]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponse:
        """The grants that the list shows with the same filters."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return redirect(f"../?{ERROR_FLAG}=1")
        rows = list(found[: MAX_EXPORTED + 1])
        if len(rows) > MAX_EXPORTED:
            text = f"There are more than {MAX_EXPORTED} grants. Filter the list, then export it."
            self.message_user(request, text, messages.ERROR)
            return redirect(LIST)
        if form == "json":
            answer = HttpResponse(grantfiles.to_json(rows), content_type="application/json")
        else:
            answer = HttpResponse(grantfiles.to_csv(rows), content_type="text/csv; charset=utf-8")
        kind = "json" if form == "json" else "csv"
        answer["Content-Disposition"] = f'attachment; filename="model-grants.{kind}"'
        return answer

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """GET: the form. POST of a file: what it would do. POST of that: does it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        sent = request.method == "POST"
        form = ImportForm(request.POST, request.FILES) if sent else ImportForm()
        shown: dict[str, Any] = {}
        if sent and form.is_valid():
            try:
                answer, shown = self._import(request, form)
            except errors.GatewayError as error:
                form.add_error(None, error.message)
            else:
                if answer is not None:
                    return answer
        return self.own_page(
            request,
            "admin/accounts/modelgrant/import.html",
            {"title": "Import model grants", "form": form, **shown},
            purpose="Gives, or takes away, what a file lists. It is checked first.",
        )

    def _import(
        self, request: HttpRequest, form: ImportForm
    ) -> tuple[HttpResponse | None, dict[str, Any]]:
        take = form.cleaned_data["mode"] == TAKE
        content = form.read()
        plan = grantplans.plan(content)
        if form.cleaned_data["content"]:
            done = grantplans.carry_out(
                plan, take=take, actor=actor_of(request), ip=client_ip(request)
            )
            self.message_user(request, f"{'Taken away' if take else 'Given'}: {done}.")
            return redirect(LIST), {}
        return None, {
            "plan": plan,
            "take": take,
            "unit": content.unit,
            "faults": plan.faults[:MAX_SHOWN],
            "lines": content.lines[:MAX_SHOWN],
            "total": len(content.lines),
            "content": "" if plan.faults else grantfiles.lines_to_json(content.lines),
        }
