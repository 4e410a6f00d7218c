// Elements, sliders, and several controls as one stop of the Tab key.

let serial = 0;
export const unique = (name) => `ve-${name}-${++serial}-${Math.floor(Math.random() * 1e9)}`;

/** An element: attributes, "on…" listeners, children (null ones are left out). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}
export const button = (label, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, label);
export const section = (title, open, ...children) =>
  h("details", { class: "ve-section", open }, h("summary", {}, title), ...children);

export const paint = (canvas, frame) => {
  const size = Math.sqrt(frame.length / 4);
  if (canvas.width !== size) Object.assign(canvas, { width: size, height: size });
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(frame), size, size), 0, 0);
};

const SVG = `<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6">`;
export const PADLOCK = `${SVG}<rect x="3" y="7" width="10" height="7" rx="1.5"/><path class="ve-shut" d="M5 7V5a3 3 0 0 1 6 0v2"/><path class="ve-open" d="M5 7V4.5a3 3 0 0 1 5.7-1.2"/></svg>`;

const ICONS = {
  undo: `<path d="M6 3 2.5 6.5 6 10M3 6.5h7a3.5 3.5 0 0 1 0 7H7"/>`,
  redo: `<path d="m10 3 3.5 3.5L10 10M13 6.5H6a3.5 3.5 0 0 0 0 7h3"/>`,
  reset: `<path d="M4 2.5v4h4M4.3 6.2a5 5 0 1 1-1 4.3"/>`,
  play: `<path fill="currentColor" d="M4.5 3v10l8-5z"/>`,
  stop: `<path fill="currentColor" d="M4 4h8v8H4z"/>`,
  dice: `<rect x="2" y="2" width="12" height="12" rx="2.5"/><path stroke-linecap="round" stroke-width="2.2" d="M5.3 5.3h0M10.7 5.3h0M8 8h0M5.3 10.7h0M10.7 10.7h0"/>`,
};

/** A button with a picture, and beside it a word where there is room. */
export function iconButton(icon, word, onclick, attributes = {}) {
  const made = button("", onclick, { class: "ve-icon", ...attributes });
  made.tell = (icon, word) => {
    made.innerHTML = `${SVG}${ICONS[icon]}</svg>`;
    made.append(h("span", { class: "ve-word" }, word));
    made.setAttribute("aria-label", word);
  };
  made.tell(icon, word);
  return made;
}

/**
 * A slider with its name, its value and a button that recentres it: one stop of the Tab key. The
 * buttons are for the mouse; from the slider, keys do the same: 0, and L for the lock.
 */
export function ownSlider({ label, note, about, low, high, step = 1, shown, input, reset, lock }) {
  const id = unique("slider");
  const output = h("output", { class: "ve-value", for: id });
  const range = h("input", {
    id, type: "range", min: low, max: high, step, "aria-label": label, "aria-description": about,
    "aria-keyshortcuts": [reset && "0", lock && "L"].filter(Boolean).join(" ") || null,
    oninput: () => input(Number(range.value)),
  });
  const name = h("span", {}, label);
  const small = note ? h("small", {}, note) : null;
  const zero = reset ? button("", reset, { class: "ve-zero", tabindex: -1, title: "Back to 0 (key 0)", "aria-label": `${label}: back to 0` }) : null;
  if (zero) zero.innerHTML = `${SVG}${ICONS.reset}</svg>`;
  if (lock) lock.tabIndex = -1;
  const row = h("div", { class: "ve-row" }, h("label", { class: "ve-name", for: id, title: about }, name, small), h("div", { class: "ve-track" }, range), output, zero, lock ?? null);
  row.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const act = { 0: reset, l: lock && (() => lock.click()) }[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
  let last;
  const show = (value, state = "") => {
    // The browser rounds what it is given to a step: only another value is worth telling it.
    if (value !== last || document.activeElement === range) range.value = last = value;
    const text = shown(value);
    const told = state ? `${text}, ${state}` : text;
    if (output.textContent !== text) output.textContent = text;
    if (range.getAttribute("aria-valuetext") !== told) range.setAttribute("aria-valuetext", told);
  };
  const stretch = (reach) => {
    if (Number(range.max) !== reach) Object.assign(range, { min: -reach, max: reach });
  };
  return { row, show, stretch, range, input, shown, name, small, zero };
}

export const isTyping = (target) => target.isContentEditable || (target.matches("input, textarea, select") && target.type !== "range" && target.type !== "radio" && target.type !== "checkbox");

/** Several controls as one stop of the Tab key: arrows lead from one to the next. */
export function oneStop(box, selector) {
  const items = () => [...box.querySelectorAll(selector)];
  const enter = (item) => {
    for (const other of items()) other.tabIndex = other === item ? 0 : -1;
  };
  const below = (all, from, sign) => {
    const place = from.getBoundingClientRect();
    const beyond = all.filter((item) => sign * (item.getBoundingClientRect().top - place.top) > place.height / 2);
    const distance = (item) => {
      const { left, top } = item.getBoundingClientRect();
      return Math.abs(left - place.left) + 1e3 * Math.abs(top - place.top);
    };
    return beyond.reduce((best, item) => (!best || distance(item) < distance(best) ? item : best), null);
  };
  box.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = {
      ArrowRight: () => all[at + 1], ArrowLeft: () => all[at - 1], Home: () => all[0], End: () => all.at(-1),
      ArrowDown: () => below(all, all[at], 1), ArrowUp: () => below(all, all[at], -1),
    }[event.key]?.();
    if (!to) return;
    event.preventDefault();
    enter(to);
    to.focus();
  });
  return enter;
}
