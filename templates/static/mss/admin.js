// The admin theme's components for Alpine's build that needs no eval: there, what the theme's
// templates call must be registered, and what they assign must be data of theirs.
"use strict";

// The theme's icons are words in a font of pictures: nothing to be read out. What has nothing
// but an icon is called by what it does.
const ICON_NAMES = { arrow_back: "Back", shield_person: "Dashboard", search: "Search", close: "Close" };

function hideIcons(root) {
  for (const icon of root.querySelectorAll(".material-symbols-outlined")) {
    icon.ariaHidden = "true";
    const control = icon.closest("a, button");
    const word = icon.textContent.trim();
    if (control && control.textContent.trim() === word && !control.title && !control.ariaLabel) {
      control.ariaLabel = ICON_NAMES[word] ?? word.replaceAll("_", " ");
    }
  }
}
document.addEventListener("DOMContentLoaded", () => hideIcons(document));
document.addEventListener("htmx:load", (event) => hideIcons(event.target));

// A part of a page that is asked for again and again. Once logged out, the answer is the login
// page: the whole page goes there.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, requestConfig } = event.detail;
  const asked = new URL(requestConfig.path, location.href).pathname;
  if (xhr.responseURL && new URL(xhr.responseURL).pathname !== asked) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

document.addEventListener("alpine:init", () => {
  Alpine.data("theme", theme);
  Alpine.data("searchForm", searchForm);
  Alpine.data("searchCommand", searchCommand);
  Alpine.data("searchDropdown", () => ({
    ...searchDropdown(),
    open() {
      this.openSearchResults = true;
      this.currentIndex = 0;
    },
    escape() {
      this.openSearchResults = false;
      const input = this.$refs.searchInput;
      if (input.value === "") {
        input.blur();
      }
      input.value = "";
    },
  }));
  Alpine.data("page", () => ({
    activeTab: "",
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem("sidebarDesktopOpen") !== "0",
    // A form's address is made of this; nothing else of the real window is within reach.
    window: { location: { pathname: location.pathname, search: location.search } },
    init() {
      const first = this.$el.dataset.tab;
      this.activeTab = first ? getCurrentTab() || first : "";
    },
    toggleSidebar() {
      this.sidebarDesktopOpen = !this.sidebarDesktopOpen;
      localStorage.setItem("sidebarDesktopOpen", this.sidebarDesktopOpen ? "1" : "0");
    },
  }));
});
