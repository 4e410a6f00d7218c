// Names that a learner gives to dimensions: kept with the widget, and offered again where the same
// model is explored in the same browser.

import { h } from "./dom.mjs";

export const LONGEST_NAME = 40;
const placeOf = (digest) => `vae_lib names of ${digest}`;

/** What this browser remembers of a model's names: dimension → name; a browser may forbid it. */
function remembered(digest) {
  try {
    return JSON.parse(localStorage.getItem(placeOf(digest))) ?? {};
  } catch {
    return {};
  }
}
function remember(digest, names) {
  try {
    localStorage.setItem(placeOf(digest), JSON.stringify(names));
  } catch {
    // The widget has them.
  }
}

/** The names of one widget, by model and dimension. */
export class Names {
  constructor(model, digests, changed) {
    Object.assign(this, { model, digests, changed });
    const known = model.get("named") ?? {};
    this.all = Object.fromEntries(digests.map((digest) => [digest, { ...remembered(digest), ...known[digest] }]));
  }
  of(m, dimension) {
    return this.all[this.digests[m]]?.[dimension] ?? "";
  }
  set(m, dimension, text) {
    const digest = this.digests[m];
    const { [dimension]: _, ...others } = this.all[digest];
    const name = text.trim().slice(0, LONGEST_NAME);
    this.all = { ...this.all, [digest]: name ? { ...others, [dimension]: name } : others };
    remember(digest, this.all[digest]);
    this.model.set("named", this.all);
    this.model.save_changes();
    this.changed();
  }
  /** Python has set them. */
  heard() {
    const told = this.model.get("named") ?? {};
    if (JSON.stringify(told) === JSON.stringify(this.all)) return;
    this.all = Object.fromEntries(this.digests.map((digest) => [digest, told[digest] ?? {}]));
    this.changed();
  }
}

/** Let a row's name be edited in its place: by double click, or F2 from its slider. */
export function renamable({ row, range, name }, current, rename) {
  const label = name.parentElement;
  label.title = "Double click, or F2 on the slider, gives it a name of your own.";
  const edit = () => {
    const field = h("input", { type: "text", class: "ve-rename", maxlength: LONGEST_NAME, value: current(), "aria-label": `Name of ${name.textContent}`, placeholder: "your name for it" });
    let done = false;
    const end = (keep) => {
      if (done) return;
      done = true;
      field.remove();
      label.hidden = false;
      if (keep) rename(field.value);
    };
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      end(event.key === "Enter");
      range.focus({ preventScroll: true });
    });
    field.addEventListener("blur", () => end(true));
    label.hidden = true;
    label.after(field);
    field.focus();
    field.select();
  };
  label.addEventListener("dblclick", edit);
  row.addEventListener("keydown", (event) => {
    if (event.key !== "F2" || event.target !== range) return;
    event.preventDefault();
    edit();
  });
}
