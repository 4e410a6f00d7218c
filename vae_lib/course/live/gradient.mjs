// A draw with a gradient: the same noise moved by mu and sigma, and two estimates as draws come in.

import { button, h } from "../../explorer/browser/dom.mjs";
import { decimals, seededNormal } from "../../explorer/browser/numbers.mjs";
import { axis, choice, line, live, quiet, scale, set, slider, svg } from "./figure.mjs";
import { Toy } from "./toy.mjs";

export const MOST = 1000; // draws
const SHOWN = 12; // as dots
const WIDEST = 128; // copies of the toy

/** Single estimates of the slope of the bound in one of d means, from noise (draws × d). */
export function estimates(toy, mu, sigma, noise, d, count) {
  const [score, pathwise] = [new Float64Array(count), new Float64Array(count)];
  for (let i = 0; i < count; i++) {
    let reconstruction = 0;
    for (let j = 0; j < d; j++) reconstruction += toy.logLikelihood(mu + sigma * noise[i * WIDEST + j]);
    // The KL has its slope, mu, in closed form.
    score[i] = (reconstruction * noise[i * WIDEST]) / sigma - mu;
    pathwise[i] = toy.slope(mu + sigma * noise[i * WIDEST]) - mu;
  }
  return { score, pathwise };
}

/** Mean after each draw, and the standard deviation of all of them. */
export function running(values) {
  let [sum, squares] = [0, 0];
  const means = values.map((value, i) => {
    sum += value;
    squares += value * value;
    return sum / (i + 1);
  });
  const n = values.length;
  return { means, spread: n > 1 ? Math.sqrt(Math.max(0, (squares - (sum * sum) / n) / (n - 1))) : NaN };
}

function build(root, model, change) {
  const toy = new Toy("two", model.get("x"), model.get("noise"));
  let [seed, noise] = [-1, null];
  const z = scale(-3, 3, 20, 580);
  const row = (kind) => Array.from({ length: SHOWN }, () => svg(kind === "link" ? "path" : "circle", { class: `vl-${kind}`, r: 4 }));
  const [links, above, beneath, arrows] = ["link", "noise", "z", "link"].map(row);
  arrows.forEach((arrow) => arrow.setAttribute("class", "vl-arrow"));
  const words = svg("text", { x: 22, y: 14, class: "vl-soft" }, "noise ε, which stays");
  const moved = svg("text", { x: 22, y: 178, class: "vl-soft" }, "z = μ + σ ε, each with the slope of log p(x | z)");
  const plot = svg("svg", { viewBox: "0 0 600 184", class: "vl-plot", "aria-hidden": "true" }, ...links, ...above, ...arrows, ...beneath, words, moved, axis(z, 134, [-3, -2, -1, 0, 1, 2, 3], ""));

  const at = scale(0, Math.log10(MOST), 60, 580);
  const height = scale(-1, 1, 120, 10);
  const lines = { score: svg("path", { class: "vl-line-b" }), pathwise: svg("path", { class: "vl-line-a" }), exact: svg("path", { class: "vl-mark", d: `M60 ${height(0)}H580` }) };
  const names = [-1, 0, 1].map((value) => svg("text", { x: 54, y: height(value) + (value ? 8 * value : 5), "text-anchor": "end" }));
  const band = svg("rect", { class: "vl-clip", x: 60, y: 10, width: 520, height: 110 });
  const ticks = axis((tick) => at(Math.log10(tick)), 120, [1, 10, 100, 1000], "draws");
  const means = svg("svg", { viewBox: "0 0 600 164", class: "vl-plot", "aria-hidden": "true" }, band, lines.exact, lines.score, lines.pathwise, ...names, ticks);

  const table = h("table", {}, h("thead", {}, h("tr", {}, ...["slope of the bound in one μ", "mean so far", "off by", "spread of one draw"].map((text) => h("th", { scope: "col" }, text)))));
  const cells = Object.fromEntries(
    [["score", "score function", "vl-ink-b"], ["pathwise", "pathwise", "vl-ink-a"], ["exact", "exact", ""]].map(([key, text, kind]) => {
      const made = { mean: h("td"), off: h("td"), spread: h("td") };
      table.append(h("tr", {}, h("th", { scope: "row", class: kind }, text), made.mean, made.off, made.spread));
      return [key, made];
    }),
  );
  const told = h("p", { class: "vl-told" });
  let playing = 0;
  const more = (count) => change({ draws: Math.min(MOST, model.get("draws") + count) });
  const play = button("Play", () => {
    if (playing) playing = cancelAnimationFrame(playing) ?? 0;
    else if (quiet()) more(MOST);
    else {
      if (model.get("draws") >= MOST) change({ draws: 1 });
      const step = () => {
        more(Math.max(1, Math.round(model.get("draws") / 40)));
        playing = model.get("draws") < MOST && root.isConnected ? requestAnimationFrame(step) : 0;
        play.textContent = playing ? "Stop" : "Play";
      };
      step();
    }
    play.textContent = playing ? "Stop" : "Play";
  });
  const mu = slider({ label: "μ", low: -2, high: 2, step: 0.01, shown: (v) => decimals(v), input: (mu) => change({ mu }) });
  const sigma = slider({ label: "σ", low: 0.05, high: 1, step: 0.01, shown: (v) => decimals(v), input: (sigma) => change({ sigma }) });
  const count = slider({ label: "draws", low: 0, high: 3, step: 0.02, shown: (v) => String(Math.round(10 ** v)), input: (v) => change({ draws: Math.round(10 ** v) }) });
  const copies = choice("Dimensions", { 1: "1", 8: "8", 128: "128" }, (d) => change({ dimensions: Number(d) }));
  const buttons = h("span", { class: "vl-buttons" }, play, button("Other noise", () => change({ seed: model.get("seed") + 1 })));
  root.append(plot, h("div", { class: "vl-controls" }, mu.row, sigma.row, count.row, h("div", { class: "vl-row" }, copies.row, buttons)), means, table, told);

  return () => {
    if (seed !== model.get("seed")) {
      seed = model.get("seed");
      noise = seededNormal(seed, MOST * WIDEST);
    }
    const [m, s, d, n] = [model.get("mu"), model.get("sigma"), model.get("dimensions"), model.get("draws")];
    for (let i = 0; i < SHOWN; i++) {
      const [from, to] = [noise[i * WIDEST], m + s * noise[i * WIDEST]];
      set(above[i], { cx: z(from), cy: 28 });
      const y = 66 + 5.5 * i; // one beneath the other, so that each pull is seen
      set(beneath[i], { cx: z(to), cy: y });
      set(links[i], { d: `M${z(from)} 28L${z(to)} ${y}` });
      set(arrows[i], { d: `M${z(to)} ${y}h${Math.max(-60, Math.min(60, 2 * toy.slope(to)))}` });
    }
    const found = estimates(toy, m, s, noise, d, n);
    const exact = toy.exactGradient(m, s);
    const [score, pathwise] = [running(found.score), running(found.pathwise)];
    // As much room as ten draws of the wilder one need.
    const room = Math.max(score.spread || 1, pathwise.spread || 1) || 1;
    const path = ({ means }) => line(Array.from(means, (mean, i) => [at(Math.log10(i + 1)), height(Math.max(-1, Math.min(1, (mean - exact) / room)))]));
    set(lines.score, { d: path(score) });
    set(lines.pathwise, { d: path(pathwise) });
    [-1, 0, 1].forEach((value, i) => (names[i].textContent = decimals(exact + value * room, room > 20 ? 0 : 1)));
    for (const [key, { means, spread }] of Object.entries({ score, pathwise })) {
      cells[key].mean.textContent = decimals(means[n - 1], 2);
      cells[key].off.textContent = decimals(Math.abs(means[n - 1] - exact), 2);
      cells[key].spread.textContent = Number.isNaN(spread) ? "–" : decimals(spread, 2);
    }
    cells.exact.mean.textContent = decimals(exact, 2);
    cells.exact.off.textContent = "0";
    cells.exact.spread.textContent = "0";
    const ratio = (score.spread / pathwise.spread) ** 2;
    told.textContent = n > 1 ? `For the same error the score function needs about ${Number(ratio.toPrecision(2)).toLocaleString("en")} times as many draws.` : "";
    mu.show(m);
    sigma.show(s);
    count.show(Math.log10(n));
    copies.show(String(d));
  };
}

export default { render: live("A draw with a gradient", build) };
