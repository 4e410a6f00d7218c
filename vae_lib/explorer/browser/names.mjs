// Names that a learner gives to dimensions: kept with the widget, and offered again where the same
// model is explored in the same browser.

import { h } from "./dom.mjs";

export const LONGEST_NAME = 40;
const placeOf = (digest) => `vae_lib names of ${digest}`;

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** What this browser keeps of a model's names, and the names that the widget had brought then. */
function remembered(digest) {
  try {
    const { given, names } = JSON.parse(localStorage.getItem(placeOf(digest)));
    const fine = (name) => typeof name === "string" && name && name.length <= LONGEST_NAME;
    return { given, names: Object.fromEntries(Object.entries(names).filter(([, name]) => fine(name))) };
  } catch {
    return null; // nothing is kept, what is kept is something else, or a browser forbids to look
  }
}
function remember(digest, given, names) {
  try {
    localStorage.setItem(placeOf(digest), JSON.stringify({ given, names }));
  } catch {
    // The widget has them.
  }
}

/**
 * The names of one widget, by model and dimension. The browser's copy holds as long as the widget
 * brings the names that it brought when they were edited; else the widget's are newer.
 */
export class Names {
  constructor(model, digests, changed) {
    Object.assign(this, { model, digests, changed, all: {}, given: {} });
    const known = model.get("named") ?? {};
    for (const digest of digests) {
      const kept = remembered(digest);
      this.given[digest] = known[digest] ?? {};
      this.all[digest] = kept && same(kept.given, this.given[digest]) ? kept.names : this.given[digest];
    }
    if (digests.some((digest) => !same(this.all[digest], this.given[digest]))) this.tell();
  }
  tell() {
    this.model.set("named", this.all);
    this.model.save_changes();
  }
  of(m, dimension) {
    return this.all[this.digests[m]]?.[dimension] ?? "";
  }
  set(m, dimension, text) {
    const digest = this.digests[m];
    const { [dimension]: _, ...others } = this.all[digest];
    const name = text.trim().slice(0, LONGEST_NAME);
    this.all = { ...this.all, [digest]: name ? { ...others, [dimension]: name } : others };
    remember(digest, this.given[digest], this.all[digest]);
    this.tell();
    this.changed();
  }
  /** Python has set them. */
  heard() {
    const told = this.model.get("named") ?? {};
    if (same(told, this.all)) return;
    this.all = Object.fromEntries(this.digests.map((digest) => [digest, told[digest] ?? {}]));
    for (const digest of this.digests) remember(digest, this.given[digest], this.all[digest]);
    this.changed();
  }
}

const LONG_PRESS = 500; // ms

/** Let a row's name be edited in its place: by double click, a finger that rests, or F2 from its slider. */
export function renamable({ row, range, name }, current, rename) {
  const label = name.parentElement;
  label.title = "A double click, a finger that rests here, or F2 on the slider gives it a name of your own.";
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
  let press = null; // a finger that has not left or scrolled yet
  const lift = () => (press = clearTimeout(press));
  label.addEventListener("pointerdown", ({ pointerType, isPrimary }) => {
    lift();
    if (pointerType === "touch" && isPrimary) press = setTimeout(edit, LONG_PRESS);
  });
  for (const event of ["pointerup", "pointercancel"]) label.addEventListener(event, lift);
  label.addEventListener("contextmenu", (event) => press && event.preventDefault()); // a phone's menu would end the press
  row.addEventListener("keydown", (event) => {
    if (event.key !== "F2" || event.target !== range) return;
    event.preventDefault();
    edit();
  });
}
