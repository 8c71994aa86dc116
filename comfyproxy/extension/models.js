// Sidebar tab "My models": what one may use, and one's downloads for those who may have some.
import { element, link, oneAtATime, sidebarTab } from "./elements.js";
import { gettext } from "./texts.js";

const DOWNLOADS_MS = 2_000;
const STATUS = {
  queued: () => gettext("Waiting"),
  running: () => gettext("Running"),
  uploading: () => gettext("Running"),
  completed: () => gettext("Done"),
  failed: () => gettext("Failed"),
  cancelled: () => gettext("Cancelled"),
};

export function modelsTab(me, session) {
  const begin = (root) => follow(me, session, root);
  return sidebarTab("mss-login-models", "pi pi-box", gettext("My models"), begin);
}

function follow(me, session, root) {
  const mayDownload = me.permissions.can_download_models;
  const note = element("p", { class: "mss-quiet", role: "status" });
  const list = element("div", {});
  const search = element("input", {
    type: "search",
    placeholder: gettext("Search"),
    "aria-label": gettext("Search my models"),
  });
  const jobs = element("ul", { "aria-label": gettext("My downloads") });
  root.replaceChildren(
    element("h2", {}, gettext("My models")),
    search,
    note,
    list,
    ...(mayDownload
      ? [
          element("h2", {}, gettext("My downloads")),
          element("p", {}, link("/account/downloads", gettext("Add a model"))),
          jobs,
        ]
      : []),
  );
  let folders = {};

  async function load() {
    const answer = await session.get("/account/models");
    if (!answer) {
      note.textContent = gettext("The list is not to be had now. Open this tab again in a moment.");
      return;
    }
    ({ folders } = answer);
    draw();
  }

  function draw() {
    const words = search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const parts = Object.entries(folders)
      .map(([folder, names]) => [
        folder,
        names.filter((name) => words.every((word) => `${folder}/${name}`.toLocaleLowerCase().includes(word))),
      ])
      .filter(([, names]) => names.length);
    list.replaceChildren(...parts.map(([folder, names]) => part(folder, names, words.length > 0)));
    if (parts.length) note.textContent = "";
    else if (words.length) note.textContent = gettext("None of your models has these words in its name.");
    else if (me.permissions.can_view_all_comfyui_items) note.textContent = gettext("ComfyUI has no models yet.");
    else note.textContent = gettext("You were given no models yet. Ask an administrator for some.");
  }

  search.addEventListener("input", draw);
  void load();
  if (!mayDownload) return () => {};

  let finished = null;
  const refresh = oneAtATime(async () => {
    if (document.hidden) return;
    const answer = await session.get("/account/downloads/jobs");
    if (!answer) return;
    const found = answer.jobs;
    jobs.replaceChildren(...found.slice(0, 10).map(download));
    // A model that has come is in the lists from now on.
    const done = found.filter((job) => job.status === "completed").length;
    if (finished !== null && done > finished) void load();
    finished = done;
  });
  const timer = setInterval(refresh, DOWNLOADS_MS);
  void refresh();
  return () => clearInterval(timer);
}

function part(folder, names, open) {
  const summary = element("summary", {}, `${folder} (${names.length})`);
  const details = element("details", {}, summary, element("ul", {}, names.map((name) => element("li", {}, name))));
  details.open = open;
  return details;
}

function download(job) {
  const known = job.total_bytes > 0;
  const bar = job.can_cancel ? element("progress", { "aria-label": gettext("Progress") }) : null;
  if (bar && known) {
    bar.max = job.total_bytes;
    bar.value = job.bytes_done;
  }
  const percent = known && job.can_cancel ? ` ${Math.floor((100 * job.bytes_done) / job.total_bytes)} %` : "";
  return element(
    "li",
    { "data-status": job.status },
    element("div", {}, job.filename || job.destination || gettext("A model")),
    element("div", { class: "mss-quiet" }, `${STATUS[job.status]?.() ?? job.status}${percent}`),
    bar,
    job.error ? element("p", {}, job.error) : null,
  );
}
