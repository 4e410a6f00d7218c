// β as a slider, of a network that serves every β: what a price leaves of a face, and of its code.

import { clamp, decimals, twoDigits } from "./numbers.mjs";
import { OCTAVE, atBeta } from "./state.mjs";
import { h, ownSlider } from "./dom.mjs";

const MARKS = [1, 4, 10]; // the β of the course's other models
const IN_USE = 0.1; // nats, above which a dimension counts as active

const betaOfStep = (step) => 2 ** (step / OCTAVE);
const stepOf = (beta) => OCTAVE * Math.log2(beta);

/** A needle on a scale from low to high, and a tick where the mean of the validation faces is. */
function meter(title, unit, digits) {
  const output = h("output", {});
  const tick = h("i", { class: "ve-tick" });
  const needle = h("i", { class: "ve-needle" });
  const element = h("div", { class: "ve-meter" }, h("span", {}, title), output, h("div", { class: "ve-scale", "aria-hidden": "true" }, tick, needle));
  const show = (value, mean, low, high) => {
    const place = (number) => `${clamp((100 * (number - low)) / (high - low), 0, 100)}%`;
    output.textContent = `${value === null ? "–" : `${decimals(value, digits)} ${unit}`} (mean ${decimals(mean, digits)})`;
    element.title = `${value === null ? "Known for a face of the gallery that was not moved. " : ""}The tick is the mean of the validation faces: ${decimals(mean, digits)} ${unit}.`;
    needle.hidden = value === null;
    if (value !== null) needle.style.left = place(value);
    tick.style.left = place(mean);
  };
  return { element, show };
}

/** KL of each dimension, the largest first, as one shape. */
function bars() {
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  picture.append(path);
  const told = h("span", {});
  const element = h("div", { class: "ve-kl" }, told, picture);
  const show = (kl, top) => {
    const sorted = [...kl].sort((a, b) => b - a);
    picture.setAttribute("viewBox", `0 0 ${kl.length} 1`);
    path.setAttribute("d", sorted.map((nats, i) => `M${i + 0.1} 1V${1 - Math.sqrt(clamp(nats / top, 0, 1))}h.8V1`).join(""));
    const active = sorted.filter((nats) => nats > IN_USE).length;
    told.textContent = `${active} of ${kl.length} dimensions in use`;
    element.title = `The KL of each dimension, the largest first, on a square-root scale up to ${decimals(top)} nats. In use is one with more than ${IN_USE} nats.`;
  };
  return { element, show };
}

/** The slider for β and what it costs; nothing where no model takes one. */
export function ratePart(controller) {
  const { world } = controller;
  const rateOf = () => world.models[controller.state.lead].rate;
  const widest = world.models.flatMap(({ rate }) => (rate ? [rate.range] : []));
  const ends = [Math.min(...widest.map(([low]) => low)), Math.max(...widest.map(([, high]) => high))];
  const [low, high] = [Math.floor(stepOf(ends[0])), Math.ceil(stepOf(ends[1]))];
  const act = (value) => rateOf() && controller.act({ type: "beta", model: controller.state.lead, value: clamp(value, ...rateOf().range.map(stepOf)) }, "beta");
  const slider = ownSlider({
    label: "β", note: "weight of the KL", low, high,
    about: "The price of a nat: what one nat in the code must save of the picture. Detail that saves less is no longer told.",
    shown: (step) => twoDigits(clamp(betaOfStep(step), ...(rateOf()?.range ?? ends))),
    input: act,
    reset: () => rateOf() && act(rateOf().first),
  });
  const marks = MARKS.filter((beta) => ends[0] <= beta && beta <= ends[1]).map((beta) =>
    h("span", { style: `--at:${(stepOf(beta) - low) / (high - low)}`, onclick: () => act(stepOf(beta)) }, String(beta)),
  );
  slider.range.after(h("div", { class: "ve-marks", "aria-hidden": "true" }, ...marks));
  const kl = meter("KL of this face", "nats", 1);
  const psnr = meter("PSNR to its original", "dB", 1);
  const dimensions = bars();
  const fixed = h("p", { class: "ve-note" });
  const measures = h("div", { class: "ve-meters" }, kl.element, psnr.element, dimensions.element);
  slider.row.classList.add("ve-beta");
  const element = h("div", { class: "ve-rate" }, slider.row, measures, fixed);

  const update = (what) => {
    if (what !== "state") return;
    const { lead, start, end, t, amounts, offsets } = controller.state;
    const { rate, label } = world.models[lead];
    slider.row.hidden = !rate;
    measures.hidden = !rate?.measured;
    fixed.hidden = Boolean(rate);
    fixed.textContent = rate ? "" : `${label} was trained with one β; choose the network for every β above its sliders to move β.`;
    if (!rate) return;
    const beta = controller.betaOf();
    const first = twoDigits(betaOfStep(rate.first));
    slider.zero.title = `Back to β = ${first} (key 0)`;
    slider.zero.setAttribute("aria-label", `β: back to ${first}`);
    slider.show(Math.round(stepOf(beta)));
    if (!rate.measured) return;
    const moved = Object.keys(amounts).length || Object.keys(offsets).length || (end && t > 0);
    const face = start.kind === "gallery" && !moved ? rate.ids.indexOf(world.ids[start.index]) : -1;
    const at = (table) => atBeta(rate.betas, table, beta);
    const range = (tables) => [Math.min(...tables.flatMap((table) => [...table])), Math.max(...tables.flatMap((table) => [...table]))];
    const means = rate.klPerDimension.map((table) => table.reduce((sum, nats) => sum + nats, 0));
    kl.show(face < 0 ? null : at(rate.faceKl)[face], at(means), 0, range(rate.faceKl)[1]);
    psnr.show(face < 0 ? null : at(rate.facePsnr)[face], at(rate.measured.psnr), ...range(rate.facePsnr));
    dimensions.show(controller.klOf(), range(rate.klPerDimension)[1]);
  };
  return { element, update };
}
