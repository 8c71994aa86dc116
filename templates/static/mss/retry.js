// The page of a ComfyUI that does not answer: looks again and again, and loads what is there then.
const seconds = Number(document.getElementById("retry").dataset.seconds);

async function look() {
  const answer = await fetch(location.href, {
    headers: { Accept: "application/json" },
    cache: "no-store",
  }).catch(() => null);
  if (answer && answer.status < 500) location.reload();
  else setTimeout(look, seconds * 1000);
}

setTimeout(look, seconds * 1000);
