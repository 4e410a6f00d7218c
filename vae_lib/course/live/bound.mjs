// The bound: q is dragged over the posterior; bound and gap change, their sum does not.

import { button, h } from "../../explorer/browser/dom.mjs";
import { clamp, decimals } from "../../explorer/browser/numbers.mjs";
import { axis, choice, dragged, line, live, quiet, scale, set, slider, svg } from "./figure.mjs";
import { DECODERS, logNormal, Toy } from "./toy.mjs";

export const REACH = 2.6;
export const SIGMAS = [0.1, 2];
const TALLEST = 4; // of a density
const LEAST = -10; // nats, where the bars begin
const nats = (value) => `${decimals(value, 3)} nats`;

/** One step up the bound, in mu and log sigma, by its slope in both; a shorter one where that leads down. */
export function climb(toy, mu, sigma) {
  const by = 1e-4;
  const slopes = [
    (toy.bound(mu + by, sigma) - toy.bound(mu - by, sigma)) / (2 * by),
    (toy.bound(mu, sigma * Math.exp(by)) - toy.bound(mu, sigma * Math.exp(-by))) / (2 * by),
  ];
  const start = toy.bound(mu, sigma);
  for (let rate = 0.1; rate > 1e-6; rate /= 2) {
    // In units of sigma steps are alike for narrow and for wide q.
    const [toMu, toSigma] = [slopes[0] * sigma, slopes[1]].map((slope) => clamp(rate * slope, -0.15, 0.15));
    const next = { mu: clamp(mu + toMu * sigma, -REACH, REACH), sigma: clamp(sigma * Math.exp(toSigma), ...SIGMAS) };
    if (toy.bound(next.mu, next.sigma) > start) return next;
  }
  return { mu, sigma };
}

function build(root, model, change) {
  const toys = Object.fromEntries(Object.keys(DECODERS).map((kind) => [kind, new Toy(kind, model.get("x"), model.get("noise"))]));
  const toy = () => toys[model.get("peaks")];
  const z = scale(-3, 3, 20, 580);
  const density = scale(0, TALLEST, 210, 14);
  const places = Array.from({ length: 301 }, (_, i) => -3 + i / 50);
  const shape = (f) => line(places.map((at) => [z(at), density(Math.min(f(at), TALLEST * 1.1))]));

  const posterior = svg("path", { class: "vl-fill" });
  const q = svg("path", { class: "vl-q" });
  const handle = svg("circle", { class: "vl-handle", r: 8 });
  const words = [["vl-ink-a", 16, "posterior p(z | x = 1)"], ["vl-ink-b", 38, "q, a Gaussian: drag it"]];
  words[0][2] = `posterior p(z | x = ${model.get("x")})`;
  const legend = words.map(([kind, y, text]) => svg("text", { class: kind, x: 22, y }, text));
  const plot = svg("svg", { viewBox: "0 0 600 252", class: "vl-plot vl-drag", "aria-hidden": "true" }, posterior, q, handle, axis(z, 210, [-3, -2, -1, 0, 1, 2, 3], "z"), ...legend);

  const at = scale(LEAST, 0, 20, 580);
  const below = svg("rect", { class: "vl-a", x: 20, y: 24, height: 28 });
  const missing = svg("rect", { class: "vl-b", y: 24, height: 28 });
  const top = svg("path", { class: "vl-mark" });
  const name = svg("text", { y: 14, "text-anchor": "middle" });
  const bars = svg("svg", { viewBox: "0 0 600 96", class: "vl-plot", "aria-hidden": "true" }, below, missing, top, name, axis(at, 54, [-10, -8, -6, -4, -2, 0], "nats"));

  const sum = h("p", { class: "vl-sum" });
  const told = h("p", { class: "vl-told", role: "status" });
  let climbing = 0;
  const stop = () => {
    cancelAnimationFrame(climbing);
    climbing = 0;
  };
  const by = (values) => {
    stop();
    change(values);
  };
  const mu = slider({ label: "μ of q", low: -REACH, high: REACH, step: 0.01, shown: (v) => decimals(v), input: (mu) => by({ mu }) });
  // Where it stands is a power of ten, so that narrow q's have as much room as wide ones.
  const width = slider({ label: "σ of q", low: Math.log10(SIGMAS[0]), high: Math.log10(SIGMAS[1]), step: 0.005, shown: (v) => decimals(10 ** v), input: (v) => by({ sigma: 10 ** v }) });
  const kinds = choice("Decoder", { one: `${DECODERS.one.text}: one peak`, two: `${DECODERS.two.text}: two peaks` }, (peaks) => by({ peaks }));
  dragged(plot, (x, y) => {
    const tall = density.invert(clamp(y, density(TALLEST), 209));
    by({ mu: clamp(z.invert(x), -REACH, REACH), sigma: clamp(1 / (Math.max(tall, 1e-9) * Math.sqrt(2 * Math.PI)), ...SIGMAS) });
  });
  const up = button("Climb the bound", () => {
    stop();
    let [left, here] = [150, { mu: model.get("mu"), sigma: model.get("sigma") }];
    const step = () => {
      climbing = 0;
      do here = climb(toy(), here.mu, here.sigma);
      while (--left > 0 && quiet());
      change(here);
      if (left > 0 && root.isConnected) climbing = requestAnimationFrame(step);
    };
    step();
  });
  root.append(plot, h("div", { class: "vl-controls" }, mu.row, width.row, h("div", { class: "vl-row" }, kinds.row, up)), bars, sum, told);

  return () => {
    const [m, s] = [model.get("mu"), model.get("sigma")];
    const [bound, gap, evidence] = [toy().bound(m, s), toy().gap(m, s), toy().logEvidence];
    set(posterior, { d: `${shape((at) => toy().posterior(at))}V210H20Z` });
    set(q, { d: shape((at) => Math.exp(logNormal(at, m, s))) });
    set(handle, { cx: z(m), cy: density(Math.min(TALLEST, Math.exp(logNormal(m, m, s)))) });
    const middle = at(Math.max(bound, LEAST));
    set(below, { width: middle - 20 });
    set(missing, { x: middle, width: Math.max(0, at(evidence) - middle) });
    set(top, { d: `M${at(evidence)} 18V58` });
    set(name, { x: at(evidence) });
    name.textContent = "log p(x)";
    sum.replaceChildren(h("span", { class: "vl-ink-a" }, `bound ${decimals(bound, 3)}`), " + ", h("span", { class: "vl-ink-b" }, `gap ${decimals(gap, 3)}`), ` = log p(x) ${nats(bound + gap)}`);
    told.textContent =
      gap < 0.005
        ? "q is the posterior: nothing is missing."
        : model.get("peaks") === "two" && Math.abs(gap - Math.LN2) < 0.02
          ? "The gap is near ln 2 ≈ 0.693: q sits on one of two peaks, and no Gaussian does better."
          : model.get("peaks") === "two" && Math.abs(m) < 0.05
            ? "Between the peaks μ has no slope: move q aside, and climb again."
            : bound < LEAST
              ? "The bound lies left of these bars."
              : "";
    mu.show(m);
    width.show(Math.log10(s));
    kinds.show(model.get("peaks"));
  };
}

export default { render: live("The bound: a Gaussian q over the posterior", build) };
