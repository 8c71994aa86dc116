// MSS-Login inside ComfyUI's page: who one is, one's queue and models, words for what is refused.
// Uses ComfyUI's public extension API; beyond it only methods of its `app.api` are replaced
// (refusals.js, limits.js). Where there is no such API, the page works without us.
import { accountCommands } from "./account.js";
import { keepWithinRole } from "./limits.js";
import { modelsTab } from "./models.js";
import { queueTab } from "./queue.js";
import { TOASTS, explain, watchRefusals } from "./refusals.js";
import { isOwnBrowser, watchSession, workflowKept } from "./session.js";
import { gettext, loadTexts } from "./texts.js";

async function begin() {
  const { app } = await import("../../scripts/app.js").catch(() => ({}));
  if (!app?.registerExtension || !app.api || !app.extensionManager) return;
  const [answer] = await Promise.all([fetch("/account/frontend"), loadTexts()]);
  if (!answer.ok) return;
  const me = await answer.json();
  if (!isOwnBrowser(me)) return;

  document.head.append(
    Object.assign(document.createElement("link"), {
      rel: "stylesheet",
      href: new URL("style.css", import.meta.url).href,
    }),
  );
  const { commands, menuCommands, actionBarButtons } = accountCommands(app, me);
  const say = explain(app);
  const role = keepWithinRole(app, me, say);
  const kept = workflowKept(app, me);
  app.registerExtension({
    name: "mss-login",
    commands,
    menuCommands,
    actionBarButtons,
    settings: [
      {
        id: TOASTS,
        category: ["MSS-Login", gettext("Messages")],
        name: gettext("Say what to do when the server refuses something"),
        type: "boolean",
        defaultValue: true,
      },
    ],
    aboutPageBadges: [{ label: "MSS-Login", url: "/account", icon: "pi pi-user" }],
    nodeCreated: role.nodeCreated,
    afterConfigureGraph: kept.graphIsThere,
    setup() {
      const session = watchSession(app, me, kept);
      watchRefusals(app, session, say);
      role.begin();
      app.extensionManager.registerSidebarTab?.(queueTab(app, me, session));
      app.extensionManager.registerSidebarTab?.(modelsTab(me, session));
    },
  });
}

await begin();
