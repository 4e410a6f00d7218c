// What the theme leaves open for readers with a keyboard, a screen reader, a phone or a printer.
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

  // A figure opens in its own size or larger, at the place that was chosen.
  const enlarge = (event) => {
    const link = event.target.closest("a.enlarge");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const small = [...link.querySelectorAll("img")].find((image) => image.clientWidth);
    const dialog = document.createElement("dialog");
    dialog.className = "large";
    dialog.ariaLabel = "Figure, enlarged";
    const scrolls = document.createElement("div");
    scrolls.tabIndex = 0;
    const image = small.cloneNode();
    const { naturalWidth: own, naturalHeight: high } = small;
    image.style.width = `${Math.max(own, Math.min(2 * own, innerWidth - 32))}px`;
    image.style.aspectRatio = own / high; // before it is decoded, too
    scrolls.append(image);
    const button = document.createElement("button");
    button.ariaLabel = "Close";
    button.textContent = "×";
    dialog.append(scrolls, button);
    dialog.addEventListener("click", () => dialog.close());
    // The theme keeps Escape for its search box; without this no dialog would hear of it.
    dialog.addEventListener("keydown", ({ key }) => key === "Escape" && dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    const box = small.getBoundingClientRect();
    const part = (at, start, size) => (event.detail ? (at - start) / size : 0);
    const [x, y] = [part(event.clientX, box.left, box.width), part(event.clientY, box.top, box.height)];
    scrolls.scrollTo(x * scrolls.scrollWidth - innerWidth / 2, y * scrolls.scrollHeight - innerHeight / 2);
  };
  document.addEventListener("click", enlarge);

  // Paper is light, and has no way to open what is folded. (The theme unfolds its own boxes.)
  let afterwards = [];
  window.addEventListener("beforeprint", () => {
    const { theme } = document.documentElement.dataset;
    document.documentElement.dataset.theme = "light";
    const folded = [...document.querySelectorAll(
      "main details:not([open], .toggle-details, .vae-explorer *)",
    )];
    for (const details of folded) details.open = true;
    afterwards.push(() => {
      document.documentElement.dataset.theme = theme;
      for (const details of folded) details.open = false;
    });
  });
  window.addEventListener("afterprint", () => {
    for (const undo of afterwards) undo();
    afterwards = [];
  });
})();
