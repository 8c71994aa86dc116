"""Addresses of the downloads' API, below /mss-login/api/model-download/."""

from django.urls import path

from downloads import api

urlpatterns = [
    path("sources", api.SourcesView.as_view()),
    path("folders", api.FoldersView.as_view()),
    path("api-keys", api.ApiKeysView.as_view()),
    path("download", api.NewDownloadView.as_view()),
    path("search", api.SearchView.as_view()),
    path("jobs", api.JobsView.as_view()),
    path("jobs/<str:job_id>", api.JobView.as_view()),
    path("jobs/<str:job_id>/cancel", api.CancelView.as_view()),
    path("jobs/<str:job_id>/retry", api.RetryView.as_view()),
]
