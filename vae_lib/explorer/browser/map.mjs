// The map: a plane of two latent dimensions, in which the face is one point.

import { clamp, decimals } from "./numbers.mjs";
import { codeOf } from "./state.mjs";
import { h, section } from "./dom.mjs";

const EDGE = 3.5; // standard deviations from the middle to each side
const NEAR = 9; // pixels within which a press means a dot

/** The number of the point that is nearest to `at` and within `reach` of it; −1 where none is. */
export function nearest(points, at, reach = Infinity) {
  const distances = points.map(([x, y]) => Math.hypot(x - at[0], y - at[1]));
  const best = distances.indexOf(Math.min(...distances));
  return distances[best] <= reach ? best : -1;
}

const svg = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

export function mapPart(controller) {
  const { world } = controller;
  let axes = [0, 1]; // ranks, of what goes across and of what goes up
  let [points, dots, drawnFor] = [[], [], ""];
  const faces = svg("g");
  const face = svg("circle", { class: "ve-point", r: 0.17 });
  const square = h("div", {
    class: "ve-map", tabindex: 0, role: "slider", "aria-label": "Map", "aria-roledescription": "two-dimensional slider",
    "aria-valuemin": -EDGE, "aria-valuemax": EDGE,
    "aria-description": "Arrow keys move the face by 0.1, with Shift by 0.5. 0 takes it to the middle. Enter starts from the nearest face of the gallery.",
  });
  square.append(
    svg(
      "svg",
      { viewBox: `${-EDGE} ${-EDGE} ${2 * EDGE} ${2 * EDGE}`, "aria-hidden": "true" },
      svg("path", { d: `M${-EDGE} 0H${EDGE}M0 ${-EDGE}V${EDGE}` }),
      ...[1, 2, 3].flatMap((r) => [svg("circle", { r }), svg("text", { x: 0.06, y: 0.32 - r }, String(r))]),
      faces,
      face,
    ),
  );
  const selects = ["Across", "Up"].map((label, axis) =>
    h(
      "select",
      {
        "aria-label": `${label} the map`,
        onchange: ({ target }) => {
          const rank = Number(target.value);
          if (axes[1 - axis] === rank) axes = axes.toReversed();
          else axes = axes.with(axis, rank);
          update("state");
        },
      },
      ...Array.from({ length: world.latent }, (_, rank) => h("option", { value: rank })),
    ),
  );
  const told = h("p", { class: "ve-note" });

  const here = () => axes.map((rank) => controller.valueOf(rank));
  const go = (to) => {
    const values = {};
    axes.forEach((rank, axis) => (values[rank] = controller.offsetTo(rank, clamp(to[axis], -EDGE, EDGE))));
    controller.act({ type: "offsets", values }, `map ${axes}`);
  };
  const startFrom = (index) => index >= 0 && controller.begin("start", { kind: "gallery", index });

  /** Where the mouse is, in standard deviations, and how many of them are a pixel. */
  const placeOf = ({ clientX, clientY }) => {
    const { left, top, width } = square.getBoundingClientRect();
    const pixel = (2 * EDGE) / width;
    return { at: [(clientX - left) * pixel - EDGE, EDGE - (clientY - top) * pixel], pixel };
  };
  let pressed;
  square.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const { at, pixel } = placeOf(event);
    square.setPointerCapture(event.pointerId);
    pressed = { x: event.clientX, y: event.clientY, dot: nearest(points, at, NEAR * pixel) };
    if (pressed.dot < 0) go(at);
  });
  square.addEventListener("pointermove", (event) => {
    const { at, pixel } = placeOf(event);
    if (!pressed) {
      const dot = nearest(points, at, NEAR * pixel);
      square.title = dot < 0 ? "" : `Start from ${[world.ids[dot], ...world.facts[dot]].join(", ")}`;
      square.classList.toggle("ve-pick", dot >= 0);
      return;
    }
    if (pressed.dot >= 0 && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) < 4) return;
    pressed.dot = -1;
    go(at);
  });
  square.addEventListener("pointerup", () => {
    if (pressed) startFrom(pressed.dot);
    pressed = null;
  });
  square.addEventListener("pointercancel", () => (pressed = null));
  square.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 0.5 : 0.1;
    const [x, y] = here();
    const act = {
      ArrowLeft: () => go([x - step, y]), ArrowRight: () => go([x + step, y]),
      ArrowDown: () => go([x, y - step]), ArrowUp: () => go([x, y + step]),
      0: () => go([0, 0]), Enter: () => startFrom(nearest(points, [x, y])),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  const part = section(
    "Map of two dimensions", false,
    h("p", { class: "ve-note" }, `Drag the point: the face follows. ${world.ids.length ? "Dots are the gallery’s faces, click one to start from it; the" : "The"} circles are 1, 2 and 3 standard deviations of the prior.`),
    h("div", { class: "ve-plane" }, square, h("div", { class: "ve-axes" }, ...["Across", "Up"].map((label, axis) => h("label", {}, label, selects[axis])), told)),
  );
  const update = (what) => {
    if (what !== "state" || !part.open) return;
    const { lead, start } = controller.state;
    const { order } = world.models[lead];
    const nameOf = (rank) => controller.names.of(lead, order[rank]) || `z ${order[rank]}`;
    const [beta, kl] = [controller.betaOf(), controller.klOf()];
    const shape = `${lead} ${axes} ${beta} ${order.map((_, rank) => nameOf(rank))}`;
    if (shape !== drawnFor) {
      drawnFor = shape;
      const codes = world.ids.map((_, index) => codeOf(world, { kind: "gallery", index }, lead, beta));
      points = codes.map((z) => axes.map((rank) => z[order[rank]]));
      dots = points.map(([x, y]) => svg("circle", { cx: x, cy: -y, r: 0.09 }));
      faces.replaceChildren(...dots);
      selects.forEach((select, axis) => {
        [...select.options].forEach((option, rank) => (option.textContent = `${nameOf(rank)}${kl ? ` · ${decimals(kl[order[rank]])} nats` : ""}`));
        select.value = axes[axis];
      });
    }
    dots.forEach((dot, index) => dot.classList.toggle("ve-chosen", start.kind === "gallery" && start.index === index));
    const [x, y] = here();
    face.setAttribute("cx", clamp(x, -EDGE, EDGE));
    face.setAttribute("cy", -clamp(y, -EDGE, EDGE));
    const text = [x, y].map((value, axis) => `${nameOf(axes[axis])}: ${decimals(value)}`).join(", ");
    told.textContent = text;
    square.setAttribute("aria-valuenow", clamp(x, -EDGE, EDGE).toFixed(2));
    square.setAttribute("aria-valuetext", text);
  };
  part.addEventListener("toggle", () => update("state"));
  return { element: part, update };
}
