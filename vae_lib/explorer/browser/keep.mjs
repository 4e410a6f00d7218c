// What is shared and kept: the state as text, and pictures with their names and values in words.

import { decimals, soon, twoDigits } from "./numbers.mjs";
import { GRAIN, NOTCHES, position, stretch } from "./state.mjs";
import { LARGE, drawn, gif, pngOf, sideBySide } from "./pictures.mjs";
import { button, h, section } from "./dom.mjs";

/** Of a text the letters that every system takes in a file's name. */
const safe = (text) =>
  text.replaceAll("−", "-").replaceAll("β", "beta").normalize("NFKD").replace(/[\u0300-\u036f]/g, "")
    .replace(/[^A-Za-z0-9.-]+/g, "_").replace(/^[_.]+|[_.]+$/g, "").slice(0, 40);

/** Where a face begins or a way ends: in words, and short. */
function startWords({ ids, factors }, { kind, seed, index, id, values, draw }) {
  const face = kind === "gallery" ? ids[index] : id;
  const real = ({ name, low, high }, i) => `${name} ${decimals(low + (values[i] / 1000) * (high - low))}`;
  const [told, short] = {
    mean: () => ["the prior’s mean", "mean"],
    seed: () => [`a draw from the prior, seed ${seed}`, `seed${seed}`],
    fit: () => [`a draw where faces live, seed ${seed}`, `faces_seed${seed}`],
    gallery: () => [`face ${face}`, face.replace(/\.\w+$/, "")],
    face: () => [`face ${face}`, face.replace(/\.\w+$/, "")],
    photo: () => ["a photo", "photo"],
    factors: () => [`true factors: ${factors.map(real).join(", ")}`, "factors"],
    code: () => ["a code that was shared", "code"],
  }[kind]();
  return draw === undefined ? [told, short] : [`${told}; draw ${draw} from its posterior`, `${short}_draw${draw}`];
}

/** Everything that was moved, what moved most first: its name, short for files, and its values. */
function movedWords({ world, state, names }, states) {
  const { lead, end, offsets, amounts } = state;
  const { order } = world.models[lead];
  const dimensions = Object.entries(offsets).map(([rank, offset]) => {
    const [d, given] = [order[rank], names.of(lead, order[rank])];
    const values = states.map((one) => decimals(position(world, one, lead)[d]));
    return { size: Math.abs(offset) / GRAIN, name: given ? `${given} (z ${d})` : `z ${d}`, short: safe(given) || `z${d}`, values };
  });
  const attributes = Object.entries(amounts).map(([index, amount]) => {
    const { name } = world.attributes[index];
    const values = states.map((one) => decimals((one.amounts[index] ?? 0) / NOTCHES));
    return { size: Math.abs(amount) / NOTCHES, name, short: safe(name), values };
  });
  const moved = [...dimensions, ...attributes].sort((a, b) => b.size - a.size);
  if (end) {
    const [told, short] = startWords(world, end);
    moved.unshift({ name: `${state.way} way to ${told}`, short: `to_${short}`, values: states.map(({ t }) => `${Math.round(t)} %`) });
  }
  return moved.map(({ name, short, values }) => ({ name, short, value: [...new Set(values)].join(" to ") }));
}

/**
 * What a picture of a kind ("face", "strip", "film") shows: a name for its file, and texts for its
 * inside. A face has every model in it; strips and films have the leading one's way to where it is.
 */
export function wordsOf(controller, kind) {
  const { world, state } = controller;
  const leading = world.models[state.lead];
  const models = kind === "face" ? world.models : [leading];
  const labels = models.map(({ label }) => label).join("; ");
  const [start, begun] = startWords(world, state.start);
  const beta = (model) => twoDigits(controller.betaOf(world.models.indexOf(model)));
  const moved = movedWords(controller, kind === "face" ? [state] : [stretch(state, 0), stretch(state, 1)]);
  const most = moved.slice(0, 2); // more would make a name too long
  const more = moved.length > 2 ? `and ${moved.length - 2} more` : "";
  const name = [
    safe(leading.label), models.length > 1 && `and_${models.length - 1}_more`, safe(begun), leading.rate && `beta${beta(leading)}`,
    ...most.flatMap(({ short, value }) => [short, safe(value)]), safe(more), kind === "strip" && kind,
  ];
  const texts = {
    Title: [labels, start, ...most.map(({ name, value }) => `${name} ${value}`), more].filter(Boolean).join(" · "),
    Model: labels,
    Start: start,
    Values: [
      ...models.flatMap((model) => (model.rate ? [`β of ${model.label}: ${beta(model)}`] : [])),
      ...moved.map(({ name, value }) => `${name}: ${value}`),
    ].join("\n"),
    State: controller.text(),
    Software: "vae_lib explorer",
  };
  return { name: name.filter(Boolean).join("_"), texts: Object.fromEntries(Object.entries(texts).filter(([, text]) => text)) };
}

export function keepPart(controller) {
  const text = h("input", { type: "text", class: "ve-text", spellcheck: "false", autocomplete: "off", "aria-label": "State as text" });
  const told = h("span", { class: "ve-note", role: "status" });
  const copy = async () => {
    const state = controller.text();
    if (!state) return;
    text.value = state;
    text.select();
    try {
      await navigator.clipboard.writeText(state);
    } catch {
      document.execCommand("copy"); // pages from disk may have no clipboard
    }
    told.textContent = "Copied.";
  };
  const load = () => controller.load(text.value);
  text.addEventListener("keydown", (event) => event.key === "Enter" && load());
  const save = (blob, name) => {
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  const guarded = (task) => async () => {
    try {
      told.textContent = "";
      await task();
    } catch (error) {
      controller.complain(`The picture could not be made: ${error.message}`);
    }
  };
  const png = guarded(async () => {
    const { name, texts } = wordsOf(controller, "face");
    save(await pngOf(sideBySide(controller.frames.map((frame) => drawn(frame, 256))), texts), `${name}.png`);
  });
  const strip = guarded(async () => {
    const { name, texts } = wordsOf(controller, "strip");
    save(await pngOf(sideBySide((await controller.film(9)).map((frame) => drawn(frame))), texts), `${name}.png`);
  });
  const film = guarded(async () => {
    told.textContent = "Making the GIF …";
    const { name, texts } = wordsOf(controller, "film");
    const there = (await controller.film(17)).map((frame) => drawn(frame).getContext("2d").getImageData(0, 0, LARGE, LARGE).data);
    const comment = Object.entries(texts).map(([keyword, text]) => `${keyword}: ${text}`).join("\n");
    save(new Blob([gif([...there, ...there.slice(1, -1).reverse()], LARGE, comment)], { type: "image/gif" }), `${name}.gif`);
    told.textContent = "";
  });
  const element = section(
    "Share and keep", false,
    h("p", { class: "ve-note" }, "This text is where you are. Whoever pastes it into an explorer of the same models sees the same face."),
    h("div", { class: "ve-line" }, text, button("Copy", copy), button("Load", load)),
    h("div", { class: "ve-line" }, button("Save PNG", png), button("Save strip", strip), button("Save GIF", film), told),
  );
  const write = soon(() => {
    if (document.activeElement === text) return;
    const state = controller.text();
    text.value = state ?? "";
    text.placeholder = state ? "" : "This position cannot be told in 400 characters.";
  }, 150);
  const update = (what) => {
    if (what !== "state") return;
    told.textContent = "";
    write();
  };
  return { element, update };
}
