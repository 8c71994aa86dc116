// Sidebar tab "My queue": one's own prompts with place, progress and pictures, and how to stop them.
import { element, oneAtATime, sidebarTab } from "./elements.js";
import { gettext, interpolate } from "./texts.js";

// Prompts of other devices end without a word to this page's socket.
const AGAIN_MS = 10_000;
const EVENTS = [
  "status",
  "execution_start",
  "execution_success",
  "execution_error",
  "execution_interrupted",
  "reconnected",
];
const STATES = {
  running: () => gettext("Running"),
  waiting: () => gettext("Waiting"),
  success: () => gettext("Done"),
  error: () => gettext("Failed"),
  interrupted: () => gettext("Stopped"),
  cancelled: () => gettext("Cancelled"),
  lost: () => gettext("Lost when ComfyUI restarted"),
};

export function queueTab(app, me, session) {
  const begin = (root) => follow(app, me, session, root);
  return sidebarTab("mss-login-queue", "pi pi-list-check", gettext("My queue"), begin);
}

function follow(app, me, session, root) {
  const { api } = app;
  const rows = new Map();
  const note = element("p", { class: "mss-quiet", role: "status" });
  const list = element("ul", { "aria-label": gettext("My prompts") });
  root.replaceChildren(element("h2", {}, gettext("My queue")), note, list);

  const refresh = oneAtATime(async () => {
    const answer = await session.get("/account/prompts");
    if (!answer) {
      note.textContent = gettext("The list is not to be had now. It comes back by itself.");
      return;
    }
    const { prompts } = answer;
    const empty = me.permissions.can_run
      ? gettext("Nothing yet. Press Run, and it appears here.")
      : gettext("You may look at workflows here, but not run them.");
    note.textContent = prompts.length ? "" : empty;
    draw(prompts);
  });

  function draw(prompts) {
    const ids = new Set(prompts.map((prompt) => prompt.prompt_id));
    for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
    const lines = prompts.map((prompt) => {
      // What has not changed stays as it is: pictures would be loaded anew, and focus lost.
      const told = JSON.stringify(prompt);
      const old = rows.get(prompt.prompt_id);
      if (old?.told === told) return old.line;
      const made = { told, ...row(app, prompt, refresh) };
      rows.set(prompt.prompt_id, made);
      return made.line;
    });
    const same = lines.length === list.children.length && lines.every((line, at) => line === list.children[at]);
    if (!same) list.replaceChildren(...lines);
  }

  function progress({ detail }) {
    const bar = rows.get(detail?.prompt_id)?.bar;
    if (!bar || !detail.max) return;
    bar.max = detail.max;
    bar.value = detail.value;
  }

  EVENTS.forEach((name) => api.addEventListener(name, refresh));
  api.addEventListener("progress", progress);
  const timer = setInterval(() => document.hidden || refresh(), AGAIN_MS);
  void refresh();
  return () => {
    clearInterval(timer);
    EVENTS.forEach((name) => api.removeEventListener(name, refresh));
    api.removeEventListener("progress", progress);
  };
}

// One prompt: `{line, bar}`.
function row(app, prompt, refresh) {
  const { state } = prompt;
  const time = new Date(prompt.created_at).toLocaleTimeString([], { timeStyle: "short" });
  const bar = state === "running" ? element("progress", { "aria-label": gettext("Progress") }) : null;
  const buttons =
    state === "running" || state === "waiting"
      ? [button(gettext("Cancel"), () => cancel(app, prompt, refresh))]
      : [button(gettext("Open"), () => open(app, prompt))];
  const line = element(
    "li",
    { "data-prompt": prompt.prompt_id, "data-state": state },
    element(
      "div",
      { class: "mss-row" },
      element("span", {}, STATES[state]?.() ?? state, " ", element("span", { class: "mss-quiet" }, time)),
      buttons,
    ),
    state === "waiting" ? element("p", { class: "mss-quiet" }, place(prompt.ahead)) : null,
    state === "success" && prompt.execution_seconds !== null
      ? element("p", { class: "mss-quiet" }, `${prompt.execution_seconds.toFixed(1)} s`)
      : null,
    bar,
    element("div", { class: "mss-images" }, prompt.pictures.map(picture)),
  );
  return { line, bar };
}

function place(ahead) {
  if (ahead === null) return gettext("It is being sent.");
  if (ahead === 0) return gettext("It is next.");
  return interpolate(gettext("Prompts before it: %(number)s"), { number: ahead });
}

function button(text, act) {
  const made = element("button", { type: "button" }, text);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await act();
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

// A picture that is not shown (explicit, deleted) leaves a word in its place.
function picture(address) {
  const image = element("img", { src: address, loading: "lazy", alt: "" });
  const shown = element("a", { href: address, target: "_blank", rel: "noopener", "aria-label": gettext("Show the picture") }, image);
  image.addEventListener("error", () => shown.replaceWith(element("span", { class: "mss-quiet" }, gettext("not shown"))));
  return shown;
}

async function cancel(app, prompt, refresh) {
  await app.api.fetchApi(`/jobs/${prompt.prompt_id}/cancel`, { method: "POST" });
  await refresh();
}

// Its workflow, on the canvas.
async function open(app, prompt) {
  const answer = await app.api.fetchApi(`/history/${prompt.prompt_id}`);
  const entry = answer.ok ? (await answer.json())[prompt.prompt_id] : null;
  const workflow = entry?.prompt?.[3]?.extra_pnginfo?.workflow;
  if (workflow) await app.loadGraphData(workflow);
  else {
    app.extensionManager.toast.add({
      severity: "info",
      summary: gettext("There is no workflow to open"),
      detail: gettext("ComfyUI forgot this prompt, or it came from an app that sent none."),
      life: 6000,
    });
  }
}
