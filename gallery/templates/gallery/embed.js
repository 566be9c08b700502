{% load i18n %}// Puts the search box after its own script element. The address of that element says where the site is.
(() => {
  const frame = document.createElement("iframe");
  frame.src = new URL("embed", document.currentScript.src).href;
  frame.title = "{% filter escapejs %}{% translate 'Search by picture' %}{% endfilter %}";
  frame.style.cssText = "border: 0; width: 100%; max-width: 28rem; height: 11rem";
  document.currentScript.after(frame);
})();
