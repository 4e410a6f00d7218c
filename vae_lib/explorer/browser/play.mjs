// Play: a slider moves by itself, to its ends and back. Surprise me: a face that nobody chose.

import { h, iconButton, oneStop } from "./dom.mjs";
import { reduce } from "./state.mjs";

/**
 * Where a slider stands after so many seconds on its way to its upper end, its lower end and back;
 * undefined when it is back. Calm: no motion, a new face a second.
 */
export function thereAndBack(from, low, high, calm = false) {
  const stops = [from, high, low, from];
  return (seconds) => {
    let left = seconds;
    for (let leg = 0; leg < 3; leg++) {
      const [a, b] = [stops[leg], stops[leg + 1]];
      const share = Math.abs(b - a) / (high - low);
      const steps = Math.ceil(6 * share);
      const lasts = calm ? steps : 4 * share;
      if (left < lasts) {
        const part = calm ? Math.floor(left) / steps : (1 - Math.cos((Math.PI * left) / lasts)) / 2;
        return a + (b - a) * part;
      }
      left -= lasts;
    }
    return undefined;
  };
}

// True factors are drawn by the kernel, in its own time.
const SLIDERS = '.ve-row:not(.ve-factor) input[type="range"]';

/**
 * The button that plays the slider of `root` that was touched last, else the first one in sight:
 * that one's handle is filled, in the colour of the button's sign.
 */
function playButton(controller, root) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const { history } = controller;
  let [current, playing] = [null, null];
  const visible = (range) => range?.isConnected && range.checkVisibility();
  const chosen = () => (visible(current) ? current : [...root.querySelectorAll(SLIDERS)].find(visible));
  const set = (range, value) => {
    playing.moving = true;
    range.value = value;
    range.dispatchEvent(new Event("input", { bubbles: true }));
    playing.moving = false;
  };
  const play = (range) => {
    const [from, low, high] = [range.value, range.min, range.max].map(Number);
    const way = thereAndBack(from, low, high, calm.matches);
    playing = { before: history.present };
    history.control = null; // what the hand did just now is a step of its own
    const began = performance.now();
    const tick = () => {
      const value = way((performance.now() - began) / 1000);
      set(range, value ?? from);
      if (value === undefined) return stop(true);
      playing.tick = requestAnimationFrame(tick);
    };
    range.closest(".ve-row").scrollIntoView({ block: "nearest", behavior: "instant" });
    tick();
    told();
  };
  const stop = (whole = false) => {
    const { before, tick } = playing;
    cancelAnimationFrame(tick);
    playing = null;
    // Sliders know steps; the face that is back shall be the same one.
    if (whole && history.present.start === before.start) controller.act({ type: "replace", state: before });
    history.foldSince(before);
    controller.tell("state");
    told();
  };
  const button = iconButton("play", "Play slider", () => {
    if (playing) return stop();
    const range = chosen();
    if (range) play(range);
  });
  button.classList.add("ve-play");
  let marked;
  const told = () => {
    button.tell(playing ? "stop" : "play", playing ? "Stop" : "Play slider");
    marked?.classList.remove("ve-next");
    marked = chosen();
    marked?.classList.add("ve-next");
    const name = marked?.getAttribute("aria-label");
    const how = calm.matches ? "one face a second, since this system asks for little motion" : "there and back";
    button.title = playing ? "Stop here" : `Moves ${name ? `“${name}” (its handle is filled)` : "a slider"} to both ends, ${how}`;
  };
  for (const event of ["focusin", "input"])
    root.addEventListener(event, ({ target }) => {
      if (target === current || !target.matches(SLIDERS)) return;
      current = target;
      told();
    });
  root.addEventListener("toggle", told, true); // a slider may be folded away
  for (const event of ["pointerdown", "keydown"])
    root.addEventListener(event, ({ target }) => playing && !button.contains(target) && stop(), true);
  const update = (what) => {
    if (what === "state" && playing && !playing.moving) stop();
    if (!marked) told(); // once the page shows it
  };
  return { button, update, end: () => playing && stop() };
}

export function toolbarPart(controller, root) {
  const undo = iconButton("undo", "Undo", () => controller.undo(), { title: "Ctrl+Z", "aria-keyshortcuts": "Control+Z" });
  const redo = iconButton("redo", "Redo", () => controller.redo(), { title: "Ctrl+Shift+Z", "aria-keyshortcuts": "Control+Shift+Z" });
  const reset = iconButton("reset", "Reset", () => controller.act({ type: "reset" }), { title: "Back to the starting face" });
  const play = playButton(controller, root);
  const surprise = iconButton("dice", "Surprise me", () => controller.surprise());
  const changes = h("input", { type: "checkbox", "aria-label": "Show what changed", onchange: () => controller.showChanges(changes.checked) });
  const element = h(
    "div",
    { class: "ve-bar", role: "toolbar", "aria-label": "This face" },
    undo, redo, reset, play.button, surprise,
    h("label", { class: "ve-check" }, changes, h("span", {}, h("span", { class: "ve-spare" }, "Show "), "what changed")),
  );
  for (const button of [undo, redo, reset]) button.classList.add("ve-brief");
  oneStop(element, "button, input")(undo);
  const update = (what) => {
    play.update(what);
    if (what !== "state") return;
    const { past, future, present } = controller.history;
    // aria-disabled, not disabled: a button that vanishes under the fingers takes the focus along.
    undo.setAttribute("aria-disabled", String(!past.length));
    redo.setAttribute("aria-disabled", String(!future.length));
    reset.setAttribute("aria-disabled", String(reduce(present, { type: "reset" }) === present));
    changes.checked = controller.changes;
    surprise.title = controller.drawsFrom === "fit"
      ? "A new face, drawn where the codes of real faces lie"
      : "A new face, drawn from the prior";
  };
  return { element, update, end: play.end };
}
