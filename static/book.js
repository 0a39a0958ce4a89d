// An equation that is wider than the page scrolls inside itself. This makes it a stop of the Tab key, as long as it does.
function reach() {
  for (const box of document.querySelectorAll('mjx-container[display="true"]')) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

addEventListener("resize", reach);
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  reach();
});

// What the theme's buttons do, which it would write into the page as inline handlers.
const acts = { print: () => print(), fullscreen: () => toggleFullScreen() };
addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-click]")) {
    button.addEventListener("click", acts[button.dataset.click]);
  }
});

// A page on the disk may not read others, so the search there lists titles without the text around what was found.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
