// The page of downloads: asks for new ones, shows how far they are, cancels, tries again.
// `gettext` and `interpolate` are of /mss-login/texts.js, which the page loads first.
const byId = (id) => document.getElementById(id);
const HERE = "/account/downloads";
const POLL = 1000;

function show(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

function say(text) {
  show(byId("fault"), "");
  show(byId("status"), text);
}

function complain(error) {
  show(byId("status"), "");
  show(byId("fault"), error.message);
  byId("fault").scrollIntoView({ block: "nearest" });
}

async function ask(path, body) {
  const answer = await fetch(HERE + path, {
    method: body ? "POST" : "GET",
    headers: { Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body && JSON.stringify(body),
  });
  const data = await answer.json().catch(() => ({}));
  if (answer.status === 401) location.assign(`/login?next=${HERE}`);
  if (!answer.ok) throw new Error(data.error || gettext("The server did not answer."));
  return data;
}

function during(button, work) {
  return async (event) => {
    event.preventDefault();
    const pressed = event.submitter ?? button;
    pressed.disabled = true;
    try {
      await work(event);
    } catch (error) {
      complain(error);
    } finally {
      pressed.disabled = false;
    }
  };
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function button(text, label, work) {
  const made = element("button", { type: "button", className: "quiet", textContent: text });
  made.setAttribute("aria-label", `${text} ${label}`);
  made.addEventListener("click", during(made, work));
  return made;
}

// `text` with its %(names)s replaced.
const filled = (text, values) => interpolate(text, values, true);

// --- numbers for people -----------------------------------------------------------------------

function decimal(number, digits) {
  return number.toLocaleString(document.documentElement.lang, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

function bytes(number) {
  if (number === null) return "?";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = number;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${decimal(value, value < 10 && unit ? 1 : 0)} ${units[unit]}`;
}

function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${decimal(seconds / 3600, 1)} h`;
}

// --- the list ---------------------------------------------------------------------------------

const WORDS = {
  queued: gettext("Waits for its turn"),
  running: gettext("Running"),
  completed: gettext("Done"),
  failed: gettext("Failed"),
  cancelled: gettext("Cancelled"),
};

function title(job) {
  if (job.filename || job.repo_id) return job.filename || job.repo_id;
  return filled(gettext("version %(number)s"), { number: job.model_version_id ?? "" });
}

function details(job) {
  if (job.status === "failed") return job.error;
  if (job.status === "completed") {
    return filled(gettext("%(size)s in %(folder)s"), {
      size: bytes(job.total_bytes),
      folder: job.destination,
    });
  }
  if (job.status !== "running") return "";
  const parts = [
    filled(gettext("%(done)s of %(size)s"), {
      done: bytes(job.bytes_done),
      size: bytes(job.total_bytes),
    }),
  ];
  if (job.speed_bps) parts.push(`${bytes(job.speed_bps)}/s`);
  if (job.eta_seconds !== null) {
    parts.push(filled(gettext("%(time)s left"), { time: duration(job.eta_seconds) }));
  }
  return parts.join(", ");
}

function row(job) {
  const name = title(job);
  const bar = element("progress", { max: 100 });
  if (job.progress_pct !== null) bar.value = job.progress_pct;
  bar.setAttribute("aria-label", filled(gettext("Progress of %(name)s"), { name }));
  const act = (action, done) => async () => {
    await ask(`/jobs/${job.job_id}/${action}`, {});
    say(done);
    await watch();
  };
  return element(
    "li",
    {},
    element(
      "div",
      {},
      name,
      element("small", { textContent: `${WORDS[job.status]}. ${details(job)}` }),
      job.warning ? element("small", { textContent: job.warning }) : null,
      job.status === "running" ? bar : null,
    ),
    job.can_cancel ? button(gettext("Cancel"), name, act("cancel", gettext("It is being cancelled."))) : null,
    ["failed", "cancelled"].includes(job.status)
      ? button(gettext("Try again"), name, act("retry", gettext("It is tried again.")))
      : null,
  );
}

let shown = "";

async function refresh() {
  const { jobs } = await ask("/jobs");
  const now = JSON.stringify(jobs.map(({ elapsed, ...rest }) => rest));
  if (now !== shown) {
    // A button that has the focus keeps it.
    const focus = document.activeElement?.getAttribute("aria-label");
    const items = jobs.length ? jobs.map(row) : [element("li", {}, gettext("None yet."))];
    byId("jobs").replaceChildren(...items);
    if (focus) document.querySelector(`[aria-label="${CSS.escape(focus)}"]`)?.focus();
    shown = now;
  }
  return jobs.some((job) => job.can_cancel);
}

let timer;

// Now, and again in a while: sooner where something moves.
async function watch() {
  let isActive = false;
  try {
    isActive = !document.hidden && (await refresh());
  } catch (error) {
    complain(error);
  }
  clearTimeout(timer);
  timer = setTimeout(watch, isActive ? POLL : 5 * POLL);
}

// --- asking for one ---------------------------------------------------------------------------

async function add(wish) {
  await ask("/jobs", wish);
  say(gettext("It is in the list below."));
  await watch();
}

function choices() {
  const given = Object.fromEntries(new FormData(byId("add-form")));
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value));
}

byId("add-form").addEventListener(
  "submit",
  during(null, async () => {
    await add(choices());
    byId("url").value = "";
  }),
);

byId("search-form").addEventListener(
  "submit",
  during(null, async () => {
    const query = new URLSearchParams({ source: byId("source").value, query: byId("query").value });
    const { models } = await ask(`/search?${query}`);
    const items = models.flatMap((model) =>
      model.files.map((file) =>
        element(
          "li",
          {},
          element(
            "div",
            {},
            element("a", { href: model.page_url, target: "_blank", rel: "noopener" }, model.name),
            element("small", {
              textContent: [file.name, file.type, bytes(file.size)].filter(Boolean).join(", "),
            }),
          ),
          button(gettext("Download"), file.name, () => {
            const { url, source, ...rest } = choices();
            return add({ ...rest, ...file.wish });
          }),
        ),
      ),
    );
    const nothing = element("li", {}, gettext("Nothing was found."));
    byId("found").replaceChildren(...(items.length ? items : [nothing]));
  }),
);

for (const form of document.querySelectorAll(".key-form")) {
  form.addEventListener(
    "submit",
    during(null, async () => {
      const { source } = form.dataset;
      const { sources_with_keys: stored } = await ask("/keys", {
        source,
        api_key: form.elements.api_key.value,
      });
      form.querySelector("[data-state]").textContent = stored.includes(source)
        ? gettext("stored")
        : gettext("none");
      form.reset();
      say(stored.includes(source) ? gettext("The key is stored.") : gettext("The key is removed."));
    }),
  );
}

watch();
