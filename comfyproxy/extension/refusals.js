// Toasts for what the gateway refuses: what happened, and what to do.
import { gettext, interpolate } from "./texts.js";

export const TOASTS = "MSSLogin.Messages";
const LIFE_MS = 12_000;
// A page asks for one thing several times, and shows many pictures at once.
const ONCE_MS = 5_000;

// What each capability is for, to whoever lacks it.
const LACKING = {
  can_run: () => gettext("You may look at workflows here, but not run them."),
  can_upload: () => gettext("You may not upload files here."),
  can_modify_workflows: () =>
    gettext("You may not save workflows on this server. Export yours to a file instead."),
  can_access_manager: () => gettext("You may not use ComfyUI-Manager here."),
};

// code → (the refusal's JSON) → [summary, detail]
const WORDS = {
  MODEL_NOT_ALLOWED: (body) => [
    gettext("This model is not yours to use"),
    `${named(body)} ${gettext("Choose one that the tab “My models” lists, or ask an administrator for it.")}`,
  ],
  NODE_NOT_ALLOWED: (body) => [
    gettext("This node is not yours to use"),
    `${named(body)} ${gettext("Remove the node, or ask an administrator.")}`,
  ],
  FILE_NOT_ALLOWED: (body) => [
    gettext("This file is not yours"),
    `${named(body)} ${gettext("Upload it yourself, then choose it again.")}`,
  ],
  NSFW_BLOCKED: (body) => [
    gettext("A picture is not shown"),
    body.reason === "unchecked"
      ? gettext("It is still being looked at. Try again in a moment.")
      : gettext("Your account does not show explicit pictures. If it is none, ask an administrator to look at it."),
  ],
  QUOTA_EXCEEDED: () => [
    gettext("That is more than you may have"),
    gettext("Wait for a prompt to finish, or cancel one in the tab “My queue”. If it is about files, delete some."),
  ],
  PERMISSION_DENIED: (body) => [
    gettext("Your role does not allow this"),
    `${LACKING[body.permission]?.() ?? ""} ${gettext("If you need it, ask an administrator.")}`,
  ],
  THROTTLED: () => [gettext("Too many requests"), gettext("Wait a moment, then try again.")],
  STORAGE_FULL: () => [
    gettext("The server's disk is full"),
    gettext("Nothing was saved. Tell an administrator."),
  ],
  UPSTREAM_UNREACHABLE: () => [
    gettext("ComfyUI does not answer"),
    gettext("It may be starting. If it stays so, tell an administrator."),
  ],
};
WORDS.UPSTREAM_TIMEOUT = WORDS.UPSTREAM_UNREACHABLE;

// What it is about: the model if the gateway names one ("… loras/people/a.safetensors."), else
// the node.
function named(body) {
  const [node] = Object.values(body.node_errors ?? {});
  if (!node) return "";
  const model = / (\w[\w-]*\/.+)\.$/.exec(node.errors?.[0]?.message ?? "")?.[1];
  return `${model ?? node.class_type}.`;
}

// A function that says a refusal, by its JSON, in a toast if there are words for it.
export function explain(app) {
  const said = new Map();
  return (body) => {
    const words = WORDS[body?.code]?.(body);
    if (!words || app.extensionManager.setting.get(TOASTS) === false) return;
    const [summary, detail] = words.map((text) => text.trim());
    const now = Date.now();
    if (now - (said.get(summary + detail) ?? -ONCE_MS) >= ONCE_MS) {
      said.set(summary + detail, now);
      app.extensionManager.toast.add({ severity: "warn", summary, detail, life: LIFE_MS });
    }
  };
}

// Looks at every answer that the page gets, and has a refusal said. `session` is told of a login
// that is over. No event of ComfyUI's tells of a refused call, so calls are looked at as they pass.
export function watchRefusals(app, session, say) {
  const look = async (answer, wanted) => {
    if (answer.status === 401) return session.check({ insists: wanted });
    const json = (answer.headers.get("content-type") ?? "").includes("json");
    const body = json ? await answer.json().catch(() => null) : null;
    // Custom nodes look at their own routes by themselves, some all the time.
    if (wanted || body?.code !== "PERMISSION_DENIED") say(body);
  };
  const original = app.api.fetchApi.bind(app.api);
  app.api.fetchApi = async (...request) => {
    const answer = await original(...request);
    // What changes something, somebody wanted; a page reads all the time.
    const wanted = (request[1]?.method ?? "GET").toUpperCase() !== "GET";
    if (!answer.ok) void look(answer.clone(), wanted);
    return answer;
  };
  watchPictures((answer) => look(answer, false));
}

// Pictures are no calls, and those on the canvas are in no document, where their errors could be
// heard. Of one that does not come the address is asked once more, for why.
function watchPictures(look) {
  const ask = async (text) => {
    const address = new URL(text, location.href);
    if (address.origin !== location.origin || !/^(\/api)?\/view$/.test(address.pathname)) return;
    const answer = await fetch(address).catch(() => null);
    if (answer && !answer.ok) void look(answer);
  };
  if ("responseStatus" in PerformanceResourceTiming.prototype) {
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        if (entry.responseStatus === 403 && entry.initiatorType !== "fetch") void ask(entry.name);
      }
    }).observe({ type: "resource" });
    return;
  }
  addEventListener(
    "error",
    ({ target }) => {
      if (target instanceof HTMLImageElement) void ask(target.currentSrc || target.src);
    },
    true,
  );
}
