// The last searches of this browser: kept in its local storage by the page of a result, shown on the home page. The
// thumbnails are links to the server's pictures, so that a deleted search leaves nothing but its link.

const KEY = "simsearch:recent", MOST = 12;

function kept() {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(list) ? list.filter(({ link, picture }) => isOurs(link) && isOurs(picture)) : [];
  } catch {
    return []; // no storage, or another program's
  }
}

function isOurs(address) {
  return typeof address === "string" && address.startsWith("/") && new URL(address, location.href).origin === location.origin;
}

function keep(list) {
  try {
    if (list.length) localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST)));
    else localStorage.removeItem(KEY);
  } catch {
    // no storage: there is no list
  }
}

const without = (link) => kept().filter((search) => search.link !== link);

// --- The page of a result ---------------------------------------------------------------------------------------

function add() {
  const picture = document.querySelector(".answer[data-state=done]") && document.querySelector("#picture a img");
  if (!picture) return;
  const link = location.pathname; // one entry for a search, however much of it is shown
  keep([{ link, picture: picture.getAttribute("src"), title: document.title.replace(/ · [^·]*$/, "") }, ...without(link)]);
}

const deletion = document.querySelector(".withdraw form");
if (deletion) { // else it is somebody else's search
  deletion.addEventListener("submit", () => keep(without(location.pathname)));
  document.addEventListener("htmx:afterSettle", add);
  add();
}

// --- The home page ----------------------------------------------------------------------------------------------

const section = document.querySelector(".recent");

function shown({ link, picture, title }) {
  const item = document.createElement("li"), anchor = document.createElement("a"), image = document.createElement("img");
  anchor.href = link;
  anchor.title = image.alt = title;
  image.addEventListener("error", () => { // expired
    keep(without(link));
    item.remove();
    section.hidden = !section.querySelector("li");
  });
  image.src = picture;
  anchor.append(image);
  item.append(anchor);
  return item;
}

function show() {
  const searches = kept();
  section.querySelector("ul").replaceChildren(...searches.map(shown));
  section.hidden = !searches.length;
}

if (section) {
  section.querySelector("button").addEventListener("click", () => {
    keep([]);
    show();
    document.querySelector("form.drop input[type=file]").focus();
  });
  window.addEventListener("pageshow", show);
}
