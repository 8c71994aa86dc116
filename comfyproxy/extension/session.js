// A login that ends while the page is open: the way to /login and back, the workflow kept.
import { gettext, interpolate } from "./texts.js";

const KEPT = "mss-login.workflow";
const ASK_MS = 3_000;

// Watches the login through the socket (closed when the login ends) and refused calls (`check`).
export function watchSession(app, me, kept) {
  let asking = false;
  let timer = null;

  async function check() {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch("/account/frontend", { cache: "no-store" }).catch(() => null);
      if (answer?.status === 401) await toLogin();
      else if (answer?.ok) await sameStill(await answer.json());
    } finally {
      asking = false;
    }
  }

  async function toLogin() {
    kept.keep();
    const yes = await app.extensionManager.dialog.confirm({
      title: gettext("You are logged out"),
      message: gettext("Log in again to go on. Your workflow stays as it is."),
    });
    if (yes) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  }

  async function sameStill(now) {
    kept.forget();
    if (now.username === me.username) return;
    // Somebody else logged in, in another tab: nothing here is theirs.
    const yes = await app.extensionManager.dialog.confirm({
      title: interpolate(gettext("You are %(name)s now"), { name: now.username }),
      message: gettext("This page was loaded for somebody else. Load it anew?"),
    });
    if (yes) location.reload();
  }

  app.api.addEventListener("reconnecting", () => {
    void check();
    timer ??= setInterval(check, ASK_MS);
  });
  app.api.addEventListener("reconnected", () => {
    clearInterval(timer);
    timer = null;
    void check();
  });
  return { check };
}

// Keeps the open workflow over a login, in this tab's storage. ComfyUI's page does so itself
// unless its setting "Persist workflow state" is off.
export function workflowKept(app, me) {
  const persists = () => app.extensionManager.setting.get("Comfy.Workflow.Persist") !== false;
  let looked = false;
  return {
    keep() {
      const graph = (app.rootGraph ?? app.graph).serialize();
      sessionStorage.setItem(KEPT, JSON.stringify({ username: me.username, graph }));
    },
    forget() {
      sessionStorage.removeItem(KEPT);
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
