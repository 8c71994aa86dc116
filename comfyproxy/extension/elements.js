// DOM elements for the sidebar tabs. Text is always set as text, never as markup.

// An element: properties (`class`, `on…` and data of attributes), then children or texts.
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// A link that leaves the workflow open: it opens beside it.
export const link = (href, text) =>
  element("a", { href, target: "_blank", rel: "noopener" }, text);

// What a sidebar tab shows. ComfyUI calls `render` again whenever it draws the tab anew, with
// the same or another container; `begin` starts what keeps the content fresh and returns how
// to stop that.
class Panel {
  constructor(label, begin) {
    this.root = element("section", { class: "mss-panel", "aria-label": label });
    this.begin = begin;
    this.stop = null;
  }

  render(container) {
    if (this.root.parentNode !== container) container.replaceChildren(this.root);
    this.stop ??= this.begin();
  }

  destroy() {
    this.stop?.();
    this.stop = null;
    this.root.remove();
  }
}

// A tab for `registerSidebarTab`, whose content `begin(root)` fills.
export function sidebarTab(id, icon, title, begin) {
  const panel = new Panel(title, () => begin(panel.root));
  return {
    id,
    icon,
    title,
    label: title,
    tooltip: title,
    type: "custom",
    render: (container) => panel.render(container),
    destroy: () => panel.destroy(),
  };
}

// Calls `work` at once and whenever `ask()` is called, but never twice at a time: what comes in
// between is done once, afterwards.
export function oneAtATime(work) {
  let running = false;
  let again = false;
  return async function ask() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      do {
        again = false;
        await work();
      } while (again);
    } finally {
      running = false;
    }
  };
}
