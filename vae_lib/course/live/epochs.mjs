// Training, epoch by epoch: what held-out faces looked like after each, and the measures then.

import { h } from "../../explorer/browser/dom.mjs";
import { decimals } from "../../explorer/browser/numbers.mjs";
import { line, live, scale, set, slider, svg } from "./figure.mjs";

const PANELS = [["excess", "excess, nats", 0], ["kl", "KL, nats", 1], ["psnr", "PSNR, dB", 1]];
const [WIDE, LEFT, TOP, FLOOR] = [240, 44, 22, 116];

/** Ends of an axis that hold all values, and some air. */
export function ends(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - air, high + air];
}

/** One measure over the epochs: a line for each split, its two ends in numbers, and a needle. */
function panel(name, title, digits) {
  const lines = { train: svg("path", { class: "vl-mark" }), valid: svg("path", { class: "vl-line-a" }) };
  const numbers = [0, 1].map(() => svg("text", { x: LEFT - 6, "text-anchor": "end", class: "vl-soft" }));
  const needle = svg("path", { class: "vl-line-b" });
  const dot = svg("circle", { class: "vl-handle", r: 5 });
  const frame = svg("path", { class: "vl-clip", d: `M${LEFT} ${TOP}V${FLOOR}H${WIDE - 6}` });
  const element = svg("svg", { viewBox: `0 0 ${WIDE} ${FLOOR + 6}`, class: "vl-plot", "aria-hidden": "true" }, svg("text", { x: LEFT, y: 14 }, title), frame, lines.train, lines.valid, needle, dot, ...numbers);
  const show = (measures, shown) => {
    const splits = Object.keys(lines);
    const values = measures.flatMap((one) => splits.map((split) => one[split][name]));
    const at = scale(0, Math.max(1, measures.length - 1), LEFT + 8, WIDE - 14);
    const [low, high] = ends(values);
    const up = scale(low, high, FLOOR - 4, TOP + 4);
    for (const split of splits) set(lines[split], { d: line(measures.map((one, i) => [at(i), up(one[split][name])])) });
    [Math.min(...values), Math.max(...values)].forEach((value, i) => {
      numbers[i].textContent = decimals(value, digits);
      set(numbers[i], { y: up(value) + 5 });
    });
    set(needle, { d: `M${at(shown)} ${TOP}V${FLOOR}` });
    set(dot, { cx: at(shown), cy: up(measures[shown].valid[name]) });
  };
  return { element, show };
}

function build(root, model, change) {
  const panels = PANELS.map((one) => panel(...one));
  const face = h("img", { class: "vl-grid", alt: "" });
  const said = h("p", { class: "vl-sum", role: "status" });
  let count = 0;
  const pick = (epoch) => change({ epoch: epoch === count ? 0 : epoch }); // 0 follows the newest
  const row = h("div", {});
  let epoch;
  const made = () => {
    epoch = slider({ label: "epoch", low: 1, high: Math.max(1, count), step: 1, shown: (v) => `${v} of ${count}`, input: pick });
    row.replaceChildren(epoch.row);
  };
  const legend = h("p", { class: "vl-told" }, "Blue: validation faces, in eval mode. Dashed: training faces. In the picture each held-out face stands before what the model makes of it.");
  const parts = h("div", { class: "vl-three" }, ...panels.map((one) => one.element));
  root.append(h("div", { class: "vl-controls" }, row), said, face, parts, legend);

  return () => {
    const [measures, pictures] = [model.get("measures"), model.get("pictures")];
    const waiting = !measures.length;
    for (const element of [row, face, parts, legend]) element.hidden = waiting;
    said.textContent = waiting ? "The first epoch is not finished yet." : "";
    if (waiting) return;
    if (count !== measures.length) {
      const held = row.contains(document.activeElement);
      count = measures.length;
      made();
      if (held) row.querySelector("input").focus();
    }
    const shown = Math.min(model.get("epoch") || count, count);
    const { valid, epoch: number } = measures[shown - 1];
    epoch.show(shown);
    if (face.src !== pictures[shown - 1]) face.src = pictures[shown - 1];
    face.alt = `Held-out faces, each beside its reconstruction after epoch ${number}`;
    said.textContent = `After epoch ${number}: excess ${decimals(valid.excess, 0)}, KL ${decimals(valid.kl, 1)} nats, PSNR ${decimals(valid.psnr, 1)} dB`;
    for (const one of panels) one.show(measures, shown - 1);
  };
}

export default { render: live("Training, epoch by epoch", build) };
