// Sentences in the person's language, from the gateway's catalogue (Django's JSONCatalog).
let catalog = {};

export async function loadTexts() {
  const answer = await fetch("/mss-login/texts.json");
  if (answer.ok) catalog = (await answer.json()).catalog ?? {};
}

export function gettext(text) {
  const found = catalog[text];
  return typeof found === "string" && found ? found : text;
}

// `text` with each %(name)s replaced from `values`.
export function interpolate(text, values) {
  return text.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
}
