// The parts of the explorer: each gives an element, and a function that tells it what changed.

import { clamp, decimals, norm, twoDigits } from "./numbers.mjs";
import { NOTCHES, OCTAVE, codeOf } from "./state.mjs";
import { difference, drawn } from "./pictures.mjs";
import { renamable } from "./names.mjs";
import { posteriorLine, showSpread } from "./posterior.mjs";
import { PADLOCK, button, h, oneStop, ownSlider, paint, section, unique } from "./dom.mjs";

const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="; // until it is decoded

export function facesPart(controller) {
  const { world } = controller;
  const several = world.models.length > 1;
  const middle = Math.sqrt(world.latent - 0.5); // mean and sd of the length of a normal vector
  const full = 1.6 * middle;
  const group = unique("lead");
  const figure = (caption, label, kind) => {
    const canvas = h("canvas", { width: 64, height: 64, role: "img", "aria-label": label });
    return { canvas, element: h("figure", { class: kind }, canvas, h("figcaption", {}, caption)) };
  };
  const figures = world.models.map(({ label }, m) => {
    const length = h("span", {});
    const mark = h("i", { class: "ve-mark" });
    const shell = h("i", { class: "ve-shell", style: `left:${(100 * (middle - 1.42)) / full}%;width:${284 / full}%` });
    const radio = h("input", { type: "radio", name: group, onchange: () => controller.act({ type: "lead", lead: m }) });
    const whole = label.replaceAll(" = ", "\u00a0=\u00a0"); // breaks at "_" and ", " first
    const name = h("span", {}, ...whole.split(/(?<=_)/).flatMap((part) => [part, h("wbr")]));
    const at = h("span", {}); // the slider's β, of a network that takes it
    const told = h("span", {}, name, at);
    const title = several
      ? h("label", { class: "ve-lead", title: "The sliders show the values of this model" }, radio, told)
      : h("span", { class: "ve-lead" }, told);
    const gauge = h("span", { class: "ve-gauge", "aria-hidden": "true" }, shell, mark);
    const made = figure(h("div", {}, title, length, gauge), `Face decoded by ${label}`, "ve-model");
    gauge.title = length.title = `‖z‖: how far this code lies from the prior’s mean. Random draws from the prior lie in the shaded band, at ${decimals(middle, 1)} ± 1.4.`;
    return { ...made, label, at, length, mark, radio };
  });
  const original = figure("original", "Original picture", "ve-extra");
  const changes = figure("what changed", "What changed: difference from the starting face", "ve-extra");
  const speed = h("span", { class: "ve-speed", "aria-hidden": "true" });
  const decoder = h("span", {});
  const dot = h("i", { class: "ve-dot", "aria-hidden": "true" });
  const status = h("p", { class: "ve-status", role: "status" }, dot, decoder, speed);
  const element = h(
    "div",
    { class: "ve-faces" },
    h("div", { class: "ve-figures" }, ...figures.map((f) => f.element)),
    h("div", { class: "ve-extras" }, original.element, changes.element),
    status,
  );
  const sentences = {
    none: "Decoded by this browser, without Python.",
    silent: "The kernel is busy or does not answer; this page decodes by itself until it does.",
    gone: "The kernel was restarted or is gone; this page goes on decoding by itself. Run the cell again to connect.",
  };
  const update = (what) => {
    if (what === "kernel" || what === "frames") {
      const { mode, device } = controller.kernel;
      const text = mode === "there" && device ? `This page decodes while you drag, the kernel (${device}) when you rest.` : sentences[mode];
      if (decoder.textContent !== text) decoder.textContent = status.title = text;
      dot.className = `ve-dot ve-${mode}`;
    }
    if (what === "state") {
      figures.forEach(({ canvas, label, at, length, mark, radio }, m) => {
        if (world.models[m].rate) {
          at.textContent = `, β\u00a0=\u00a0${twoDigits(controller.betaOf(m))}`;
          canvas.setAttribute("aria-label", `Face decoded by ${label}${at.textContent}`);
        }
        const z = controller.positions[m];
        if (!z) return;
        length.textContent = `‖z‖ = ${decimals(norm(z), 1)}; random:\u00a0${decimals(middle, 1)}`;
        mark.style.left = `${clamp((100 * norm(z)) / full, 0, 100)}%`;
        radio.checked = m === controller.state.lead;
      });
    }
    if (what === "frames") {
      figures.forEach(({ canvas }, m) => controller.frames[m] && paint(canvas, controller.frames[m]));
      const by = controller.kernel.mode === "there" ? `, shown: ${controller.decodedBy}` : "";
      speed.textContent = controller.decodeTime ? ` ${Math.max(1, Math.round(controller.decodeTime))} ms${by}` : "";
    }
    if (what === "frames" || what === "state") {
      const picture = controller.original;
      original.element.hidden = !picture;
      if (picture) paint(original.canvas, picture);
      const frame = controller.frames[controller.state.lead];
      changes.element.hidden = !(controller.changes && controller.base && frame);
      if (!changes.element.hidden) paint(changes.canvas, difference(frame, controller.base));
    }
  };
  return { element, update };
}

/** Choose where the face begins, or where the way ends: the parts of a select and what it needs. */
function chooser(controller, target, none) {
  const { world } = controller;
  const current = () => controller.state[target];
  let lastSeed = 1;
  const choose = (start, question) => controller.begin(target, start, question);
  const kinds = h("select", { "aria-label": target === "start" ? "Start from" : "End at", onchange: () => picked(kinds.value) });
  const option = (value, label) => kinds.append(h("option", { value }, label));
  const seed = h("input", { type: "number", min: 0, max: 4294967295, step: 1, "aria-label": "Seed", onchange: () => draw(Number(seed.value)) });
  const draw = (value) => {
    lastSeed = Math.floor(clamp(Number.isFinite(value) ? value : 0, 0, 4294967295));
    choose({ kind: from.value, seed: lastSeed });
  };
  const from = h(
    "select",
    {
      "aria-label": "Drawn from", title: "A Gaussian fitted to the codes of validation faces, or N(0, I)", hidden: !world.fits,
      onchange: () => {
        controller.drawsFrom = from.value;
        draw(lastSeed);
      },
    },
    world.fits ? h("option", { value: "fit" }, "where faces live") : null,
    h("option", { value: "seed" }, "the prior"),
  );
  const seedLine = h("div", { class: "ve-line" }, h("label", {}, "Seed ", seed), button("Another", () => draw(lastSeed + 1)), from);
  const thumbs = h("div", { class: "ve-thumbs", role: "group", "aria-label": "Faces of the gallery, as this model decodes them" });
  const name = h("input", { type: "text", placeholder: "000123.jpg", "aria-label": "Name of a face of the dataset", onchange: () => name.value.trim() && byName(name.value.trim()) });
  const byName = (id) => choose({ kind: "face", id }, { kind: "face", id });
  const any = () => choose({ kind: "face", id: "" }, { kind: "face", number: Math.floor(Math.random() * 2 ** 31) });
  const faceLine = h("div", { class: "ve-line" }, h("label", {}, "Face ", name), button("Another", any));
  const picked = (kind) => {
    if (kind === "none") controller.act({ type: "end", end: null });
    if (kind === "mean") choose({ kind });
    if (kind === "seed") draw(lastSeed);
    if (kind === "gallery") choose({ kind, index: target === "end" ? 1 : Math.max(0, world.ids.indexOf(controller.model.get("opening")?.id)) });
    if (kind === "face") any();
  };
  let drawnFor;
  const fill = async () => {
    const { lead } = controller.state;
    if (drawnFor === lead) return;
    drawnFor = lead;
    const first = world.models[lead].rate?.first;
    thumbs.replaceChildren(
      ...world.ids.map((id, index) => {
        const about = [id, ...world.facts[index]].join(", ");
        return h("button", { type: "button", title: about, "aria-label": about, onclick: () => choose({ kind: "gallery", index }) }, h("img", { alt: `face ${about}`, src: BLANK, width: 64, height: 64 }));
      }),
    );
    mark();
    const chosen = thumbs.querySelector("[aria-pressed=true]");
    if (chosen) thumbs.scrollTop = chosen.offsetTop - thumbs.offsetTop - 3;
    const pictures = [...thumbs.querySelectorAll("img")];
    for (let at = 0; at < pictures.length && drawnFor === lead; at += 4) {
      while (controller.decoding) await new Promise((resolve) => setTimeout(resolve, 20)); // faces first
      const beta = first === undefined ? undefined : 2 ** (first / OCTAVE); // thumbnails stay as they are where β moves
      const items = pictures.slice(at, at + 4).map((_, i) => {
        return { model: lead, z: codeOf(world, { kind: "gallery", index: at + i }, lead, beta) };
      });
      const frames = await controller.decodeAllHere(items, beta).catch(() => []);
      frames.forEach((frame, i) => (pictures[at + i].src = drawn(frame, 64).toDataURL()));
    }
  };
  const enter = oneStop(thumbs, "button");
  const mark = () => {
    const chosen = current()?.kind === "gallery" ? current().index : -1;
    [...thumbs.children].forEach((thumb, index) => thumb.setAttribute("aria-pressed", String(index === chosen)));
    if (!thumbs.contains(document.activeElement)) enter(thumbs.children[Math.max(0, chosen)]);
  };
  const element = h("div", { class: "ve-chooser" }, kinds, seedLine, faceLine, thumbs);
  const update = (what) => {
    if (what !== "state" && what !== "kernel") return;
    const drawn = ["seed", "fit"].includes(current()?.kind);
    const kind = drawn ? "seed" : (current()?.kind ?? "none");
    const options = [
      none && ["none", none],
      ["mean", "the prior’s mean"],
      ["seed", "a random sample"],
      world.ids.length && ["gallery", "a face of the gallery"],
      controller.kernel.mode === "there" && controller.kernel.faces && ["face", "a face of the dataset"],
      kind === "photo" && ["photo", "your photo"],
      kind === "factors" && ["factors", "true factors"],
      kind === "code" && ["code", "a code that was shared"],
    ].filter(Boolean);
    const shape = JSON.stringify(options);
    if (kinds.dataset.shape !== shape) {
      kinds.dataset.shape = shape;
      kinds.replaceChildren();
      for (const [value, label] of options) option(value, label);
    }
    if (kind === "face" && !options.some(([value]) => value === "face")) option("face", "a face of the dataset");
    kinds.value = kind;
    seedLine.hidden = kind !== "seed";
    faceLine.hidden = kind !== "face" || controller.kernel.mode !== "there";
    thumbs.hidden = kind !== "gallery";
    if (drawn) from.value = current().kind;
    if (drawn && document.activeElement !== seed) seed.value = lastSeed = current().seed;
    if (kind === "face" && document.activeElement !== name) name.value = current().id;
    if (kind === "gallery") {
      fill();
      mark();
    }
  };
  return { element, update };
}

export function startPart(controller) {
  const { element, update } = chooser(controller, "start");
  const line = posteriorLine(controller);
  element.firstElementChild.after(line.element);
  const part = section("Start from", true, element);
  part.classList.add("ve-start");
  return { element: part, update: (what) => (update(what), line.update(what)) };
}

export function dimensionsPart(controller, previews, shown) {
  const { world } = controller;
  const count = world.latent;
  const rows = [];
  const makeRow = (rank) => {
    const slider = ownSlider({
      label: "z", note: " ", low: -3, high: 3, step: 0.05, shown: decimals,
      input: (value) => controller.move(rank, value),
      reset: () => controller.recentre(rank),
    });
    slider.row.classList.add("ve-latent");
    rows.push({ ...slider, rank });
    previews.add(slider, (value) => ({ type: "offset", rank, value: controller.offsetTo(rank, value) }));
    const dimension = () => world.models[controller.state.lead].order[rank];
    renamable(
      slider,
      () => controller.names.of(controller.state.lead, dimension()),
      (text) => controller.names.set(controller.state.lead, dimension(), text),
    );
    return slider.row;
  };
  const update = (what) => {
    if (what !== "state") return;
    const { order, label } = world.models[controller.state.lead];
    const kl = controller.klOf();
    linked.textContent = `These are the dimensions of ${label}; the circle before a model’s name chooses another. The other models move their own dimension of the same rank, which may show something else.`;
    const { posterior } = controller;
    for (const { rank, range, name, small, zero, show, stretch } of rows) {
      const d = order[rank];
      const given = controller.names.of(controller.state.lead, d);
      const text = given || `z ${d}`;
      const nats = kl ? `${decimals(kl[d])} nats` : "";
      const below = [given && `z ${d}`, nats].filter(Boolean).join(" · ");
      if (name.textContent !== text || small.textContent !== below) {
        name.textContent = text;
        small.textContent = below;
        range.setAttribute("aria-label", [given, `Latent dimension ${d}`, nats].filter(Boolean).join(", "));
        zero.setAttribute("aria-label", `Latent dimension ${d}: back to 0`);
      }
      const value = controller.valueOf(rank);
      stretch(Math.max(3, Math.ceil(Math.abs(value))));
      show(value);
      if (posterior) showSpread(range, posterior.mu[d], Math.exp(posterior.logvar[d] / 2));
      else showSpread(range);
    }
  };
  const fill = (box, from, to) => {
    for (let rank = from; rank < to; rank++) box.append(makeRow(rank));
    update("state");
  };
  const linked = h("p", { class: "ve-note" });
  const first = h("div", {});
  fill(first, 0, Math.min(shown, count));
  const body = [
    h("p", { class: "ve-note" }, world.models[0].kl
      ? "The model’s own axes, those with the largest mean KL (in nats) first; values in standard deviations of the prior. The small pictures show this face at both ends."
      : "The model’s own axes, in the decoder’s order, since no KL is known for this model; values in standard deviations of the prior. The small pictures show this face at both ends."),
    world.models.length > 1 ? linked : null,
    first,
  ].filter(Boolean);
  if (count > shown) {
    const rest = h("div", {});
    const more = h("details", { class: "ve-more" }, h("summary", {}, `${count - shown} weaker dimensions`), rest);
    more.addEventListener("toggle", () => more.open && !rest.childElementCount && fill(rest, shown, count));
    body.push(more);
  }
  return { element: section("Latent dimensions", true, ...body), update };
}

// The attributes on top: what everybody sees at once, without knowing CelebA's list or having an
// opinion on what is attractive, and what these models move well. CelebA's names, then the names
// of the causes of synthetic faces. Whatever else there is can be unfolded or searched.
const FAMILIAR = [
  "Smiling", "Eyeglasses", "Wearing Hat", "No Beard", "Blond Hair", "Gray Hair",
  "smile", "glasses", "hair colour", "hair length", "skin tone", "yaw",
];
const HANDFUL = 6;

export function attributesPart(controller, previews) {
  const { world } = controller;
  const about = ({ kind, scores }, m) =>
    `A linear probe reads this off z with ${kind === "R²" ? "R²" : "AUC"} ${decimals(scores[m])} (${kind === "R²" ? "1 is perfect, 0 is guessing" : "1 is perfect, 0.5 is guessing"}).`;
  const rows = world.attributes.map((attribute, index) => {
    const { name } = attribute;
    const lock = h("button", {
      type: "button", class: "ve-lock", title: "Lock: the other attributes no longer move this one (key L)",
      "aria-label": `Lock ${name}`,
      onclick: () => controller.act({ type: "lock", index, on: !controller.state.locks.includes(index) }),
    });
    lock.innerHTML = PADLOCK;
    const slider = ownSlider({
      label: name, about: about(attribute, 0), low: -3 * NOTCHES, high: 3 * NOTCHES,
      shown: (value) => decimals(value / NOTCHES),
      input: (value) => controller.act({ type: "amount", index, value }, `a${index}`),
      reset: () => controller.act({ type: "amount", index, value: 0 }),
      lock,
    });
    previews.add(slider, (value) => ({ type: "amount", index, value }));
    return { ...slider, attribute, lock, index };
  });
  const known = FAMILIAR.flatMap((name) => rows.filter(({ attribute }) => attribute.name === name));
  const first = (known.length ? known : rows).slice(0, HANDFUL);
  const rest = rows.filter((row) => !first.includes(row));
  const none = h("p", { class: "ve-note", hidden: true }, "No attribute has such a name.");
  const more = h("details", { class: "ve-more" }, h("summary", {}, `${rest.length} more attributes`), ...rest.map(({ row }) => row), none);
  const search = h("input", {
    type: "search", class: "ve-search", placeholder: `Find one of ${rows.length} attributes`, "aria-label": "Find an attribute",
    oninput: () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = rest.filter(({ row, attribute }) => {
        row.hidden = !words.every((word) => attribute.name.toLowerCase().includes(word));
        return !row.hidden;
      });
      none.hidden = Boolean(found.length);
      if (words.length) more.open = true;
    },
  });
  const element = section(
    "Attributes",
    true,
    h("p", { class: "ve-note" }, "0 leaves the face as it is; 1 adds the average difference between faces with it and faces without it; the ends are −3 and 3. Close a padlock, and the other sliders leave this attribute alone."),
    h("div", {}, ...first.map(({ row }) => row)),
    rest.length ? search : null,
    rest.length ? more : null,
  );
  const update = (what) => {
    if (what !== "state") return;
    const { amounts, locks, lead } = controller.state;
    for (const { show, lock, index, row, range, attribute } of rows) {
      const locked = locks.includes(index);
      show(amounts[index] ?? 0, locked && "locked");
      lock.setAttribute("aria-pressed", String(locked));
      const text = about(attribute, lead);
      if (range.getAttribute("aria-description") === text) continue;
      range.setAttribute("aria-description", text);
      row.querySelector(".ve-name").title = text;
    }
  };
  return { element, update };
}

export function wayPart(controller, previews) {
  const { element: end, update: updateEnd } = chooser(controller, "end", "nowhere");
  const group = unique("way");
  const radios = ["linear", "spherical"].map((way) => ({
    way,
    radio: h("input", { type: "radio", name: group, onchange: () => controller.act({ type: "way", way }) }),
  }));
  const slider = ownSlider({
    label: "A to B", low: 0, high: 100, shown: (value) => `${value} %`,
    input: (value) => controller.act({ type: "t", value }, "t"),
    reset: () => controller.act({ type: "t", value: 0 }),
  });
  previews.add(slider, (value) => ({ type: "t", value }));
  const straight = h("p", { class: "ve-note" }, "The prior’s mean has no direction, so that this way is straight either way.");
  const way = h(
    "div",
    {},
    slider.row,
    h("div", { class: "ve-line", role: "radiogroup", "aria-label": "Way" }, ...radios.map(({ way, radio }) => h("label", { class: "ve-check" }, radio, way))),
    straight,
  );
  const element = section(
    "From face A to face B", false,
    h("p", { class: "ve-note" }, "A is where you started; B is:"),
    end,
    way,
  );
  const update = (what) => {
    updateEnd(what);
    if (what !== "state") return;
    const { end, t, way: chosen, start } = controller.state;
    way.hidden = !end;
    straight.hidden = chosen === "linear" || (start.kind !== "mean" && end?.kind !== "mean");
    slider.show(t);
    for (const { way, radio } of radios) radio.checked = way === chosen;
    if (end && !element.open) element.open = true;
  };
  return { element, update };
}

export function factorsPart(controller) {
  const { factors } = controller.world;
  const neutral = factors.map(({ low, high, binary }) => (binary ? 0 : low < 0 && high > 0 ? Math.round((-1000 * low) / (high - low)) : 500));
  const values = () => (controller.state.start.kind === "factors" ? controller.state.start.values : neutral);
  const rows = factors.map(({ name, low, high, meaning, binary }, index) => {
    const real = (value) => low + (value / 1000) * (high - low);
    const slider = ownSlider({
      label: name, low: 0, high: 1000, step: binary ? 1000 : 1,
      shown: (value) => decimals(real(value), high - low > 10 ? 0 : 2),
      input: (value) => controller.setFactors((controller.wantedFactors ?? values()).with(index, value)),
    });
    slider.row.title = meaning;
    slider.row.classList.add("ve-factor");
    return slider;
  });
  const alone = h("p", { class: "ve-note" }, "These sliders draw new faces, which needs a kernel: open this explorer in a notebook of the course.");
  const body = h("div", {},
    h("p", { class: "ve-note" }, "The causes of a synthetic face. Left the model’s reconstruction, beside it what the renderer drew."),
    ...rows.map(({ row }) => row));
  const element = section("True factors", false, alone, body);
  const update = (what) => {
    if (what === "kernel") {
      alone.hidden = controller.kernel.mode === "there";
      body.hidden = !alone.hidden;
    }
    if (what === "state") {
      const shown = values();
      rows.forEach(({ show, range }, index) => document.activeElement === range || show(shown[index]));
      rows.forEach(({ show, range }) => document.activeElement === range && show(Number(range.value)));
    }
  };
  return { element, update };
}
