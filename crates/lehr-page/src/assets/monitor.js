// The page of running jobs is asked for again, and takes the place of what stands here.
// @ts-check

const SECONDS = 10;

async function renew() {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (!answer.ok) return;
    // eslint-disable-next-line no-restricted-syntax -- the page itself, from its own server, names escaped; its policy lets no other script run
    const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    const now = document.querySelector("main");
    // What somebody is reading with the keyboard stays until they leave it.
    if (next && now && !now.contains(document.activeElement)) now.replaceWith(document.adoptNode(next));
  } catch {
    // The watch has ended, or is not reached just now.
  }
}

setInterval(renew, 1000 * SECONDS);
