// Passkeys: JSON of the server ⇄ what navigator.credentials wants. Older browsers lack the
// built-in conversions, so they are spelt out here. `gettext` is of /mss-login/texts.js.
export const passkeys = {
  supported: Boolean(window.PublicKeyCredential && navigator.credentials),

  async get(options) {
    const credential = await navigator.credentials.get({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        allowCredentials: (options.allowCredentials || []).map(withId),
      },
    });
    return plain(credential, ["authenticatorData", "clientDataJSON", "signature", "userHandle"]);
  },

  async create(options) {
    const credential = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        user: withId(options.user),
        excludeCredentials: (options.excludeCredentials || []).map(withId),
      },
    });
    const made = plain(credential, ["attestationObject", "clientDataJSON"]);
    made.response.transports = credential.response.getTransports?.() ?? [];
    return made;
  },

  // What to tell the person when the browser refused.
  reason(error) {
    if (error.name === "NotAllowedError") return gettext("The passkey was not used. Try again, or use a code.");
    if (error.name === "InvalidStateError") return gettext("This device has a passkey for this account already.");
    return error.message || gettext("The passkey did not work.");
  },
};

function withId(entry) {
  return { ...entry, id: bytes(entry.id) };
}

function bytes(text) {
  const base64 = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

function base64url(buffer) {
  const text = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function plain(credential, fields) {
  const response = {};
  for (const field of fields) {
    if (credential.response[field]) response[field] = base64url(credential.response[field]);
  }
  return {
    id: credential.id,
    rawId: base64url(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  };
}

// POST JSON; the answer's JSON, or an Error with the server's sentence and its `code`.
export async function post(path, body, method = "POST") {
  const answer = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(data.error || gettext("The server did not answer as expected.")), data);
  return data;
}
