// The drop zone. The form works without this; here it takes a picture in any way and sends it at once.

const form = document.querySelector("form.drop");
const input = form.querySelector("input[type=file]");
const preview = form.querySelector(".preview");
const sending = form.querySelector(".sending");
const error = form.querySelector(".error");

// A larger picture is sent smaller, which saves seconds on a phone. Small files are sent as they are.
const MOST_PX = 1600, SMALL_BYTES = 400_000, KEPT_PX = 320;

async function take(files) {
  const file = files[0];
  if (!file || form.classList.contains("is-sending")) return;
  show(file);
  const picture = await scaled(file);
  if (picture.size > Number(form.dataset.maxBytes)) {
    refuse(form.dataset.tooLarge);
    return;
  }
  if (picture !== input.files[0]) input.files = only(picture);
  form.requestSubmit();
}

async function scaled(file) {
  if (file.size < SMALL_BYTES || !window.createImageBitmap) return file;
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    if (Math.max(bitmap.width, bitmap.height) <= MOST_PX) return file;
    const blob = await new Promise((done) => drawn(bitmap, MOST_PX).toBlob(done, "image/jpeg", 0.9));
    return blob ? new File([blob], file.name, { type: "image/jpeg" }) : file;
  } catch {
    return file; // a format that the server reads and this browser does not
  }
}

function drawn(picture, mostPx) {
  const [width, height] = [picture.naturalWidth || picture.width, picture.naturalHeight || picture.height];
  const scale = Math.min(1, mostPx / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // where it is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// The page of the result shows this until the server has a picture of its own (query.js).
function keepForResult() {
  try {
    sessionStorage.setItem("picture", drawn(preview, KEPT_PX).toDataURL("image/jpeg", 0.8));
  } catch {
    // no storage: the page shows a placeholder
  }
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
preview.addEventListener("load", () => {
  preview.hidden = false;
  keepForResult();
});
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
