// The frame on the picture that is searched with: letting go of it searches for that part. cropperjs moves the frame.

const LEAST_PX = 16, STEP = 0.02, SETTLED_MS = 1200, DIGITS = 4;
const LONGEST_RATIO = 4; // a longer picture is shown by its middle alone, so a frame would be somewhere else
const FRAMED = "simsearch:framed"; // of the session: the keyboard stays on the frame when the result has come
const HANDLES = ["n", "e", "s", "w", "ne", "nw", "se", "sw"].map((side) => `<cropper-handle action="${side}-resize" theme-color="#63cabb"></cropper-handle>`);
const isWide = matchMedia("(min-width: 56rem)");
const isTouched = matchMedia("(hover: none) and (pointer: coarse)"); // there a swipe over the picture would draw a frame
const button = document.getElementById("frame-button"), hint = document.getElementById("frame-hint");
const closed = button.textContent;
let canvas = null, selection = null, start = "", timer = 0;

// --- The frame as numbers ---------------------------------------------------------------------------------------

function part() {
  const { offsetWidth: width, offsetHeight: height } = canvas;
  const numbers = [selection.x / width, selection.y / height, selection.width / width, selection.height / height];
  // Cut off, so that no sum is above 1; the millionth is for what dividing and multiplying lose.
  return numbers.map((number) => Math.floor((number + 1e-6) * 10 ** DIGITS) / 10 ** DIGITS).join(",");
}

function place(text) {
  const [x, y, w, h] = (text || "0,0,1,1").split(",").map(Number);
  const { offsetWidth: width, offsetHeight: height } = canvas;
  selection.$change(x * width, y * height, w * width, h * height);
}

// Moved over the edge it stops there; drawn over the edge it is cut off there.
function keepInside(event) {
  const { x, y, width, height } = event.detail, most = { x: canvas.offsetWidth, y: canvas.offsetHeight };
  const isMoved = Math.abs(width - selection.width) < 1 && Math.abs(height - selection.height) < 1;
  const [left, w] = isMoved ? moved(x, width, most.x) : cut(x, width, most.x);
  const [top, h] = isMoved ? moved(y, height, most.y) : cut(y, height, most.y);
  if (left === x && top === y && w === width && h === height) return;
  event.preventDefault();
  selection.$change(left, top, w, h);
}

function moved(from, length, most) {
  const kept = Math.min(length, most);
  return [Math.min(Math.max(0, from), most - kept), kept];
}

function cut(from, length, most) {
  const first = Math.min(Math.max(0, from), most);
  return [first, Math.min(from + length, most) - first];
}

// --- Searching --------------------------------------------------------------------------------------------------

function search() {
  clearTimeout(timer);
  const wanted = part();
  if (wanted === start) return;
  if (Math.min(selection.width, selection.height) < LEAST_PX) {
    place(start);
    return;
  }
  const field = document.getElementById("frame-part");
  field.disabled = false;
  field.value = wanted;
  field.form.requestSubmit();
}

function takeKey(event) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "Enter") search();
  if (!steps) return;
  event.preventDefault();
  const [x, y] = [steps[0] * STEP * canvas.offsetWidth, steps[1] * STEP * canvas.offsetHeight];
  if (!event.shiftKey) selection.$move(x, y);
  else selection.$change(selection.x, selection.y, Math.max(LEAST_PX, selection.width + x), Math.max(LEAST_PX, selection.height + y));
  sessionStorage.setItem(FRAMED, "1");
  clearTimeout(timer);
  timer = setTimeout(search, SETTLED_MS);
}

// --- On the page ------------------------------------------------------------------------------------------------

async function show() {
  const picture = document.querySelector("#picture .picture[data-crop]"), image = picture?.querySelector("img");
  if (!image || canvas?.isConnected) return;
  await Promise.all([import(button.dataset.cropper), image.decode()]);
  const ratio = image.naturalWidth / image.naturalHeight;
  if (canvas?.isConnected || !picture.isConnected || Math.max(ratio, 1 / ratio) > LONGEST_RATIO) return;
  picture.querySelector(".crop")?.remove();
  picture.append(framed(picture.dataset.crop));
  hint.hidden = false;
  selection = canvas.querySelector("cropper-selection");
  start = picture.dataset.crop || "0,0,1,1";
  place(start);
  canvas.addEventListener("change", keepInside);
  canvas.addEventListener("actionend", search);
  canvas.addEventListener("keydown", takeKey);
  canvas.addEventListener("click", () => part() === start && picture.querySelector("a").click()); // a click without a move
  if (sessionStorage.getItem(FRAMED)) canvas.focus({ preventScroll: true });
  sessionStorage.removeItem(FRAMED);
}

function framed(crop) {
  canvas = document.createElement("cropper-canvas");
  canvas.setAttribute("scale-step", "0");
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", button.dataset.label);
  canvas.tabIndex = 0;
  // Around the whole picture there is nowhere to move the frame, so that a new one is drawn.
  canvas.innerHTML = `<cropper-shade theme-color="rgb(0 0 0 / 55%)"></cropper-shade><cropper-handle action="select" plain></cropper-handle>
    <cropper-selection movable resizable precise><cropper-handle action="${crop ? "move" : "select"}" plain></cropper-handle>${HANDLES.join("")}</cropper-selection>`;
  return canvas;
}

function hide() {
  canvas?.remove();
  canvas = null;
  hint.hidden = true;
}

function update() {
  const canFrame = document.querySelector(".answer[data-state=done]") && document.querySelector("#picture .picture[data-crop]");
  const isShownAtOnce = isWide.matches && !isTouched.matches;
  button.hidden = !canFrame || isShownAtOnce;
  if (canFrame && (isShownAtOnce || button.getAttribute("aria-expanded") === "true")) show();
}

button.addEventListener("click", () => {
  const isOpen = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!isOpen));
  button.textContent = isOpen ? closed : button.dataset.close;
  if (isOpen) hide();
  update();
});
document.addEventListener("htmx:afterSettle", update);
for (const [target, name] of [[isWide, "change"], [isTouched, "change"], [window, "resize"]]) {
  target.addEventListener(name, () => {
    hide();
    update();
  });
}
update();
