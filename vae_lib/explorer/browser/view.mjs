// One view per place where the widget is shown.

import { decimals, norm, soon } from "./numbers.mjs";
import { Controller } from "./controller.mjs";
import { h, isTyping } from "./dom.mjs";
import { standing } from "./place.mjs";
import { photoPart } from "./photo.mjs";
import { mapPart } from "./map.mjs";
import { toolbarPart } from "./play.mjs";
import { Previews } from "./previews.mjs";
import { ratePart } from "./rate.mjs";
import {
  attributesPart, dimensionsPart, facesPart, factorsPart, startPart, wayPart,
} from "./parts.mjs";
import { keepPart } from "./keep.mjs";

async function render({ model, el }, controller) {
  const root = h("div", { class: "vae-explorer", role: "group", "aria-label": "Latent explorer", "data-lm-suppress-shortcuts": "true" });
  el.append(root);
  const alert = h("div", { class: "ve-alert", role: "alert", hidden: true });
  root.append(alert);
  let stand;
  const say = (text) => {
    const full = [...model.get("problems"), text].filter(Boolean).join(" ");
    if (alert.textContent !== full) alert.textContent = full;
    alert.hidden = !full;
    stand?.look();
  };
  say("");
  try {
    await controller.ready;
  } catch (error) {
    say(`The explorer could not start: ${error.message}`);
    return;
  }
  const { world } = controller;
  if (!world.models.length) return;

  const previews = new Previews(controller);
  const parts = [(what) => previews.update(what)];
  const add = (part) => (parts.push(part.update), part.element);
  const faces = add(facesPart(controller));
  const chooser = add(startPart(controller));
  const toolbar = toolbarPart(controller, root);
  const photo = photoPart(controller);
  const controls = h(
    "div",
    { class: "ve-controls" },
    add(toolbar),
    world.models.some(({ rate }) => rate) ? add(ratePart(controller)) : null,
    world.attributes.length ? add(attributesPart(controller, previews)) : null,
    add(dimensionsPart(controller, previews, model.get("shown"))),
    world.latent > 1 ? add(mapPart(controller)) : null,
    world.factors.length ? add(factorsPart(controller)) : null,
    add(wayPart(controller, previews)),
    add(photo),
    add(keepPart(controller)),
  );
  const live = h("div", { class: "ve-hidden", "aria-live": "polite" });
  const probe = h("div", { class: "ve-probe", "aria-hidden": "true" });
  const left = h("div", { class: "ve-left" }, faces);
  const body = h("div", { class: "ve-body" }, left, controls);
  controls.firstElementChild.after(chooser);
  root.append(body, live, probe);
  stand = standing({ root, body, left, faces, controls, chooser, probe, alert }, world.models.length);

  const announce = soon(() => {
    const z = controller.positions[controller.state.lead];
    if (z && root.contains(document.activeElement)) live.textContent = `New face. Length of z ${decimals(norm(z), 1)}.`;
  }, 1200);
  const update = (what) => {
    if (what === "notice" || what === "state") say(controller.notice);
    for (const part of parts) part(what);
    stand.look();
    if (what === "frames") announce();
  };
  root.addEventListener("keydown", (event) => {
    // JupyterLab would take letters and digits for its own: "0 0" restarts the kernel.
    event.stopPropagation();
    if (!(event.ctrlKey || event.metaKey) || isTyping(event.target)) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) controller.redo();
    else controller.undo();
  });
  controller.show(update);
  for (const what of ["kernel", "state", "frames"]) update(what);
  return () => {
    controller.hide(update);
    stand.end();
    previews.end();
    toolbar.end();
    photo.end();
    root.remove();
  };
}

export const explorer = () => {
  let controller;
  return {
    initialize({ model }) {
      controller = new Controller(model);
      controller.ready.catch(() => {}); // views tell it
      return () => controller.end();
    },
    render: (context) => render(context, controller),
  };
};

// A page loads this text anew for every widget and keeps for ever what it made of it, so that the
// first one serves all. Python puts the text's digest in: another text is another explorer.
export default globalThis[Symbol.for("vae_lib explorer, DIGEST")] ??= explorer;
