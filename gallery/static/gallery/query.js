// The page of a query: keeps looking while the network is away, tells screen readers, copies the link, and shows the
// browser's own copy of the picture until the server has one.

const RETRY_MS = 2000;
const lost = document.getElementById("lost");
const announcement = document.getElementById("announcement");
const copy = document.getElementById("copy-link");
const copyLabel = copy.textContent;
const share = document.getElementById("share");

function lookAgain(event) {
  if (event.detail.xhr.status === 404) {
    location.reload();
    return;
  }
  lost.hidden = false;
  setTimeout(() => event.detail.elt.dispatchEvent(new Event("again")), RETRY_MS);
}

function announce() {
  lost.hidden = true;
  document.title = document.querySelector(".answer").dataset.title;
  const state = document.getElementById("answer-title").textContent;
  if (announcement.textContent !== state) announcement.textContent = state;
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
  } catch {
    copyTheOldWay(location.href);
  }
  copy.textContent = announcement.textContent = copy.dataset.copied;
  setTimeout(() => (copy.textContent = copyLabel), RETRY_MS);
}

// Over plain HTTP, on a home network say, browsers give pages no clipboard, and a person may refuse it.
function copyTheOldWay(text) {
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

function showOwnPicture() {
  const own = document.querySelector("#picture .own");
  const kept = sessionStorage.getItem("picture");
  sessionStorage.removeItem("picture");
  if (!own || !kept) return;
  own.src = kept;
  own.hidden = false;
  own.nextElementSibling.hidden = true;
}

for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(name, lookAgain);
}
document.addEventListener("htmx:afterSwap", announce);
copy.addEventListener("click", copyLink);
copy.hidden = false;
share.addEventListener("click", () => navigator.share({ title: document.title, url: location.href }).catch(() => {}));
share.hidden = !navigator.share;
showOwnPicture();
