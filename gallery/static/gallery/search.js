// Forms that make a search are sent by fetch, so that a lost connection or a refusal leaves the page as it is and says
// why. Without this they are ordinary forms.

const problem = document.getElementById("problem");
let isSending = false, isLeftToBrowser = false;

function complain(sentence = problem.dataset.lost) {
  (document.querySelector("dialog[open]") ?? document.body).append(problem); // a dialog covers the rest of the page
  problem.hidden = false;
  problem.textContent = sentence;
}

function setSending(value) {
  isSending = value;
  document.documentElement.classList.toggle("is-searching", value);
}

async function posted(form, button) {
  const data = new FormData(form);
  if (button?.name) data.append(button.name, button.value);
  const address = button?.hasAttribute("formaction") ? button.formAction : form.action;
  return fetch(address, { method: "POST", body: data, headers: { Accept: "application/json" } });
}

async function search(form, button) {
  setSending(true);
  problem.hidden = true;
  try {
    const response = await posted(form, button);
    const { url, error } = await response.json().catch(() => ({}));
    if (url) {
      location.assign(url);
      return; // a second click on the page that is left sends nothing
    }
    setSending(false);
    if (error) complain(error.message);
    else sendAgain(form, button); // an error page, which says what to do
  } catch {
    setSending(false);
    complain();
  }
}

function sendAgain(form, button) {
  isLeftToBrowser = true;
  form.requestSubmit(button);
  isLeftToBrowser = false;
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-search]") || isLeftToBrowser) return;
  event.preventDefault();
  if (!isSending) search(event.target, event.submitter);
});
document.addEventListener("lost", () => complain());
for (const name of ["htmx:sendError", "htmx:timeout"]) { // the page of a query says so itself, and tries again
  document.addEventListener(name, () => document.getElementById("lost") ?? complain());
}
document.addEventListener("htmx:afterOnLoad", () => (problem.hidden ||= problem.textContent === problem.dataset.lost));
problem.addEventListener("click", () => (problem.hidden = true));
// A page that comes back by the Back button is as it was left: sending.
window.addEventListener("pageshow", () => setSending(false));
