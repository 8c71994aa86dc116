// The account page: its forms talk to the API, its lists come from there.
// `gettext` and `interpolate` are of /mss-login/texts.js, which the page loads first.
import { passkeys, post } from "./passkey.js";

const byId = (id) => document.getElementById(id);
const methods = byId("account").dataset.methods.split(" ");
const API = "/mss-login";

// --- what happened, for eyes and screen readers ---------------------------------------------

function say(text) {
  show(byId("fault"), "");
  show(byId("status"), text);
}

function complain(error) {
  show(byId("status"), "");
  show(byId("fault"), passkeys.reason(error));
  byId("fault").scrollIntoView({ block: "nearest" });
}

function show(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

// Runs `work` for a button or form, which cannot be pressed again meanwhile.
function during(control, work) {
  return async (event) => {
    event.preventDefault();
    const button = event.submitter ?? control;
    button.disabled = true;
    try {
      await work(event);
    } catch (error) {
      if (error !== cancelled) complain(error);
    } finally {
      button.disabled = false;
    }
  };
}

const onSubmit = (id, work) => byId(id)?.addEventListener("submit", during(null, work));
const onClick = (id, work) => byId(id)?.addEventListener("click", during(byId(id), work));

// --- confirming with password and second factor ---------------------------------------------

const cancelled = new Error("cancelled");
const codeMethods = methods.some((method) => method === "totp" || method === "backup_code");

// Asks the person to confirm, then calls `work(proof)`; a refusal is shown in the dialog, which
// stays. Without anything to confirm with, `work({})` at once.
function confirmed(work, { password = false, temp = {} } = {}) {
  const factor = methods.some(Boolean);
  if (!factor && !password) return work({});
  const dialog = byId("proof");
  const needs = { password, code: codeMethods };
  for (const part of dialog.querySelectorAll("[data-proof]")) {
    part.hidden = !needs[part.dataset.proof];
    part.querySelector("input").value = "";
    part.querySelector("input").required = needs[part.dataset.proof];
  }
  byId("proof-passkey").hidden = !(methods.includes("passkey") && passkeys.supported);
  dialog.querySelector("button[type=submit]").hidden = !codeMethods && factor;
  show(byId("proof-fault"), "");
  dialog.showModal();
  return new Promise((resolve, reject) => {
    const done = new AbortController();
    const on = (element, name, handler) =>
      element.addEventListener(name, handler, { signal: done.signal });
    const attempt = async (proof) => {
      show(byId("proof-fault"), "");
      try {
        const result = await work({
          ...(password ? { password: byId("proof-password").value } : {}),
          ...(await proof()),
        });
        done.abort();
        dialog.close();
        resolve(result);
      } catch (error) {
        show(byId("proof-fault"), passkeys.reason(error));
      }
    };
    on(byId("proof-form"), "submit", (event) => {
      event.preventDefault();
      attempt(async () => typedProof());
    });
    on(byId("proof-passkey"), "click", () => attempt(() => passkeyProof(temp)));
    on(byId("proof-cancel"), "click", () => dialog.close());
    on(dialog, "close", () => {
      done.abort();
      reject(cancelled);
    });
  });
}

function typedProof() {
  if (!codeMethods) return {};
  const text = byId("proof-code").value.trim();
  return /^[\d\s]{1,8}$/.test(text) ? { code: text } : { backup_code: text };
}

async function passkeyProof(temp) {
  const begun = await post(`${API}/api/mfa/passkey-options`, temp);
  return { mfa_temp_token: begun.mfa_temp_token, passkey: await passkeys.get(begun.options) };
}

// --- lists ----------------------------------------------------------------------------------

function row(title, details, button) {
  const item = document.createElement("li");
  const text = document.createElement("div");
  text.append(title);
  for (const detail of details.filter(Boolean)) {
    const line = document.createElement("small");
    line.textContent = detail;
    text.append(line);
  }
  item.append(text);
  if (button) item.append(button);
  return item;
}

function action(text, name, work) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "danger";
  button.textContent = text;
  button.setAttribute("aria-label", `${text} ${name}`);
  button.addEventListener("click", during(button, work));
  return button;
}

function fill(id, items, nothing) {
  const list = byId(id);
  if (!list) return;
  list.replaceChildren(...(items.length ? items : [row(nothing, [])]));
}

// `text` with its %(names)s replaced.
const filled = (text, values) => interpolate(text, values, true);

const when = (time) =>
  time ? new Date(time).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" }) : "";

async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(data.error || gettext("The server did not answer.")), data);
  return data;
}

async function loadSessions() {
  const { sessions } = await get(`${API}/me/sessions`);
  const items = sessions.map((session) => {
    const name = browserName(session.user_agent);
    return row(
      session.is_current ? filled(gettext("%(name)s (this one)"), { name }) : name,
      [
        session.ip && filled(gettext("From %(address)s"), { address: session.ip }),
        filled(gettext("Since %(begin)s, last used %(used)s"), {
          begin: when(session.created_at_iso),
          used: when(session.last_used_at_iso),
        }),
      ],
      session.is_current
        ? null
        : action(gettext("Log out"), name, async () => {
            await post(`${API}/me/sessions/revoke`, { jti: session.jti });
            await loadSessions();
            say(gettext("That session has ended."));
          }),
    );
  });
  fill("session-list", items, gettext("None."));
  byId("end-others").hidden = sessions.length < 2;
}

function browserName(agent) {
  const browsers = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]];
  const systems = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS", "macOS"], ["Linux", "Linux"]];
  const find = (pairs) => pairs.find(([mark]) => agent.includes(mark))?.[1];
  const browser = find(browsers);
  const system = find(systems);
  if (browser && system) return filled(gettext("%(browser)s on %(system)s"), { browser, system });
  return browser || agent.slice(0, 60) || gettext("Unknown client");
}

function lastUse(token) {
  if (!token.last_used_at) return gettext("Never used.");
  const values = { time: when(token.last_used_at), address: token.last_used_ip };
  if (!token.last_used_ip) return filled(gettext("Last used %(time)s."), values);
  return filled(gettext("Last used %(time)s from %(address)s."), values);
}

async function loadTokens() {
  if (!byId("tokens")) return;
  const { tokens } = await get(`${API}/api/tokens`);
  const items = tokens.map((token) => {
    const name = token.label || token.token_hash_prefix;
    const until = token.expires_at
      ? filled(gettext("Works until %(time)s."), { time: when(token.expires_at) })
      : gettext("Never expires.");
    return row(
      name,
      [
        `${until} ${lastUse(token)}`,
        token.scopes &&
          filled(gettext("Limited to: %(scopes)s"), {
            scopes: token.scopes.join(", ") || gettext("nothing"),
          }),
        token.networks?.length &&
          filled(gettext("Only from %(networks)s"), { networks: token.networks.join(", ") }),
        token.in_path && gettext("May stand in the address"),
      ],
      action(gettext("Revoke"), name, async () => {
        await post(`${API}/api/tokens`, { token_hash_prefix: token.token_hash_prefix }, "DELETE");
        await loadTokens();
        say(gettext("The token is revoked."));
      }),
    );
  });
  fill("token-list", items, gettext("You have none."));
}

function lifeOf(passkey) {
  const values = { added: when(passkey.created_at), used: when(passkey.last_used_at) };
  return passkey.last_used_at
    ? filled(gettext("Added %(added)s, last used %(used)s"), values)
    : filled(gettext("Added %(added)s"), values);
}

async function loadPasskeys() {
  const { passkeys: known } = await get(`${API}/api/passkeys`);
  const items = known.map((passkey) =>
    row(
      passkey.name,
      [lifeOf(passkey)],
      action(gettext("Remove"), passkey.name, async () => {
        await confirmed((proof) =>
          post(`${API}/api/passkeys`, { id: passkey.id, ...proof }, "DELETE"),
        );
        restart(gettext("The passkey is removed."));
      }),
    ),
  );
  fill("passkey-list", items, gettext("You have none."));
  byId("passkey-form").hidden = !passkeys.supported;
  byId("no-passkeys").hidden = passkeys.supported;
}

// What the page shows of the second factor comes from the server: load it again, and say there
// what happened.
function restart(text) {
  sessionStorage.setItem("mss-said", text);
  location.reload();
}

function codesShown(codes) {
  byId("new-codes").textContent = codes.join("\n");
  byId("codes").hidden = false;
  byId("codes").scrollIntoView({ block: "nearest" });
}

// --- forms ----------------------------------------------------------------------------------

onSubmit("password-form", async (event) => {
  const form = event.target;
  await confirmed((proof) =>
    post("/account/password", {
      current_password: form.current_password.value,
      new_password: form.new_password.value,
      keep_tokens: form.keep_tokens.checked,
      ...proof,
    }),
  );
  form.reset();
  await Promise.all([loadSessions(), loadTokens()]);
  say(gettext("Your password is changed. Everywhere else you are logged out."));
});

onClick("mfa-begin", async () => {
  const setup = await confirmed((proof) => post(`${API}/api/mfa/setup`, proof));
  const picture = new DOMParser().parseFromString(setup.qr_svg, "text/html").querySelector("svg");
  byId("qr").replaceChildren(picture);
  byId("secret").textContent = setup.secret;
  byId("setup-codes").textContent = setup.backup_codes.join("\n");
  byId("mfa-setup").hidden = false;
  byId("mfa-begin").hidden = true;
  byId("setup-code").focus();
});

onSubmit("mfa-form", async (event) => {
  await post(`${API}/api/mfa/verify-setup`, { code: event.target.code.value });
  restart(gettext("Your second factor is on. Everywhere else you are logged out."));
});

onClick("codes-new", async () => {
  const made = await confirmed((proof) => post(`${API}/api/mfa/backup-codes`, proof));
  codesShown(made.backup_codes);
  say(gettext("You have new backup codes; the old ones are void."));
});

onClick("mfa-off", async () => {
  await confirmed((proof) => post(`${API}/api/mfa/disable`, proof), { password: true });
  restart(gettext("Your second factor is off."));
});

onSubmit("passkey-form", async (event) => {
  const name = event.target.name.value;
  const begun = await confirmed((proof) => post(`${API}/api/passkeys/options`, proof), {
    password: !methods.some(Boolean),
  });
  const passkey = await passkeys.create(begun.options);
  const made = await post(`${API}/api/passkeys`, {
    mfa_temp_token: begun.mfa_temp_token,
    passkey,
    name,
  });
  event.target.reset();
  if (!made.backup_codes.length) return restart(gettext("The passkey is added."));
  await Promise.all([loadPasskeys(), loadSessions()]);
  codesShown(made.backup_codes);
  say(gettext("The passkey is added. Note the backup codes above, then load this page again."));
});

onClick("end-others", async () => {
  await post(`${API}/me/sessions/revoke`, { all_others: true });
  await loadSessions();
  say(gettext("Everywhere else you are logged out."));
});

onSubmit("token-form", async (event) => {
  const form = event.target;
  const boxes = [...form.querySelectorAll("input[name=scopes]")];
  const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
  const networks = form.networks.value.split(",").map((text) => text.trim()).filter(Boolean);
  const wanted = { label: form.label.value, expire_hours: Number(form.hours.value) };
  if (chosen.length < boxes.length) wanted.scopes = chosen;
  if (networks.length) wanted.networks = networks;
  if (form.in_path.checked) wanted.in_path = true;
  let made = await post(`${API}/generate_token`, wanted);
  if (made.mfa_setup_required) throw new Error(gettext("Set up your second factor first."));
  if (made.mfa_required) {
    const temp = { mfa_temp_token: made.mfa_temp_token };
    made = await confirmed((proof) => post(`${API}/generate_token`, { ...temp, ...proof }), { temp });
  }
  form.reset();
  byId("token-text").textContent = made.token;
  const address = `${location.origin}/t/${made.token}/`;
  show(
    byId("token-address"),
    made.in_path ? filled(gettext("As an address: %(address)s"), { address }) : "",
  );
  byId("new-token").hidden = false;
  byId("token-copy").focus();
  await loadTokens();
  say(gettext("The token is made. Copy it now."));
});

onClick("token-copy", async () => {
  const text = byId("token-text").textContent;
  try {
    await navigator.clipboard.writeText(text);
    say(gettext("Copied."));
  } catch {
    // Browsers copy for pages from HTTPS or localhost only.
    getSelection().selectAllChildren(byId("token-text"));
    say(gettext("Selected. Copy it with Ctrl+C, or by holding your finger on it."));
  }
});

// --- start ----------------------------------------------------------------------------------

const said = sessionStorage.getItem("mss-said");
sessionStorage.removeItem("mss-said");
if (said) say(said);
Promise.all([loadSessions(), loadTokens(), loadPasskeys()]).catch(complain);
