// What the role lacks is not offered. The gateway refuses it in any case.
const COMMANDS = {
  can_run: /^Comfy\.Queue(Prompt|PromptFront|SelectedOutputNodes)$/,
  can_modify_workflows: /^Comfy\.(SaveWorkflow|SaveWorkflowAs|RenameWorkflow)$/,
  can_access_manager: /^Comfy\.(Manager\.|OpenManagerDialog$)/,
};

// `{begin, nodeCreated}`: what to do when the page is set up, and with each new node.
export function keepWithinRole(app, me, say) {
  const lacking = Object.keys(me.permissions).filter((name) => !me.permissions[name]);

  function begin() {
    for (const name of lacking) document.body.classList.add(`mss-lacks-${name.replaceAll("_", "-")}`);
    for (const command of app.extensionManager.command?.commands ?? []) {
      const lacks = lacking.find((name) => COMMANDS[name]?.test(command.id));
      if (lacks) {
        command.function = () => void say({ code: "PERMISSION_DENIED", permission: lacks });
      }
    }
    const settings = app.extensionManager.setting?.settings ?? {};
    for (const id of me.locked_settings) {
      // A setting of this type has no place in the settings' dialog.
      if (settings[id]) settings[id].type = "hidden";
    }
  }

  function nodeCreated(node) {
    if (me.permissions.can_upload) return;
    for (const widget of node.widgets ?? []) {
      if (widget.type === "button" && /upload/i.test(widget.name)) widget.disabled = true;
    }
  }

  // The page asks for these whenever a model is missing or a prompt fails, does well without an
  // answer, and complains about a refusal.
  if (!me.permissions.can_manage_backend) {
    Object.assign(app.api, {
      getFolderPaths: async () => ({}),
      getLogs: async () => "",
      getRawLogs: async () => ({ entries: [] }),
      subscribeLogs: async () => {},
    });
  }

  return { begin, nodeCreated };
}
