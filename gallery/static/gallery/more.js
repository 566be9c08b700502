// "Show more" appends the next matches. Without this the link leads to the page that has them.

const announcement = document.getElementById("announcement");

function append(page, address) {
  const list = document.querySelector(".answer .cards");
  const added = [...page.querySelectorAll(".answer .card")].filter((card) => !document.getElementById(card.id));
  list.append(...added);
  document.querySelector(".further").replaceWith(...page.querySelectorAll(".further"));
  const heading = document.getElementById("answer-title");
  heading.textContent = announcement.textContent = page.getElementById("answer-title").textContent;
  document.title = page.title;
  history.replaceState(null, "", address);
  added[0]?.querySelector("a").focus();
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("#show-more");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const address = link.href.replace(/#.*/, "");
  try {
    const response = await fetch(address);
    if (response.ok) append(new DOMParser().parseFromString(await response.text(), "text/html"), address);
    else location.assign(link.href); // a page that says what is wrong
  } catch {
    document.dispatchEvent(new Event("lost"));
  }
});
