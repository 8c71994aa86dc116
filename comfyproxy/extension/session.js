// A login that ends while the page is open: the way to /login and back, the workflow kept.
import { element } from "./elements.js";
import { gettext, interpolate } from "./texts.js";

const KEPT = "mss-login.workflow";
const USER = "mss-login.user";
const ASK_MS = 3_000;
// What a question is about, else a user's name, which is never empty.
const LOGGED_OUT = "";

// ComfyUI's page keeps what is open in the browser, whoever sits before it. What somebody else
// left there is not shown to the next: it goes, and the page begins anew. Whether it may go on.
export function isOwnBrowser(me) {
  const before = localStorage.getItem(USER);
  const other = before !== null && before !== me.username;
  if (other) {
    localStorage.clear();
    sessionStorage.clear();
  }
  localStorage.setItem(USER, me.username);
  if (other) location.reload();
  return !other;
}

// Watches the login through the socket (closed when the login ends) and refused calls (`check`).
export function watchSession(app, me, kept) {
  let asking = false;
  let timer = null;
  let question = null;

  // `insists`: somebody wanted something that was refused; a question put off is asked again.
  async function check({ insists = false } = {}) {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch("/account/frontend", { cache: "no-store" }).catch(() => null);
      if (answer?.status === 401) loggedOut(insists);
      else if (answer?.ok) loggedIn(await answer.json());
    } finally {
      asking = false;
    }
  }

  function loggedOut(insists) {
    if (insists && question && !question.open) question.showModal();
    put(
      LOGGED_OUT,
      gettext("You are logged out"),
      gettext("Log in again to go on. Your workflow stays as it is."),
      gettext("Log in"),
      () => {
        kept.keep();
        location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
      },
    );
  }

  function loggedIn({ username }) {
    if (username === me.username) {
      // In another tab, maybe: there is nothing left to ask.
      question?.remove();
      question = null;
      return;
    }
    put(
      username,
      interpolate(gettext("You are %(name)s now"), { name: username }),
      gettext("This page was loaded for somebody else. Load it anew to go on."),
      gettext("Load anew"),
      () => location.reload(),
    );
  }

  // Ask, unless it was asked already; put off, it is not asked by itself again.
  function put(about, ...texts) {
    if (question?.dataset.about === about) return;
    question?.remove();
    question = ask(...texts);
    question.dataset.about = about;
  }

  app.api.addEventListener("reconnecting", () => {
    void check();
    timer ??= setInterval(() => void check(), ASK_MS);
  });
  app.api.addEventListener("reconnected", () => {
    clearInterval(timer);
    timer = null;
    void check();
  });
  // The JSON at an address of ours; null if it is not to be had.
  async function get(address) {
    const answer = await fetch(address).catch(() => null);
    if (answer?.status === 401) void check();
    return answer?.ok ? answer.json() : null;
  }

  return { check, get };
}

// A dialog of our own: ComfyUI's could not be closed again when the question is settled.
function ask(title, text, yes, act) {
  const heading = element("h2", { id: "mss-question" }, title);
  const dialog = element(
    "dialog",
    { class: "mss-dialog", "aria-labelledby": "mss-question" },
    heading,
    element("p", {}, text),
    element(
      "div",
      { class: "mss-row" },
      element("button", { type: "button", onclick: () => dialog.close() }, gettext("Later")),
      element("button", { type: "button", class: "mss-yes", onclick: act }, yes),
    ),
  );
  // The page's own shortcuts are not meant while it is open.
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector(".mss-yes").focus();
  return dialog;
}

// Keeps the open workflow over a login, in this tab's storage. ComfyUI's page does so itself
// unless its setting "Persist workflow state" is off.
export function workflowKept(app, me) {
  const persists = () => app.extensionManager.setting.get("Comfy.Workflow.Persist") !== false;
  let looked = false;
  return {
    keep() {
      try {
        const graph = (app.rootGraph ?? app.graph).serialize();
        sessionStorage.setItem(KEPT, JSON.stringify({ username: me.username, graph }));
      } catch {
        // Too large for the storage: ComfyUI's own copy is left.
      }
    },
    // ComfyUI has put a first workflow on the canvas.
    graphIsThere() {
      if (looked) return;
      looked = true;
      const found = sessionStorage.getItem(KEPT);
      sessionStorage.removeItem(KEPT);
      if (!found || persists()) return;
      const { username, graph } = JSON.parse(found);
      // After ComfyUI is done with the one that it is loading.
      if (username === me.username) setTimeout(() => app.loadGraphData(graph), 0);
    },
  };
}
