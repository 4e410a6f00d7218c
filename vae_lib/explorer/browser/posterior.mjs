// The posterior of the starting face, where it is known: bars on the sliders, and draws from it.

import { clamp, decimals } from "./numbers.mjs";
import { button, h } from "./dom.mjs";

/** On a slider's track the prior's 0 ± 1, and before it a posterior's μ ± σ; no bars without one. */
export function showSpread(range, mu, sd) {
  const key = sd === undefined ? "" : `${mu} ${sd} ${range.max}`;
  if (range.spread === key) return;
  range.spread = key;
  range.classList.toggle("ve-spread", Boolean(key));
  range.title = key && `This face’s posterior: μ = ${decimals(mu)}, σ = ${decimals(sd)}. Pale: the prior, 0 ± 1.`;
  range.setAttribute("aria-description", range.title);
  if (!key) return;
  const share = (value) => clamp((value - range.min) / (range.max - range.min), 0, 1);
  const ends = { "--ve-q0": mu - sd, "--ve-q1": mu + sd, "--ve-p0": -1, "--ve-p1": 1 };
  for (const [name, value] of Object.entries(ends)) range.style.setProperty(name, share(value));
}

/** Nats of N(μ, σ²) above N(0, 1), all dimensions together. */
export const natsOf = ({ mu, logvar }) =>
  mu.reduce((sum, mean, d) => sum + (mean * mean + Math.exp(logvar[d]) - logvar[d] - 1) / 2, 0);

/** Draw the starting face anew from its posterior, or go back to its mean. */
export function posteriorLine(controller) {
  const again = button("Draw again", () => controller.drawn((controller.state.start.draw ?? 0) + 1), {
    title: "Another z from this face’s posterior, N(μ, σ²)",
  });
  const mean = button("μ", () => controller.drawn(), { "aria-label": "Back to the posterior’s mean", title: "Back to the posterior’s mean" });
  const told = h("span", { class: "ve-note", role: "status" });
  const element = h("div", { class: "ve-line" }, again, mean, told);
  const update = (what) => {
    if (what !== "state") return;
    const { posterior } = controller;
    element.hidden = !posterior;
    if (!posterior) return;
    const { draw } = controller.state.start;
    mean.setAttribute("aria-disabled", String(draw === undefined));
    const text = `${draw === undefined ? "μ" : `draw ${draw}`} · ${decimals(natsOf(posterior), 1)} nats`;
    if (told.textContent !== text) told.textContent = text;
  };
  return { element, update };
}
