// The pages of models to tick: filters as one types, ticks what is shown, warns before leaving.
const form = document.querySelector("form[data-grants]");

// --- the tree ---------------------------------------------------------------------------------

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
    folder.parentElement.hidden = isEmpty && words.length > 0;
    if (words.length > 0 && !isEmpty) folder.open = true;
  }
}

// Models that one sees: not those filtered out, nor those in a folder that is closed.
function seen(within) {
  return models
    .map(({ row }) => row)
    .filter((row) => within.contains(row) && row.checkVisibility());
}

function tick(rows, isTicked) {
  for (const row of rows) row.querySelector("input").checked = isTicked;
  tell();
}

if (field) {
  field.addEventListener("input", filter);
  for (const button of form.querySelectorAll("button[data-tick]")) {
    button.addEventListener("click", () => {
      const folder = button.closest("details");
      tick(seen(folder ?? form), Boolean(button.dataset.tick));
    });
  }
}
for (const part of form.querySelectorAll("[data-scripted]")) part.hidden = false;

// --- what is not saved yet --------------------------------------------------------------------

const boxes = [...form.querySelectorAll("input[type=checkbox]")];
const texts = [...form.querySelectorAll("input[type=text]")];
const save = form.querySelector("[data-save]");
const saves = save.value || save.textContent;
let isSent = false;

function changed() {
  const ticked = boxes.filter((box) => box.checked !== box.defaultChecked);
  const typed = texts.filter((text) => text.value !== text.defaultValue);
  return ticked.length + typed.length;
}

function tell() {
  const number = changed();
  const text = number ? `${saves} ${number} change${number === 1 ? "" : "s"}` : saves;
  if (save.value) save.value = text;
  else save.textContent = text;
}

form.addEventListener("change", tell);
form.addEventListener("submit", () => {
  isSent = true;
});
window.addEventListener("beforeunload", (event) => {
  if (changed() && !isSent) event.preventDefault();
});
