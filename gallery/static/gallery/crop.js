// Searches again with a part of the picture: a frame that mouse, touch and keys move; letting go searches.
// The frame is cropperjs's, which is loaded when it is wanted.

const start = document.getElementById("crop");
const form = document.getElementById("crop-form");
const section = document.querySelector(".asked");
const FIRST = [0.15, 0.15, 0.7, 0.7]; // x, y, width, height of the first frame, as fractions
const LEAST = 0.03, WHOLE = 0.98;
const EDGES = ["n", "e", "s", "w", "ne", "nw", "se", "sw"];
let canvas = null, selection = null;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

async function begin() {
  const picture = document.querySelector("#picture .picture");
  if (!picture?.querySelector("a img") || canvas) return;
  await import(form.dataset.cropper);
  section.classList.add("is-cropping");
  start.hidden = true;
  form.hidden = false;
  canvas = frame();
  picture.append(canvas);
  // The elements of the frame find their canvas in a microtask; only then can they be placed.
  requestAnimationFrame(() => {
    const [x, y, width, height] = form.dataset.crop ? form.dataset.crop.split(",").map(Number) : FIRST;
    const { offsetWidth, offsetHeight } = canvas;
    selection.$change(x * offsetWidth, y * offsetHeight, width * offsetWidth, height * offsetHeight);
    form.querySelector("button").focus();
  });
}

function frame() {
  const handles = EDGES.map((edge) => element("cropper-handle", { action: `${edge}-resize`, "theme-color": "rgb(255 255 255 / 80%)" }));
  selection = element("cropper-selection", { movable: "", resizable: "", zoomable: "", keyboard: "", outlined: "" },
    element("cropper-handle", { action: "move", plain: "" }), ...handles);
  selection.addEventListener("change", keepInside);
  const made = element("cropper-canvas", {}, element("cropper-shade", { "theme-color": "rgb(0 0 0 / 55%)" }),
    element("cropper-handle", { action: "select", plain: "" }), selection);
  made.addEventListener("actionend", search);
  return made;
}

function keepInside(event) {
  const { x, y, width, height } = event.detail, { offsetWidth, offsetHeight } = canvas;
  const isInside = x >= 0 && y >= 0 && x + width <= offsetWidth + 0.5 && y + height <= offsetHeight + 0.5;
  if (!isInside) event.preventDefault();
}

function fractions() {
  const { offsetWidth, offsetHeight } = canvas;
  const x = selection.x / offsetWidth, y = selection.y / offsetHeight;
  return [x, y, Math.min(selection.width / offsetWidth, 1 - x), Math.min(selection.height / offsetHeight, 1 - y)];
}

function search() {
  const [x, y, width, height] = fractions();
  if (Math.min(width, height) < LEAST) return; // a click, not a frame
  form.elements.crop.value = width > WHOLE && height > WHOLE ? "" : [x, y, width, height].map((number) => number.toFixed(4)).join(",");
  form.submit();
}

function end() {
  canvas?.remove();
  canvas = selection = null;
  section.classList.remove("is-cropping");
  form.hidden = true;
  start.hidden = false;
  start.focus();
}

function offer() {
  const isReady = document.querySelector(".answer[data-state=done]") && document.querySelector("#picture a img");
  start.hidden = !isReady || Boolean(canvas);
}

start.addEventListener("click", begin);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
form.querySelector(".cancel").addEventListener("click", end);
document.addEventListener("keydown", (event) => event.key === "Escape" && canvas && end());
document.addEventListener("htmx:oobAfterSwap", offer);
document.addEventListener("htmx:afterSwap", offer);
offer();
