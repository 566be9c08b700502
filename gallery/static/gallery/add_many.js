// Adds many pictures: each file is a request of its own, so what is here stays here when the page is closed. Archives
// are sent in parts, and an interrupted upload continues where it ended.
"use strict";

const form = document.getElementById("add-many");
const AT_ONCE = 3, TRIES = 6, PAUSE_MS = 1000, LISTED = 500;
const queue = [], counts = { added: 0, known: 0, refused: 0 };
let total = 0, done = 0, running = 0;

function label(path) {
  const folder = path.split("/").slice(-2, -1)[0];
  return form.elements.folders.checked && folder ? folder : form.elements.label.value;
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// Tries again when the server is busy or unreachable, not when it refuses.
async function post(address, body) {
  for (let attempt = 1; ; attempt++) {
    try {
      const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value, Accept: "application/json" };
      const response = await fetch(address, { method: "POST", body, headers, redirect: "error" });
      if (![429, 502, 503, 504].includes(response.status)) return response;
    } catch (error) {
      if (attempt >= TRIES) return null;
    }
    if (attempt >= TRIES) return null;
    await sleep(PAUSE_MS * attempt);
  }
}

async function reasonOf(response) {
  if (response === null) return form.dataset.lost;
  try {
    return (await response.json()).error.message;
  } catch (error) {
    return response.status === 413 ? form.dataset.tooLarge : `${response.status} ${response.statusText}`;
  }
}

function refuse(name, reason) {
  counts.refused++;
  const list = document.getElementById("refused");
  if (list.children.length >= LISTED) return;
  const item = document.createElement("li"), strong = document.createElement("b");
  strong.textContent = name;
  item.append(strong, `: ${reason}`);
  list.append(item);
}

async function sendFile({ file, path }) {
  if (file.size > Number(form.dataset.most)) return refuse(path, form.dataset.tooLarge);
  const body = new FormData();
  body.append("file", file, file.name);
  body.append("name", file.name);  // in the part of the file browsers write quotation marks as %22
  body.append("label", label(path));
  const response = await post(form.dataset.file, body);
  if (response && response.ok) counts[(await response.json()).result]++;
  else refuse(path, await reasonOf(response));
}

async function sendZip({ file, path }) {
  const body = new FormData();
  body.append("name", file.name);
  body.append("size", file.size);
  body.append("label", form.elements.label.value);
  if (form.elements.folders.checked) body.append("folders", "1");
  let response = await post(form.dataset.zip, body);
  if (!response || !response.ok) return refuse(path, await reasonOf(response));
  let { url, received } = await response.json();
  while (received < file.size) {
    show(`${path} ${Math.floor((100 * received) / file.size)} %`);
    const part = file.slice(received, received + Number(form.dataset.part));
    response = await post(`${url}?offset=${received}`, part);
    if (!response || (!response.ok && response.status !== 409)) return refuse(path, await reasonOf(response));
    received = (await response.json()).received;
  }
}

function show(text) {
  const place = document.getElementById("progress"), bar = place.querySelector("progress");
  place.hidden = false;
  bar.max = total;
  bar.value = done;
  place.querySelector("span").textContent = text || `${done} ${form.dataset.of} ${total}`;
  const { added, known, refused } = counts;
  document.getElementById("counts").textContent =
    `${form.dataset.leave}: ${added} · ${form.dataset.known}: ${known} · ${form.dataset.refused}: ${refused}` +
    (running || queue.length ? "" : `. ${form.dataset.done}`);
}

async function work() {
  running++;
  for (let one = queue.shift(); one; one = queue.shift()) {
    try {
      await (/\.zip$/i.test(one.file.name) ? sendZip(one) : sendFile(one));
    } catch (error) {  // a file that cannot be read any more
      refuse(one.path, String(error));
    }
    done++;
    show();
  }
  running--;
  if (!running) {
    show();
    htmx.ajax("GET", form.dataset.state, { target: "#added", swap: "outerHTML" });
  }
}

// Files of file systems and photo programs: the same patterns as in `import_images`.
const SYSTEM_FOLDERS = form.dataset.skip.split("|").map(
  (pattern) => new RegExp(`^${pattern.replace(/[.+$#@]/g, "\\$&").replaceAll("*", ".*")}$`, "i"));

function isLeftOut(path) {
  const parts = path.split("/");
  if (parts.some((part) => part.startsWith("."))) return true;
  return parts.slice(0, -1).some((part) => SYSTEM_FOLDERS.some((pattern) => pattern.test(part)));
}

function add(files) {
  for (const one of files) if (!isLeftOut(one.path)) queue.push(one), total++;
  show();
  while (running < AT_ONCE && running < queue.length + running) {
    if (!queue.length) break;
    work();
  }
}

async function* entries(entry) {
  if (entry.isFile) {
    yield { file: await new Promise((found, lost) => entry.file(found, lost)), path: entry.fullPath.slice(1) };
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((found, lost) => reader.readEntries(found, lost));  // a hundred at a time
    if (!some.length) return;
    for (const inner of some) yield* entries(inner);
  }
}

for (const id of ["files", "folder"]) {
  const field = document.getElementById(id);
  field.addEventListener("change", () => {
    add([...field.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
    field.value = "";
  });
}

const zone = form.querySelector(".drop");
for (const name of ["dragover", "dragenter"]) {
  zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
}
zone.addEventListener("dragleave", () => zone.classList.remove("over"));
zone.addEventListener("drop", async (event) => {
  event.preventDefault();
  zone.classList.remove("over");
  const roots = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  for (const root of roots) for await (const one of entries(root)) add([one]);
});
form.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
