// The drop zone. The form works without this; here it takes a picture in any way and sends it at once.

const form = document.querySelector("form.drop");
const input = form.querySelector("input[type=file]");
const preview = form.querySelector(".preview");
const sending = form.querySelector(".sending");
const error = form.querySelector(".error");

function take(files) {
  const file = files[0];
  if (!file || form.classList.contains("is-sending")) return;
  if (file.size > Number(form.dataset.maxBytes)) {
    refuse(form.dataset.tooLarge);
    return;
  }
  if (files !== input.files) input.files = only(file);
  show(file);
  form.requestSubmit();
}

function only(file) {
  const list = new DataTransfer();
  list.items.add(file);
  return list.files;
}

function show(file) {
  preview.src = URL.createObjectURL(file);
  form.classList.add("is-sending");
  sending.textContent = `Sending ${file.name}…`;
  error.textContent = "";
}

function refuse(sentence) {
  reset();
  error.textContent = sentence;
}

function reset() {
  form.classList.remove("is-sending");
  form.reset();
  URL.revokeObjectURL(preview.src);
  preview.hidden = true;
  sending.textContent = "";
}

function carriesFiles(event) {
  return event.dataTransfer.types.includes("Files");
}

function setDragging(isDragging) {
  document.documentElement.classList.toggle("is-dragging", isDragging);
}

input.addEventListener("change", () => take(input.files));
// Shown only once it can be: browsers cannot draw every format that the server reads.
preview.addEventListener("load", () => (preview.hidden = false));
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  setDragging(true);
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) setDragging(false);
});
document.addEventListener("drop", (event) => {
  setDragging(false);
  if (!carriesFiles(event)) return;
  event.preventDefault();
  take(event.dataTransfer.files);
});
// A page that comes back by the Back button is as it was left: sending.
window.addEventListener("pageshow", (event) => event.persisted && reset());
