// The admin's page of pictures: shows one when it is asked for, and works with the keyboard.
const pictures = [...document.querySelectorAll(".review-picture")];
const boxOf = (picture) => picture.closest("li").querySelector("input[type=checkbox]");

function toggle(picture) {
  const shown = picture.getAttribute("aria-pressed") !== "true";
  picture.setAttribute("aria-pressed", String(shown));
  const video = picture.querySelector("video");
  if (video) shown ? video.play() : video.pause();
}

function columns() {
  const top = pictures[0]?.getBoundingClientRect().top;
  const second = pictures.findIndex((picture) => picture.getBoundingClientRect().top > top + 1);
  return second < 1 ? pictures.length : second;
}

const STEPS = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: () => -columns(),
  ArrowDown: columns,
};

for (const picture of pictures) picture.addEventListener("click", () => toggle(picture));

document.getElementById("tick-all")?.addEventListener("click", () => {
  const boxes = pictures.map(boxOf);
  const all = boxes.every((box) => box.checked);
  for (const box of boxes) box.checked = !all;
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const here = pictures.indexOf(document.activeElement);
  if (event.key in STEPS && pictures.length) {
    const next = here < 0 ? 0 : here + STEPS[event.key]();
    pictures[Math.min(Math.max(next, 0), pictures.length - 1)].focus();
    event.preventDefault();
  } else if (event.key === " " && here >= 0) {
    const box = boxOf(pictures[here]);
    if (box) box.checked = !box.checked;
    event.preventDefault();
  } else {
    const button = document.querySelector(`.review-bar [data-key="${CSS.escape(event.key.toLowerCase())}"]`);
    if (!button) return;
    button.click();
    event.preventDefault();
  }
});

// How far a scan is, from time to time, without losing what is ticked.
async function follow() {
  const scan = document.getElementById("scan");
  if (scan?.dataset.status !== "running") return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.ok) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const now = page.getElementById("scan");
    if (now) scan.replaceWith(now);
  }
  setTimeout(follow, 2000);
}
setTimeout(follow, 2000);
