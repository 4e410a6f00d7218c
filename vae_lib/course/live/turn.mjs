// The turn: two dimensions of a code turn into each other; the picture stays, MIG does not.

import { h, unique } from "../../explorer/browser/dom.mjs";
import { decimals } from "../../explorer/browser/numbers.mjs";
import { axis, line, live, scale, set, slider, svg } from "./figure.mjs";

const BINS = 20; // as vae_lib.disentanglement takes them

/** Values in bins of equal width between the smallest and the largest; null where all are one. */
export function binned(column) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of column) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (!(high - low > 1e-9)) return null;
  return Uint8Array.from(column, (value) => Math.min(Math.trunc(((value - low) / (high - low)) * BINS), BINS - 1));
}
const entropy = (counts, n) => counts.reduce((sum, count) => (count ? sum - (count / n) * Math.log(count / n) : sum), 0);

/** Codes and the levels of their factors, and what dimensions tell of factors, nats. */
export class Table {
  constructor(codes, levels, d, k) {
    const n = codes.length / d;
    Object.assign(this, { n, d, k });
    this.columns = Array.from({ length: d }, (_, i) => Float64Array.from({ length: n }, (_, row) => codes[row * d + i]));
    this.factors = Array.from({ length: k }, (_, j) => Uint8Array.from({ length: n }, (_, row) => levels[row * k + j]));
    this.sizes = this.factors.map((factor) => Math.max(...factor) + 1);
    this.entropies = this.factors.map((factor, j) => entropy(this.count(factor, this.sizes[j]), n));
    this.trained = this.columns.map((column) => this.information(column));
  }
  count(values, size) {
    const counts = new Float64Array(size);
    for (const value of values) counts[value]++;
    return counts;
  }
  /** Mutual information of a column of codes with every factor. */
  information(column) {
    const bins = binned(column);
    if (!bins) return new Float64Array(this.k);
    const own = entropy(this.count(bins, BINS), this.n);
    return Float64Array.from(this.factors, (factor, j) => {
      const joint = new Float64Array(BINS * this.sizes[j]);
      for (let row = 0; row < this.n; row++) joint[bins[row] * this.sizes[j] + factor[row]]++;
      return own + this.entropies[j] - entropy(joint, this.n);
    });
  }
  /** What every dimension tells after the two were turned by an angle in degrees. */
  turned(first, second, angle) {
    const [cos, sin] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
    const [a, b] = [this.columns[first], this.columns[second]];
    const matrix = [...this.trained];
    matrix[first] = this.information(a.map((value, row) => cos * value - sin * b[row]));
    matrix[second] = this.information(a.map((value, row) => sin * value + cos * b[row]));
    return matrix;
  }
  /** Mutual information gap, Eq. 6 of Chen et al. 2018. */
  mig(matrix) {
    const gap = (j) => {
      const [best, next = 0] = matrix.map((row) => row[j]).sort((x, y) => y - x);
      return (best - next) / this.entropies[j];
    };
    return this.entropies.reduce((sum, _, j) => sum + gap(j), 0) / this.k;
  }
}

const REACH = 90;
const asFloats = (view) => new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

function build(root, model, change) {
  const names = model.get("names");
  const d = model.get("latent_size");
  const levels = model.get("levels");
  const table = new Table(asFloats(model.get("codes")), new Uint8Array(levels.buffer, levels.byteOffset, levels.byteLength), d, names.length);

  const [left, side] = [150, 440 / d];
  const high = 17;
  const cells = names.map((_, j) => Array.from({ length: d }, (_, i) => svg("rect", { x: left + i * side, y: 24 + j * high, width: side - 1, height: high - 1 })));
  const heads = Array.from({ length: d }, (_, i) => svg("text", { x: left + (i + 0.5) * side, y: 16, "text-anchor": "middle" }, d > 10 ? i : `z${i}`));
  const rows = names.map((name, j) => svg("text", { x: left - 8, y: 24 + j * high + 13, "text-anchor": "end" }, name.replaceAll("_", " ")));
  const frames = [0, 1].map(() => svg("rect", { class: "vl-frame", y: 22, width: side + 1, height: names.length * high + 3 }));
  const matrix = svg("svg", { viewBox: `0 0 600 ${30 + names.length * high}`, class: "vl-plot vl-matrix", role: "img" }, ...heads, ...rows, ...cells.flat(), ...frames);

  const legend = h("p", { class: "vl-told" }, "The fuller the colour, the larger the share of a factor (row) that a dimension (column) tells.");

  const at = scale(-REACH, REACH, 60, 580);
  const curve = svg("path", { class: "vl-line-a" });
  const here = svg("circle", { class: "vl-handle", r: 7 });
  const labels = [0, 1].map(() => svg("text", { x: 54, "text-anchor": "end" }));
  const chart = svg("svg", { viewBox: "0 0 600 140", class: "vl-plot", "aria-hidden": "true" }, svg("text", { x: 62, y: 14, class: "vl-soft" }, "MIG at every angle"), curve, here, ...labels, axis(at, 96, [-90, -45, 0, 45, 90], "degrees"));

  const picture = model.get("picture");
  const face = picture?.byteLength ? h("img", { class: "vl-face", alt: "The face that the turned code is decoded to; it stays the same", width: 96, height: 96 }) : null;
  if (face) {
    const bytes = new Uint8Array(picture.buffer, picture.byteOffset, picture.byteLength);
    face.src = `data:image/png;base64,${btoa(String.fromCharCode(...bytes))}`;
  }
  const said = h("p", { class: "vl-sum", role: "status" });
  const told = h("p", { class: "vl-told" }, face ? `The decoder turns the code back: over all angles no pixel of this face changes by more than ${model.get("change").toPrecision(1)} of 255.` : "");
  const angle = slider({ label: "turn by", low: -REACH, high: REACH, step: 1, shown: (v) => `${decimals(v, 0)}°`, input: (angle) => change({ angle }) });
  const pick = (trait, label) => {
    const id = unique("dimension");
    const select = h("select", { id, onchange: () => change({ [trait]: Number(select.value) }) }, ...Array.from({ length: d }, (_, i) => h("option", { value: i }, `z${i}`)));
    return { row: h("span", {}, h("label", { for: id }, label), select), select };
  };
  const picks = [pick("first", "Turn "), pick("second", " and ")];
  const controls = h("div", { class: "vl-controls" }, h("div", { class: "vl-row" }, ...picks.map((one) => one.row)), angle.row);
  root.append(h("div", { class: "vl-beside" }, face ?? "", h("div", {}, said, told)), controls, matrix, legend, chart);

  let drawn = "";
  let top = 0;
  const height = (value) => 86 - (value / top) * 62;
  return () => {
    const [first, second, turn] = [model.get("first"), model.get("second"), model.get("angle")];
    if (drawn !== `${first} ${second}`) {
      drawn = `${first} ${second}`;
      const angles = Array.from({ length: 61 }, (_, i) => -REACH + 3 * i);
      const values = angles.map((angle) => table.mig(table.turned(first, second, angle)));
      top = Math.max(...values) || 1;
      set(curve, { d: line(angles.map((angle, i) => [at(angle), height(values[i])])) });
      [0, top].forEach((value, i) => {
        labels[i].textContent = decimals(value);
        set(labels[i], { y: height(value) + 5 });
      });
    }
    const found = table.turned(first, second, turn);
    const mig = table.mig(found);
    for (let j = 0; j < names.length; j++)
      for (let i = 0; i < d; i++) cells[j][i].style.fillOpacity = (0.04 + 0.96 * Math.min(1, found[i][j] / table.entropies[j])).toFixed(3);
    [first, second].forEach((dimension, i) => set(frames[i], { x: left + dimension * side - 1 }));
    set(here, { cx: at(turn), cy: height(mig) });
    said.textContent = `MIG ${decimals(mig, 3)}; as trained ${decimals(table.mig(table.trained), 3)}`;
    const best = (dimension) => names[found[dimension].reduce((best, value, j) => (value > found[dimension][best] ? j : best), 0)].replaceAll("_", " ");
    set(matrix, { "aria-label": `What each dimension tells of each factor. z${first} tells most of ${best(first)}, z${second} of ${best(second)}.` });
    angle.show(turn);
    picks[0].select.value = first;
    picks[1].select.value = second;
  };
}

export default { render: live("The turn: two dimensions of a code, turned into each other", build) };
