// The tree of models: filters as one types, and ticks all that is shown.
const form = document.querySelector("form[data-grants]");
const field = document.querySelector("input[data-filter]");
const models = [...form.querySelectorAll("li[data-model]")].map((row) => ({
  row,
  text: row.dataset.model.toLowerCase(),
}));
// Inner folders come later: from the last one on, each finds its inner ones done.
const folders = [...form.querySelectorAll("details")].reverse();

function filter() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const { row, text } of models) {
    row.hidden = !words.every((word) => text.includes(word));
  }
  for (const folder of folders) {
    const isEmpty = !folder.querySelector("li[data-model]:not([hidden])");
    folder.parentElement.hidden = isEmpty;
    if (words.length > 0 && !isEmpty) folder.open = true;
  }
}

function tick(isTicked) {
  for (const { row } of models) {
    if (!row.hidden) row.querySelector("input").checked = isTicked;
  }
}

field.addEventListener("input", filter);
for (const button of form.querySelectorAll("button[data-tick]")) {
  button.addEventListener("click", () => tick(Boolean(button.dataset.tick)));
}
for (const part of form.querySelectorAll("[data-scripted]")) part.hidden = false;
