// The map of the gallery on a canvas: a dot for each picture in the colour of its label, and thumbnails in tiles, of
// which there are more the closer one looks. Only the thumbnails that are seen are fetched.

const TILE = 32;            // CSS pixels of a thumbnail at least; twice as many before the next level has smaller ones
const AT_ONCE = 8;          // thumbnails that are fetched together
const KEPT = 1200;          // thumbnails in memory, 40 kB each
const THUMBNAIL = 112;      // pixels of one that is kept
const CLICK = 5;            // pixels that a click may move
const EVERYBODY = "00000000-0000-0000-0000-000000000000";
const FEWER = 0.18;         // opacity of what is not lit up
const LEGEND = 60;          // labels that are listed

const root = document.getElementById("map");
if (root) start(root);

async function start(root) {
  const response = await fetch(root.dataset.points, { headers: { Accept: "application/json" } });
  if (!response.ok) return;
  const map = new GalleryMap(root, await response.json());
  map.legend(document.querySelector(".legend"));
  const query = new URLSearchParams(location.search).get("query");
  if (query) await map.lightMatches(query, document.getElementById("lit"));
}

function hyphenated(id) {
  return id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function colour(number, label) {
  return label ? `hsl(${Math.round(number * 137.508) % 360} 62% 50%)` : "hsl(0 0% 55%)";
}

class GalleryMap {
  constructor(root, { labels, points }) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.hover = root.querySelector(".hover");
    this.labels = labels;
    this.points = points;    // by label: [id, x, y, label]
    this.xs = Float32Array.from(points, (point) => point[1]);
    this.ys = Float32Array.from(points, (point) => point[2]);
    this.order = shuffled(points.length);    // which of several pictures in a tile is shown; the same at every level
    this.lit = null;         // the places of the points that are lit up
    this.levels = new Map();
    this.thumbnails = new Map();
    this.wanted = [];
    this.fetching = 0;
    this.pointers = new Map();
    this.isDirty = false;
    new ResizeObserver(() => this.resize()).observe(root);
    this.listen();
  }

  // --- The visible part: x of the screen = left + scale * x of the map -------------------------------------------

  resize() {
    const ratio = Math.min(2, devicePixelRatio);
    const { width, height } = this.root.getBoundingClientRect();
    [this.width, this.height, this.ratio] = [width, height, ratio];
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    if (!this.scale) this.showAll();
    this.draw();
  }

  show(minX, minY, maxX, maxY) {
    const room = Math.max(40, Math.min(this.width, this.height) - TILE * 3);
    this.scale = Math.min(room / Math.max(maxX - minX, maxY - minY, 1e-4), this.most());
    this.left = this.width / 2 - this.scale * (minX + maxX) / 2;
    this.top = this.height / 2 - this.scale * (minY + maxY) / 2;
    this.draw();
  }

  showAll() {
    this.show(0, 0, 1, 1);
  }

  most() {
    return TILE * 40 * Math.sqrt(this.points.length + 100);
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.max(Math.min(this.width, this.height) / 3, Math.min(this.most(), this.scale * factor));
    this.left = x - (x - this.left) * scale / this.scale;
    this.top = y - (y - this.top) * scale / this.scale;
    this.scale = scale;
    this.draw();
  }

  move(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.draw();
  }

  // --- Drawing ---------------------------------------------------------------------------------------------------

  draw() {
    if (this.isDirty) return;
    this.isDirty = true;
    requestAnimationFrame(() => {
      this.isDirty = false;
      this.paint();
    });
  }

  paint() {
    const context = this.context;
    const style = getComputedStyle(this.root);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = style.backgroundColor;
    context.fillRect(0, 0, this.width, this.height);
    this.paintDots();
    this.wanted = [];
    this.seen = [];
    context.globalAlpha = this.lit ? FEWER : 1;
    this.paintTiles();
    context.globalAlpha = 1;
    if (this.lit) this.paintLit(style.color);
    this.fetchThumbnails();
  }

  paintDots() {
    const { context, xs, ys, scale, left, top, width, height, points, lit } = this;
    const size = Math.max(2, Math.min(7, scale / 220));
    let label = -1;
    context.globalAlpha = lit ? FEWER : 1;
    for (let place = 0; place < points.length; place++) {
      const x = left + scale * xs[place], y = top + scale * ys[place];
      if (x < -size || y < -size || x > width || y > height) continue;
      if (points[place][3] !== label) {
        label = points[place][3];
        context.fillStyle = colour(label, this.labels[label]);
      }
      context.fillRect(x - size / 2, y - size / 2, size, size);
    }
    context.globalAlpha = 1;
  }

  // The tiles of the level whose tiles are TILE to 2 * TILE pixels large; each shows the first picture in it.
  level() {
    const level = Math.floor(Math.log2(this.scale / TILE));
    if (!this.levels.has(level)) {
      const cells = 2 ** level, tiles = new Map();
      for (const place of this.order) {
        const cell = (value) => Math.floor(Math.min(value, 1 - 1e-9) * cells);
        const key = cell(this.ys[place]) * 2 ** 24 + cell(this.xs[place]);
        if (!tiles.has(key)) tiles.set(key, place);
      }
      this.levels.set(level, { cells, tiles });
    }
    return this.levels.get(level);
  }

  paintTiles() {
    const { cells, tiles } = this.level();
    const size = this.scale / cells;
    const first = (start) => Math.floor(-start / size);
    for (let row = first(this.top); row * size + this.top < this.height; row++) {
      for (let column = first(this.left); column * size + this.left < this.width; column++) {
        const place = tiles.get(row * 2 ** 24 + column);
        if (place !== undefined) this.paintThumbnail(place, this.left + column * size, this.top + row * size, size);
      }
    }
  }

  paintLit(line) {
    this.context.lineWidth = 3;
    for (const place of this.lit) {
      const x = this.left + this.scale * this.xs[place], y = this.top + this.scale * this.ys[place];
      if (x < -TILE || y < -TILE || x > this.width + TILE || y > this.height + TILE) continue;
      if (this.lit.length > 200) {
        this.context.fillStyle = colour(this.points[place][3], this.labels[this.points[place][3]]);
        this.context.fillRect(x - 4, y - 4, 8, 8);
        continue;
      }
      this.paintThumbnail(place, x - TILE / 2, y - TILE / 2, TILE);
      this.context.strokeStyle = line;
      this.context.strokeRect(x - TILE / 2 + 1, y - TILE / 2 + 1, TILE - 4, TILE - 4);
    }
  }

  paintThumbnail(place, x, y, size) {
    const picture = this.thumbnails.get(place);
    this.seen.push([place, x, y, size]);
    if (picture === undefined) {
      this.wanted.push(place);
      return;
    }
    if (!picture) return;
    const { context } = this;
    context.fillStyle = colour(this.points[place][3], this.labels[this.points[place][3]]);
    context.fillRect(x + 1, y + 1, size - 2, size - 2);
    context.drawImage(picture, x + 3, y + 3, size - 6, size - 6);
  }

  // --- Thumbnails ------------------------------------------------------------------------------------------------

  fetchThumbnails() {
    while (this.fetching < AT_ONCE && this.wanted.length) {
      const place = this.wanted.shift();
      if (!this.thumbnails.has(place)) this.fetchThumbnail(place);
    }
  }

  async fetchThumbnail(place) {
    this.fetching++;
    this.thumbnails.set(place, null);
    try {
      const image = new Image();
      image.src = this.root.dataset.thumbnail.replace(EVERYBODY, hyphenated(this.points[place][0]));
      await image.decode();
      this.thumbnails.set(place, square(image));
      if (this.thumbnails.size > KEPT) this.forget();
    } catch { /* hidden or deleted since */ }
    this.fetching--;
    this.draw();
  }

  forget() {
    const seen = new Set(this.seen.map(([place]) => place));
    for (const place of this.thumbnails.keys()) {
      if (this.thumbnails.size <= KEPT * 0.8) return;
      if (!seen.has(place)) this.thumbnails.delete(place);
    }
  }

  // --- Input -----------------------------------------------------------------------------------------------------

  listen() {
    const { canvas } = this;
    const at = (event) => [event.offsetX, event.offsetY];
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
      this.moved = this.pointers.size > 1 ? Infinity : 0;
    });
    canvas.addEventListener("pointermove", (event) => this.drag(event.pointerId, ...at(event)));
    canvas.addEventListener("pointerup", (event) => {
      if (this.pointers.delete(event.pointerId) && this.moved < CLICK) this.open(...at(event));
    });
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.press(event));
    const zooms = { in: () => this.zoom(1.6), out: () => this.zoom(1 / 1.6), all: () => this.showAll() };
    this.root.querySelectorAll("[data-zoom]").forEach((button) => {
      button.addEventListener("click", zooms[button.dataset.zoom]);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  drag(pointer, x, y) {
    const before = this.pointers.get(pointer);
    if (!before) {
      this.point(x, y);
      return;
    }
    const [other] = [...this.pointers].filter(([id]) => id !== pointer).map(([, place]) => place);
    if (other) {
      const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
      this.zoom(apart([x, y]) / apart(before), other[0], other[1]);
    } else {
      this.moved += Math.hypot(x - before[0], y - before[1]);
      this.move(x - before[0], y - before[1]);
    }
    this.pointers.set(pointer, [x, y]);
  }

  press(event) {
    const moves = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] };
    if (moves[event.key]) this.move(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.6);
    else if (event.key === "-") this.zoom(1 / 1.6);
    else return;
    event.preventDefault();
  }

  // The picture at a place of the screen: the thumbnail drawn last, or else the nearest dot.
  at(x, y) {
    const tile = (this.seen ?? []).findLast(([place, left, top, size]) => (
      this.thumbnails.get(place) && x >= left && y >= top && x < left + size && y < top + size
    ));
    if (tile) return tile[0];
    let nearest, least = 10;
    for (let place = 0; place < this.points.length; place++) {
      const away = Math.hypot(this.left + this.scale * this.xs[place] - x, this.top + this.scale * this.ys[place] - y);
      if (away < least) [nearest, least] = [place, away];
    }
    return nearest;
  }

  point(x, y) {
    const place = this.at(x, y);
    this.canvas.style.cursor = place === undefined ? "" : "pointer";
    const label = place === undefined ? "" : this.labels[this.points[place][3]];
    this.hover.hidden = !label;
    this.hover.textContent = label.replaceAll("_", " ");
  }

  open(x, y) {
    const place = this.at(x, y);
    if (place !== undefined) location.href = this.root.dataset.image.replace(EVERYBODY, hyphenated(this.points[place][0]));
  }

  // --- Lighting up -----------------------------------------------------------------------------------------------

  light(places) {
    this.lit = places;
    this.draw();
  }

  legend(list) {
    const counts = new Map();
    for (const [, , , label] of this.points) counts.set(label, (counts.get(label) ?? 0) + 1);
    const often = [...counts].sort((a, b) => b[1] - a[1]).slice(0, LEGEND).filter(([label]) => this.labels[label]);
    for (const [label, count] of often) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.append(dot(colour(label, this.labels[label])), `${this.labels[label].replaceAll("_", " ")} ${count}`);
      button.addEventListener("click", () => this.pressLabel(list, button, label));
      const item = document.createElement("li");
      item.append(button);
      list.append(item);
    }
  }

  pressLabel(list, button, label) {
    const isOn = button.getAttribute("aria-pressed") === "false";
    list.querySelectorAll("button").forEach((one) => one.setAttribute("aria-pressed", "false"));
    button.setAttribute("aria-pressed", String(isOn));
    this.light(isOn ? [...this.points.keys()].filter((place) => this.points[place][3] === label) : null);
  }

  async lightMatches(query, status) {
    const response = await fetch(`/api/queries/${encodeURIComponent(query)}`);
    if (!response.ok) return;
    const { matches = [] } = await response.json();
    const wanted = new Set((matches ?? []).map((match) => match.image.id.replaceAll("-", "")));
    const places = [...this.points.keys()].filter((place) => wanted.has(this.points[place][0]));
    status.textContent = status.dataset.text.replace("0", places.length);
    if (!places.length) return;
    const xs = places.map((place) => this.xs[place]), ys = places.map((place) => this.ys[place]);
    this.light(places);
    this.show(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
  }
}

// The middle of a picture, as large as a tile gets: to scale it in every frame would cost more than to draw it.
function square(image) {
  const canvas = new OffscreenCanvas(THUMBNAIL, THUMBNAIL);
  const side = Math.min(image.naturalWidth, image.naturalHeight);
  const [left, top] = [(image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2];
  canvas.getContext("2d").drawImage(image, left, top, side, side, 0, 0, THUMBNAIL, THUMBNAIL);
  return canvas.transferToImageBitmap();
}

// A fixed order that is the same in every visit.
function shuffled(count) {
  const places = Uint32Array.from({ length: count }, (_, place) => place);
  let state = 22;
  for (let last = count - 1; last > 0; last--) {
    state = (state * 1664525 + 1013904223) >>> 0;
    const other = state % (last + 1);
    [places[last], places[other]] = [places[other], places[last]];
  }
  return places;
}

function dot(fill) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 10 10");
  svg.setAttribute("aria-hidden", "true");
  const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  for (const [name, value] of [["cx", 5], ["cy", 5], ["r", 5], ["fill", fill]]) circle.setAttribute(name, value);
  svg.append(circle);
  return svg;
}
