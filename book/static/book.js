// What the theme leaves open for readers who use a keyboard or a screen reader.
(() => {
  const wide = "pre, div.math, mjx-container, .table-wrapper, .pst-scrollable-table-container, .output";
  const mark = () => {
    for (const element of document.querySelectorAll(wide)) {
      if (element.scrollWidth > element.clientWidth + 1) element.tabIndex = 0;
      else if (element.tabIndex === 0) element.removeAttribute("tabindex");
    }
  };
  // The button has a name of its own; its three icons would each add one.
  const silence = (button) => {
    for (const icon of button.querySelectorAll("svg")) {
      icon.querySelector("title")?.remove();
      for (const name of ["role", "aria-labelledby"]) icon.removeAttribute(name);
      icon.setAttribute("aria-hidden", "true");
    }
  };
  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll(".theme-switch-button")) {
      // Font Awesome draws the icons when it finds the time: on a slow machine after the page.
      new MutationObserver(() => silence(button)).observe(button, { childList: true });
      silence(button);
    }
  });
  window.addEventListener("load", () => {
    // This one's name lacks the keys that it shows.
    document.querySelector(".search-button-field")?.removeAttribute("aria-label");
    for (const table of document.querySelectorAll("main table")) {
      if (table.closest(".pst-scrollable-table-container")) continue;
      const wrapper = document.createElement("div");
      wrapper.className = "table-wrapper";
      table.replaceWith(wrapper);
      wrapper.append(table);
    }
    mark();
    setTimeout(mark, 500); // when formulas stand
  });
  window.addEventListener("resize", mark);
})();
