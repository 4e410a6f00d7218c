// What the live figures share: drawing in SVG, sliders, choices, a drag, and one redraw per picture.

import { h, unique } from "../../explorer/browser/dom.mjs";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
export const set = (element, attributes) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
};

/** A line through points (x, y) of the drawing. */
export const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
/** From numbers to places: low → from, high → to. */
export const scale = (low, high, from, to) => Object.assign((value) => from + ((value - low) / (high - low)) * (to - from), { invert: (place) => low + ((place - from) / (to - from)) * (high - low) });

/** A horizontal axis with its numbers and its name. */
export function axis(at, y, ticks, name) {
  const marks = ticks.map((tick) => svg("text", { x: at(tick), y: y + 20, "text-anchor": "middle" }, String(tick).replace("-", "−")));
  const [first, last] = [at(ticks[0]), at(ticks.at(-1))];
  return svg("g", { class: "vl-axis" }, svg("path", { d: `M${first} ${y}H${last}` }), ...marks, svg("text", { x: last, y: y + 39, "text-anchor": "end" }, name));
}

/** A slider: a label, a range, what it stands at. `shown` writes the value for eyes and ears. */
export function slider({ label, low, high, step, shown, input }) {
  const id = unique("live");
  const output = h("output", { for: id });
  const range = h("input", { id, type: "range", min: low, max: high, step, oninput: () => input(Number(range.value)) });
  const show = (value) => {
    range.value = value;
    output.textContent = shown(value);
    range.setAttribute("aria-valuetext", output.textContent);
  };
  return { row: h("div", { class: "vl-row" }, h("label", { for: id }, label), range, output), show };
}

/** A choice among few: radio buttons under one name. */
export function choice(name, options, input) {
  const group = unique("live");
  const radios = Object.entries(options).map(([value, text]) => [value, h("input", { type: "radio", name: group, value, onchange: () => input(value) }), text]);
  const row = h("fieldset", {}, h("legend", {}, name), ...radios.map(([, radio, text]) => h("label", {}, radio, text)));
  return { row, show: (chosen) => radios.forEach(([value, radio]) => (radio.checked = value === chosen)) };
}

/** Tell places of a drawing that a pointer is dragged over. */
export function dragged(drawing, move) {
  const tell = (event) => {
    const { left, top, width, height } = drawing.getBoundingClientRect();
    const { width: w, height: t } = drawing.viewBox.baseVal;
    move(((event.clientX - left) / width) * w, ((event.clientY - top) / height) * t);
  };
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    drawing.setPointerCapture(event.pointerId);
    tell(event);
  });
  drawing.addEventListener("pointermove", (event) => drawing.hasPointerCapture(event.pointerId) && tell(event));
}

export const quiet = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** A figure: its root, redrawn once per picture when a trait has changed; `build` gives its parts. */
export function live(title, build) {
  return ({ model, el }) => {
    const root = h("section", { class: "vae-live", "aria-label": title });
    let asked = 0;
    const change = (values) => {
      for (const [name, value] of Object.entries(values)) model.set(name, value);
      model.save_changes();
    };
    const update = build(root, model, change);
    const draw = () => {
      asked = 0;
      update();
    };
    const ask = () => (asked ||= requestAnimationFrame(draw));
    model.on("change", ask);
    // JupyterLab would take letters and digits for its own.
    root.addEventListener("keydown", (event) => event.stopPropagation());
    el.append(root);
    update();
    return () => {
      model.off("change", ask);
      cancelAnimationFrame(asked);
      root.remove();
    };
  };
}
