// The account menu: who one is, the account's pages, the admin for staff, logging out.
import { gettext, interpolate } from "./texts.js";

// `{commands, menuCommands, actionBarButtons}` for `registerExtension`.
export function accountCommands(app, me) {
  const who = interpolate(gettext("%(name)s (%(role)s)"), {
    name: me.username,
    role: me.role_title,
  });
  // Beside the page, not in its place: the workflow stays open.
  const opening = (address) => () => void window.open(address, "_blank", "noopener");
  const commands = [
    command("who", who, "pi pi-user", opening("/account")),
    command("account", gettext("My account"), "pi pi-cog", opening("/account")),
    me.permissions.can_download_models &&
      command("downloads", gettext("Downloads"), "pi pi-download", opening("/account/downloads")),
    me.is_staff &&
      command("admin", gettext("Administration"), "pi pi-shield", opening("/admin/")),
    command("log-out", gettext("Log out"), "pi pi-sign-out", () => location.assign("/logout")),
  ].filter(Boolean);
  return {
    commands,
    menuCommands: [{ path: [gettext("Account")], commands: commands.map(({ id }) => id) }],
    // Shown by newer pages, where the name is always in sight.
    actionBarButtons: [
      {
        icon: "icon-[lucide--user]",
        label: me.username,
        tooltip: who,
        onClick: opening("/account"),
      },
    ],
  };
}

function command(name, label, icon, act) {
  return { id: `MSSLogin.${name}`, label, icon, function: act };
}
