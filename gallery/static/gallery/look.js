// Opens a match in large beside the picture that was searched with. Without this a click leads to the picture's page.

const dialog = document.getElementById("look");
const title = document.getElementById("look-title");
const searched = dialog.querySelector(".searched"), found = dialog.querySelector(".found img");
const facts = dialog.querySelector(".facts");
const SWIPE_PX = 50;
let shown = 0, touchedAt = null, isClosing = false;

const links = () => [...document.querySelectorAll(".answer .card > a.thumb[data-large]")];

function open(number) {
  const all = links();
  if (!all[number]) return;
  shown = number;
  const link = all[number], card = link.closest(".card"), small = link.querySelector("img");
  title.textContent = title.dataset.text.replace("{n}", number + 1).replace("{all}", all.length);
  found.src = link.dataset.large;
  found.alt = small.alt;
  found.width = small.width;
  showSearched();
  facts.replaceChildren(...[...card.children].filter((part) => part !== link).map((part) => part.cloneNode(true)));
  dialog.querySelector(".to-page").href = link.href;
  dialog.querySelector(".download").href = link.dataset.picture;
  dialog.querySelector("[data-step='-1']").disabled = number === 0;
  dialog.querySelector("[data-step='1']").disabled = number === all.length - 1;
  // An entry of its own, so that a phone's Back closes it.
  if (dialog.open || linked() === number) history.replaceState(history.state, "", `#match-${number + 1}`);
  else history.pushState({ look: true }, "", `#match-${number + 1}`);
  if (!dialog.open) dialog.showModal();
}

function showSearched() {
  const picture = document.querySelector("#picture img:not([hidden])");
  searched.hidden = !picture;
  if (picture) {
    searched.querySelector("img").src = picture.src;
    searched.querySelector("img").alt = picture.alt;
  }
}

function linked() {
  const number = /^#match-(\d+)$/.exec(location.hash)?.[1];
  return number ? number - 1 : null;
}

function openLinked() {
  if (linked() !== null) open(linked());
}

function followHistory(event) {
  if (!isClosing && !dialog.open && linked() === null) return; // a step between filters
  event.stopImmediatePropagation(); // the matches are the same
  if (linked() !== null) openLinked();
  else dialog.close();
  isClosing = false;
}

function leave() {
  if (linked() === null) return; // by Back
  isClosing = Boolean(history.state?.look);
  if (isClosing) history.back();
  else history.replaceState(null, "", location.pathname + location.search);
}

document.addEventListener("click", (event) => {
  const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  const link = event.target.closest?.(".answer .card > a.thumb[data-large]");
  if (!link || !isPlain) return;
  event.preventDefault();
  open(links().indexOf(link));
});
dialog.addEventListener("click", (event) => {
  const step = event.target.closest("[data-step]")?.dataset.step;
  if (step) open(shown + Number(step));
  else if (event.target === dialog || event.target.closest(".close")) dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") open(shown - 1);
  if (event.key === "ArrowRight") open(shown + 1);
});
dialog.addEventListener("touchstart", (event) => (touchedAt = event.touches.length === 1 ? event.touches[0].clientX : null));
dialog.addEventListener("touchend", (event) => {
  const moved = touchedAt === null ? 0 : event.changedTouches[0].clientX - touchedAt;
  if (Math.abs(moved) > SWIPE_PX) open(shown + (moved < 0 ? 1 : -1));
});
dialog.addEventListener("close", leave);
window.addEventListener("popstate", followHistory);
document.addEventListener("htmx:afterSwap", openLinked);
openLinked();
