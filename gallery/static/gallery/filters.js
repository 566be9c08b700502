// Filters change the result without a page load. Without this each chip is a link, and the dates are a form.

const announcement = document.getElementById("announcement");

async function show(address, focused) {
  const response = await fetch(address);
  if (!response.ok) {
    location.assign(address); // a page that says what is wrong
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  document.querySelector(".answer").replaceWith(page.querySelector(".answer"));
  document.title = page.title;
  announcement.textContent = document.getElementById("answer-title").textContent;
  const filters = [...document.querySelectorAll("#filters [data-filter]")];
  (filters.find((chip) => chip.dataset.filter === focused) ?? filters[0])?.focus();
}

async function follow(address, focused) {
  try {
    await show(address, focused);
    history.pushState({ filters: true }, "", address);
  } catch {
    document.dispatchEvent(new Event("lost"));
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("#filters a");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  follow(link.href, link.dataset.filter);
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("#filters .dates")) return;
  event.preventDefault();
  const fields = [...new FormData(event.target)].filter(([, value]) => value);
  follow(`${event.target.action}?${new URLSearchParams(fields)}`, "");
});

window.addEventListener("popstate", () => {
  if (document.getElementById("filters")) show(location.href, "").catch(() => document.dispatchEvent(new Event("lost")));
});
