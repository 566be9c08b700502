// The drop zone. The form works without this; here it takes a picture in any way, sends it at once and says how far it
// is. Of several pictures, or of a folder, one is chosen first.

const form = document.querySelector("form.drop");
const input = form.querySelector("input[type=file]");
const preview = form.querySelector(".preview");
const sending = form.querySelector(".sending");
const progress = form.querySelector("progress");
const error = form.querySelector(".error");
const camera = form.querySelector("button.camera");
const choice = document.querySelector(".choice");
const linkForm = document.querySelector("form.link"); // none where links are not fetched
const say = form.dataset; // the sentences

// A larger picture is sent smaller, which saves seconds on a phone. Small files are sent as they are.
const MOST_PX = 1600, SMALL_BYTES = 400_000, KEPT_PX = 320;
// A strip is scaled down less, and shown by its middle: 20,000 x 20 pixels would become a line.
const LONG = 10, SHOWN_RATIO = 4;
const MOST_OFFERED = 200, MOST_TOGETHER = 10;
const PICTURE_NAME = new RegExp(`(${input.accept.split(",").filter((end) => end.startsWith(".")).join("|")})$`, "i");

// --- Input ------------------------------------------------------------------------------------------------------

function isPicture(file) {
  return file.type.startsWith("image/") || PICTURE_NAME.test(file.name);
}

async function takeDrop(transfer) {
  // Asked for before anything is waited for: the list is empty afterwards.
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
  if (!entries.length) {
    takeText(pictureIn(transfer.getData("text/html")) || transfer.getData("text/uri-list") || transfer.getData("text"));
    return;
  }
  const found = [], unread = [];
  for (const entry of entries) await collect(entry, found, unread, false);
  offer(found, entries.some((entry) => entry.isDirectory), unread);
}

// Reads files and folders into `found`; of a folder the pictures alone, and none that is hidden. `unread`: the names of
// those that this account may not read.
async function collect(entry, found, unread, isInside) {
  try {
    if (entry.isDirectory) {
      for await (const inner of contents(entry)) {
        if (found.length <= MOST_OFFERED && !inner.name.startsWith(".")) await collect(inner, found, unread, true);
      }
      return;
    }
    const file = entry.isFile ? await new Promise((done, fail) => entry.file(done, fail)) : entry;
    if (isInside && isPicture(file) && !file.size) unread.push(file.name);
    else if (!isInside || isPicture(file)) found.push(file);
  } catch {
    unread.push(entry.name);
  }
}

async function* contents(folder) {
  const reader = folder.createReader();
  for (;;) { // in parts, until one is empty
    const part = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!part.length) return;
    yield* part;
  }
}

function offer(files, isFolder = false, unread = []) {
  if (form.classList.contains("is-sending")) return;
  const pictures = files.filter(isPicture);
  if (files.length === 1 && !isFolder) take(files[0]); // whatever it is, the server says what is wrong with it
  else if (pictures.length === 1) take(pictures[0]);
  else if (pictures.length) choose(pictures, files.length - pictures.length, unread);
  else if (unread.length) refuse(named(say.unread, unread.join(", ")));
  else refuse(isFolder ? say.emptyFolder : say.noPicture);
}

// The address of the picture in what was dragged from another page: the text alone has the link around it.
function pictureIn(html) {
  const source = new DOMParser().parseFromString(html, "text/html").querySelector("img")?.getAttribute("src") ?? "";
  return /^https?:/i.test(source) ? source : "";
}

function takeText(text) {
  if (linkForm && /^\s*https?:\S+\s*$/i.test(text)) {
    linkForm.elements.url.value = text.trim();
    linkForm.requestSubmit();
  } else {
    refuse(/^\s*(https?|data|file):/i.test(text) ? say.link : say.text);
  }
}

// --- One of several ---------------------------------------------------------------------------------------------

function choose(found, others, unread) {
  reset();
  const pictures = found.slice(0, MOST_OFFERED);
  pictures.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const notes = [others && say.leftOut.replace("{n}", others), found.length > MOST_OFFERED && say.more];
  if (unread.length) notes.push(named(say.unread, unread.join(", ")));
  const heading = choice.querySelector("h2");
  heading.textContent = say.choose.replace("{n}", pictures.length);
  choice.querySelector(".note").textContent = notes.filter(Boolean).join(" ");
  choice.querySelector("ul").replaceChildren(...pictures.map(offered));
  const all = choice.querySelector(".all");
  all.hidden = pictures.length > MOST_TOGETHER;
  all.textContent = all.dataset.text.replace("{n}", pictures.length);
  all.onclick = () => take(...pictures);
  choice.hidden = false;
  heading.focus();
}

function offered(file) {
  const item = document.createElement("li"), button = document.createElement("button");
  const picture = document.createElement("img"), name = document.createElement("span");
  picture.loading = "lazy"; // before it has an address
  picture.alt = "";
  picture.src = URL.createObjectURL(file);
  picture.addEventListener("error", () => picture.remove()); // a format that only the server reads
  name.textContent = file.name;
  button.type = "button";
  button.className = "quiet";
  button.append(picture, name);
  button.addEventListener("click", () => take(file));
  item.append(button);
  return item;
}

function closeChoice() {
  for (const picture of choice.querySelectorAll("img")) URL.revokeObjectURL(picture.src);
  choice.querySelector("ul").replaceChildren();
  choice.hidden = true;
}

// --- The picture ------------------------------------------------------------------------------------------------

// Several pictures are one search.
async function take(...files) {
  if (form.classList.contains("is-sending")) return;
  closeChoice();
  show(files[0]);
  const unread = await unreadable(files);
  if (unread.length) {
    refuse(named(say.unread, unread.join(", ")));
    return;
  }
  if (!files.every((file) => file.size)) {
    refuse(say.empty); // a named pipe, too, which would be sent without end
    return;
  }
  const pictures = await Promise.all(files.map(scaled));
  if (pictures.reduce((sum, picture) => sum + picture.size, 0) > Number(say.maxBytes)) {
    refuse(say.tooLarge);
    return;
  }
  input.files = only(...pictures);
  form.requestSubmit();
}

// Returns the names of files that are gone, or that this account may not read.
async function unreadable(files) {
  const starts = [...files].map((file) => (file.size ? file.slice(0, 1) : file)); // no part of nothing is looked at
  const isRead = await Promise.all(starts.map((start) => start.arrayBuffer().then(() => true, () => false)));
  return [...files].filter((file, place) => !isRead[place]).map((file) => file.name);
}

async function scaled(file) {
  if (file.size < SMALL_BYTES || !window.createImageBitmap) return file;
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    if (scaleOf(bitmap.width, bitmap.height, MOST_PX) === 1) return file;
    const whole = [0, 0, bitmap.width, bitmap.height];
    const blob = await new Promise((done) => drawn(bitmap, whole, MOST_PX).toBlob(done, "image/jpeg", 0.9));
    return blob ? new File([blob], file.name, { type: "image/jpeg" }) : file;
  } catch {
    return file; // a format that the server reads and this browser does not
  }
}

function scaleOf(width, height, mostPx) {
  return Math.min(1, Math.max(mostPx / Math.max(width, height), mostPx / LONG / Math.min(width, height)));
}

function drawn(picture, [x, y, width, height], mostPx) {
  const scale = scaleOf(width, height, mostPx);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // where it is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, x, y, width, height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function middle(width, height) {
  const longest = Math.min(width, height) * SHOWN_RATIO;
  const [w, h] = [Math.min(width, longest), Math.min(height, longest)];
  return [(width - w) / 2, (height - h) / 2, w, h];
}

// The page of the result shows this until the server has a picture of its own (query.js).
function keepForResult() {
  try {
    const small = drawn(preview, middle(preview.naturalWidth, preview.naturalHeight), KEPT_PX);
    sessionStorage.setItem("picture", small.toDataURL("image/jpeg", 0.8));
  } catch {
    // no storage: the page shows a placeholder
  }
}

function only(...files) {
  const list = new DataTransfer();
  for (const file of files) list.items.add(file);
  return list.files;
}

function show(file) {
  preview.src = URL.createObjectURL(file);
  sayThatItIsSent(file);
}

function sayThatItIsSent(file) {
  form.classList.add("is-sending");
  sending.textContent = named(say.sending, file.name);
  error.textContent = "";
}

function named(sentence, name) {
  return sentence.replace("{name}", () => name); // a name may hold what `replace` has another meaning for
}

// --- Sending ----------------------------------------------------------------------------------------------------

function send() {
  const request = new XMLHttpRequest(); // fetch does not say how much was sent
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.responseType = "json";
  request.upload.addEventListener("progress", showProgress);
  request.addEventListener("load", () => answered(request));
  request.addEventListener("error", sayWhatIsLost);
  request.send(new FormData(form));
}

function showProgress(event) {
  if (!event.lengthComputable) return;
  progress.value = event.loaded / event.total;
  progress.textContent = `${Math.round(100 * progress.value)} %`;
  progress.hidden = event.loaded === event.total;
}

function answered({ status, response }) {
  if (response?.url) preview.decode().then(keepForResult, () => {}).then(() => location.assign(response.url));
  else if (status === 403) form.submit(); // the cookie is gone: the page of the server says what to do
  else if (status === 429 || status >= 500) keepAndSay(response?.error?.message ?? say.busy); // of nginx's too
  else refuse(response?.error?.message ?? say.tooLarge); // nginx refuses nothing else
}

// The file may have changed since it was chosen: that breaks a request, too.
async function sayWhatIsLost() {
  const unread = await unreadable(input.files);
  if (unread.length) refuse(named(say.unread, unread.join(", ")));
  else keepAndSay(say.lost);
}

// The picture stays in the form, whose button sends it once more.
function keepAndSay(sentence) {
  form.classList.remove("is-sending");
  sending.textContent = "";
  progress.hidden = true;
  error.textContent = sentence;
}

function refuse(sentence) {
  reset();
  error.textContent = sentence;
  form.scrollIntoView({ block: "nearest" });
}

function reset() {
  form.classList.remove("is-sending");
  form.reset();
  URL.revokeObjectURL(preview.src);
  preview.hidden = progress.hidden = true;
  sending.textContent = error.textContent = "";
  closeChoice();
}

// --- Events -----------------------------------------------------------------------------------------------------

function setDragging(isDragging) {
  document.documentElement.classList.toggle("is-dragging", isDragging);
}

function isField(element) {
  return element instanceof HTMLTextAreaElement || element instanceof HTMLInputElement && element.type !== "file";
}

// A phone's camera, beside its pictures; a computer would offer the same dialog once more.
if (matchMedia("(hover: none) and (pointer: coarse)").matches) camera.hidden = false;
camera.addEventListener("click", () => {
  const photograph = Object.assign(document.createElement("input"), { type: "file", accept: "image/*" });
  photograph.setAttribute("capture", "environment"); // no property of browsers without a camera
  photograph.addEventListener("change", () => offer([...photograph.files]));
  photograph.click();
});
input.addEventListener("change", () => input.files.length && offer([...input.files]));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  sayThatItIsSent(input.files[0]);
  send();
});
choice.querySelector(".cancel").addEventListener("click", closeChoice);
// Shown only once it can be: browsers cannot draw every format that the server reads.
preview.addEventListener("load", () => {
  preview.hidden = false;
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) offer([...event.clipboardData.files]);
  else if (!isField(event.target)) takeText(event.clipboardData.getData("text"));
});
// Whatever is dropped: the browser would leave the page for a link or a folder.
document.addEventListener("dragover", (event) => {
  if (isField(event.target)) return;
  event.preventDefault();
  setDragging(true);
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) setDragging(false);
});
document.addEventListener("drop", (event) => {
  setDragging(false);
  if (isField(event.target)) return;
  event.preventDefault();
  takeDrop(event.dataTransfer);
});
// A page that comes back by the Back button is as it was left: sending.
window.addEventListener("pageshow", (event) => event.persisted && reset());
