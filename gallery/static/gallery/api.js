// Swagger UI has a dark mode, but does not follow the system's setting.

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// It also skips a level of headings, and puts links into the buttons that open a call.
new MutationObserver(() => {
  for (const heading of document.querySelectorAll("h3.opblock-tag")) heading.setAttribute("aria-level", "2");
  for (const heading of document.querySelectorAll("h4")) heading.setAttribute("aria-level", heading.closest(".opblock") ? "3" : "2");
  for (const link of document.querySelectorAll("button.opblock-summary-control a")) link.removeAttribute("href");
}).observe(document, { childList: true, subtree: true });
