// The state, its history and its text.
//
// A state is plain, immutable and made of whole numbers, so that its text is exact:
//   start, end  where the face begins and, if an end is chosen, where the way leads; with `draw`, the
//               seed of a draw from the posterior of that face
//   t, way      how far along, 0 … 100, and "linear" or "spherical"
//   amounts     attribute → steps of 1/20 of its direction
//   locks       attributes that the others must not move, sorted
//   offsets     rank of a dimension (0 is the strongest) → 1/256 standard deviations of the prior
//   lead        the model whose values the sliders show
//   betas       network for every β → the β that it is asked for, 64 steps an octave, 0 is β = 1
// and z = way(start, end, t) + amounts · directions + offsets, for every model with its own codes,
// directions and ranks.

import { bytesOf, clamp, dot, floatsFromHalf, norm, seededNormal } from "./numbers.mjs";

export const GRAIN = 256; // offsets and codes: steps per standard deviation
export const NOTCHES = 20; // attribute sliders: steps per direction
export const OCTAVE = 64; // β: steps for a factor of two
const MOST = 2047; // twelve bits, ±8 standard deviations

export const initialState = () => ({
  start: { kind: "mean" }, end: null, t: 0, way: "linear", amounts: {}, locks: [], offsets: {}, lead: 0, betas: {},
});

const put = (table, key, value) => {
  const { [key]: _, ...others } = table;
  return value ? { ...others, [key]: value } : others;
};
const whole = (value, reach) => clamp(Math.round(value), -reach, reach);

/** The state after an action; actions that change nothing give the same object back. */
export function reduce(state, action) {
  const next = apply(state, action);
  return JSON.stringify(next) === JSON.stringify(state) ? state : next;
}

function apply(state, { type, ...a }) {
  if (type === "offset") return { ...state, offsets: put(state.offsets, a.rank, whole(a.value, MOST)) };
  if (type === "offsets") {
    const moved = Object.entries(a.values);
    return { ...state, offsets: moved.reduce((table, [rank, value]) => put(table, rank, whole(value, MOST)), state.offsets) };
  }
  if (type === "amount") return { ...state, amounts: put(state.amounts, a.index, whole(a.value, 3 * NOTCHES)) };
  if (type === "lock") {
    const others = state.locks.filter((index) => index !== a.index);
    return { ...state, locks: (a.on ? [...others, a.index] : others).sort((x, y) => x - y) };
  }
  if (type === "start") return { ...state, start: a.start, t: 0, amounts: {}, offsets: {} };
  if (type === "end") return { ...state, end: a.end, t: a.end ? state.t : 0 };
  if (type === "t") return { ...state, t: clamp(Math.round(a.value), 0, 100) };
  if (type === "way") return { ...state, way: a.way };
  if (type === "lead") return { ...state, lead: a.lead };
  if (type === "beta") return { ...state, betas: { ...state.betas, [a.model]: whole(a.value, MOST) } };
  if (type === "reset") return { ...state, t: 0, amounts: {}, offsets: {} };
  if (type === "replace") return a.state;
  throw new Error(`There is no action ${type}.`);
}

/** Undo and redo. What one hand does to one control without a rest is one step. */
export class History {
  constructor(present, rest = 700) {
    Object.assign(this, { present, rest, past: [], future: [], control: null, time: -Infinity });
  }
  act(action, control = null, time = 0) {
    const next = reduce(this.present, action);
    if (next === this.present) return;
    const goesOn = control !== null && control === this.control && time - this.time < this.rest;
    if (!goesOn) this.past = [...this.past.slice(-199), this.present];
    Object.assign(this, { present: next, future: [], control, time });
  }
  undo() {
    if (!this.past.length) return;
    this.future = [this.present, ...this.future];
    this.present = this.past.at(-1);
    this.past = this.past.slice(0, -1);
    this.control = null;
  }
  /** What happened since this state was the present one becomes one step, or none. */
  foldSince(before) {
    const at = this.past.lastIndexOf(before);
    if (at < 0) return;
    const moved = keyOf(before) !== keyOf(this.present);
    this.past = this.past.slice(0, moved ? at + 1 : at);
    this.control = null;
  }
  redo() {
    if (!this.future.length) return;
    this.past = [...this.past, this.present];
    [this.present, ...this.future] = this.future;
    this.control = null;
  }
}

/** What a start, or a state, is told by; all draws from one posterior have the same. */
export const keyOf = (start) => JSON.stringify(start && { ...start, draw: undefined });

/** A draw from a Gaussian, from one of N(0, I): mean + L ε, with L's rows below one another. */
const drawnFrom = ({ mean, chol }, noise) => mean.map((value, i) => value + dot(chol[i], noise));

/** The β that a model is asked for; undefined of one that was trained for one β. */
export function betaOf(world, state, m) {
  const { rate } = world.models[m];
  return rate && clamp(2 ** ((state.betas[m] ?? rate.first) / OCTAVE), ...rate.range);
}

/** What is kept at several β, at one between them: numbers, or arrays of them; linear in log β. */
export function atBeta(betas, table, beta) {
  let i = 0;
  while (i < betas.length - 2 && betas[i + 1] < beta) i++;
  const share = Math.log(beta / betas[i]) / Math.log(betas[i + 1] / betas[i]);
  const blend = (a, b) => a + share * (b - a);
  const [below, above] = [table[i], table[i + 1]];
  return typeof below === "number" ? blend(below, above) : below.map((value, d) => blend(value, above[d]));
}

/** Of a picture that was encoded for this page, log σ² of its posterior; else undefined. */
export function logvarOf(world, start, m, beta) {
  const { rate } = world.models[m];
  const found = world.known.get(keyOf(start))?.logvars?.[m];
  return rate && found ? atBeta(rate.betas, found, beta) : found;
}

/** The code of a start for one model, or undefined where only the kernel knows and has not told. */
export function codeOf(world, start, m, beta) {
  const { rate } = world.models[m];
  const found = kept(world, start, m);
  const mu = rate && Array.isArray(found) ? atBeta(rate.betas, found, beta) : found;
  const logvar = start.draw !== undefined && logvarOf(world, start, m, beta);
  if (!mu || !logvar) return mu;
  const noise = seededNormal(start.draw, mu.length);
  return mu.map((mean, d) => mean + Math.exp(logvar[d] / 2) * noise[d]);
}

/** A code, or of a network for every β one for each that is kept. */
function kept(world, start, m) {
  const { latent, models, known } = world;
  if (start.kind === "mean") return new Float32Array(latent);
  if (start.kind === "seed") return seededNormal(start.seed, latent);
  if (start.kind === "fit") return drawnFrom(models[m].fit, seededNormal(start.seed, latent));
  if (start.kind === "gallery") return models[m].faces[start.index];
  if (start.kind === "code") return Float32Array.from(start.values, (value) => value / GRAIN);
  return known.get(keyOf(start))?.codes[m];
}

/** A point on the way from a to b; as vae_lib.latent.interpolate, linear where no circle leads. */
export function between(a, b, t, way) {
  const lengths = norm(a) * norm(b);
  const cosine = lengths > 0 ? dot(a, b) / lengths : -1;
  const angle = Math.acos(clamp(cosine, -1, 1));
  const circle = way === "spherical" && cosine > -1 + 1e-6 && angle >= 1e-4;
  const [u, v] = circle
    ? [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)]
    : [1 - t, t];
  return a.map((value, i) => u * value + v * b[i]);
}

/**
 * What an attribute's slider adds per direction: its own direction without what would move a
 * locked attribute (Gram and Schmidt).
 */
export function withoutLocked(directions, index, locks) {
  const basis = [];
  const clear = (vector) => {
    let rest = Float64Array.from(vector);
    for (const axis of basis) {
      const along = dot(rest, axis);
      rest = rest.map((value, i) => value - along * axis[i]);
    }
    return rest;
  };
  for (const lock of locks) {
    if (lock === index) continue;
    const rest = clear(directions[lock]);
    const length = norm(rest);
    if (length > 1e-6 * norm(directions[lock])) basis.push(rest.map((value) => value / length));
  }
  return clear(directions[index]);
}

/** z of one model: Float32Array, or undefined where a code is not known (yet). */
export function position(world, state, m) {
  const model = world.models[m];
  const beta = betaOf(world, state, m);
  const start = codeOf(world, state.start, m, beta);
  const end = state.end && codeOf(world, state.end, m, beta);
  if (!start || (state.end && !end)) return undefined;
  const z = Float64Array.from(end ? between(start, end, state.t / 100, state.way) : start);
  for (const [index, steps] of Object.entries(state.amounts)) {
    const { rate, directions } = model;
    const here = rate ? directions.map((table) => atBeta(rate.betas, table, beta)) : directions;
    const direction = withoutLocked(here, Number(index), state.locks);
    for (let d = 0; d < z.length; d++) z[d] += (steps / NOTCHES) * direction[d];
  }
  for (const [rank, offset] of Object.entries(state.offsets)) z[model.order[rank]] += offset / GRAIN;
  return Float32Array.from(z);
}

/** The way from the state's beginning to the state, or from start to end if there is one. */
export function stretch(state, part) {
  if (state.end) return { ...state, t: 100 * part };
  const scale = (table) => Object.fromEntries(Object.entries(table).map(([k, v]) => [k, v * part]));
  return { ...state, amounts: scale(state.amounts), offsets: scale(state.offsets) };
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VERSION = "vae1-";
export const LONGEST = 400;
const KINDS = ["mean", "seed", "gallery", "face", "factors", "code", "fit"];

/** 24 bits of FNV-1a (Fowler, Noll, Vo). */
export function checksum(text) {
  let hash = 0x811c9dc5;
  for (const letter of text) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
  return (hash >>> 8) & 0xffffff;
}

function writer() {
  const bits = [];
  const write = (value, count) => {
    for (let i = count - 1; i >= 0; i--) bits.push(Math.floor(value / 2 ** i) & 1);
  };
  const text = () => {
    while (bits.length % 6) bits.push(0);
    let letters = "";
    for (let i = 0; i < bits.length; i += 6)
      letters += ALPHABET[bits.slice(i, i + 6).reduce((sum, bit) => 2 * sum + bit, 0)];
    return letters;
  };
  return { write, text };
}

function reader(letters) {
  let at = 0;
  return (count) => {
    let value = 0;
    for (let i = 0; i < count; i++, at++) {
      if (at >= 6 * letters.length) throw new RangeError("The text ends too early.");
      value = 2 * value + ((ALPHABET.indexOf(letters[Math.floor(at / 6)]) >> (5 - (at % 6))) & 1);
    }
    return value;
  };
}

/** A state as text of at most 400 characters, or null where so few cannot tell it. */
export function encodeState(world, state) {
  const { latent, models, attributes } = world;
  const own = (start) => start?.kind === "photo" || start?.draw !== undefined;
  if (own(state.start) || own(state.end)) {
    // No photo can be shared, but the code that the sliders made of it, or of a draw, can.
    const z = models.length === 1 && position(world, state, 0);
    if (!z) return null;
    const values = Array.from(z, (value) => whole(value * GRAIN, MOST));
    state = { ...initialState(), locks: state.locks, betas: state.betas, start: { kind: "code", values } };
  }
  const { write, text } = writer();
  const writeStart = (start) => {
    write(KINDS.indexOf(start.kind), 3);
    if (start.kind === "seed" || start.kind === "fit") write(start.seed, 32);
    if (start.kind === "gallery") write(start.index, 8);
    if (start.kind === "face") {
      if (start.id.length > 31 || /[^\x20-\x7e]/.test(start.id)) return false;
      write(start.id.length, 5);
      for (const letter of start.id) write(letter.charCodeAt(0), 7);
    }
    if (start.kind === "factors") for (const value of start.values) write(value, 10);
    if (start.kind === "code") for (const value of start.values) write(value + MOST + 1, 12);
    return true;
  };
  write(state.lead, 4);
  write(state.way === "spherical" ? 1 : 0, 1);
  write(state.t, 7);
  write(state.end ? 1 : 0, 1);
  if (!writeStart(state.start) || (state.end && !writeStart(state.end))) return null;
  for (let index = 0; index < attributes.length; index++) {
    const amount = state.amounts[index] ?? 0;
    write(state.locks.includes(index) ? 1 : 0, 1);
    write(amount ? 1 : 0, 1);
    if (amount) write(amount + 64, 7);
  }
  const moved = Object.entries(state.offsets);
  const size = Math.ceil(Math.log2(latent + 1));
  const few = (moved.length + 1) * size + moved.length * 12 < latent * 12;
  write(few ? 1 : 0, 1);
  if (few) {
    write(moved.length, size);
    for (const [rank, offset] of moved) {
      write(Number(rank), size);
      write(offset + MOST + 1, 12);
    }
  } else for (let rank = 0; rank < latent; rank++) write((state.offsets[rank] ?? 0) + MOST + 1, 12);
  models.forEach(({ rate }, m) => rate && write((state.betas[m] ?? rate.first) + MOST + 1, 12));
  const body = text();
  const head = writer();
  head.write(world.fingerprint, 24);
  head.write(checksum(body), 24);
  const written = VERSION + head.text() + body;
  return written.length <= LONGEST ? written : null;
}

/** The state that a text tells; throws an Error with a sentence for the learner. */
export function decodeState(world, text) {
  const { latent, models, attributes, ids, factors } = world;
  text = text.trim();
  if (!/^vae\d+-/.test(text) || /[^A-Za-z0-9_-]/.test(text))
    throw new Error("This is no explorer state: one begins with “vae1-” and goes on with letters, digits, - and _. Copy it again.");
  if (!text.startsWith(VERSION))
    throw new Error("This state was written by another version of the explorer. Ask for it from this version.");
  const body = text.slice(VERSION.length + 8);
  const head = reader(text.slice(VERSION.length));
  let found;
  try {
    found = [head(24), head(24)];
  } catch {
    found = [NaN, NaN];
  }
  if (found[1] !== checksum(body) || text.length > LONGEST)
    throw new Error("This state is damaged: letters are missing or changed. Copy the whole text again.");
  if (found[0] !== world.fingerprint)
    throw new Error(`This state belongs to other models or other weights than ${models.map((model) => model.label).join(", ")}. Open it in an explorer of the same ones.`);
  const read = reader(body);
  const readStart = () => {
    const kind = KINDS[read(3)];
    if (kind === "mean") return { kind };
    if (kind === "seed" || (kind === "fit" && world.fits)) return { kind, seed: read(32) };
    if (kind === "gallery") return { kind, index: read(8) };
    if (kind === "face") return { kind, id: Array.from({ length: read(5) }, () => String.fromCharCode(read(7))).join("") };
    if (kind === "factors") return { kind, values: factors.map(() => read(10)) };
    if (kind === "code") return { kind, values: Array.from({ length: latent }, () => read(12) - MOST - 1) };
    throw new RangeError("An unknown start.");
  };
  const state = initialState();
  try {
    state.lead = read(4);
    state.way = read(1) ? "spherical" : "linear";
    state.t = read(7);
    const hasEnd = read(1);
    state.start = readStart();
    if (hasEnd) state.end = readStart();
    for (let index = 0; index < attributes.length; index++) {
      if (read(1)) state.locks.push(index);
      if (read(1)) state.amounts[index] = read(7) - 64;
    }
    if (read(1)) {
      const size = Math.ceil(Math.log2(latent + 1));
      for (let left = read(size); left > 0; left--) {
        const rank = read(size);
        state.offsets[rank] = read(12) - MOST - 1;
        if (rank >= latent) throw new RangeError("An unknown dimension.");
      }
    } else
      for (let rank = 0; rank < latent; rank++) {
        const offset = read(12) - MOST - 1;
        if (offset) state.offsets[rank] = offset;
      }
    models.forEach(({ rate }, m) => rate && (state.betas[m] = read(12) - MOST - 1));
    const unknown = (start) => start?.kind === "gallery" && start.index >= ids.length;
    if (state.lead >= models.length || unknown(state.start) || unknown(state.end)) throw new RangeError("Out of range.");
  } catch {
    throw new Error("This state is damaged: it tells of faces or dimensions that are not there. Copy it again.");
  }
  return state;
}

/** What a network for every β brings: its range, the β that are kept, and what it measures there. */
function rateOf({ beta_range, betas, first_beta }, gallery, rows) {
  const measured = gallery?.rates;
  const faces = gallery?.ids?.length;
  return {
    range: beta_range, betas, ids: gallery?.ids, first: Math.round(OCTAVE * Math.log2(first_beta)), measured,
    faceKl: rows(measured?.face_kl, faces), facePsnr: rows(measured?.face_psnr, faces),
    klPerDimension: measured?.kl_per_dimension,
  };
}

/** What is known about the models together. */
export function makeWorld(subjects, labels, factors) {
  const latent = subjects[0]?.spec.latent_size ?? 0;
  const rows = (bytes, size) => {
    const all = bytes?.byteLength ? floatsFromHalf(bytesOf(bytes)) : new Float32Array();
    return Array.from({ length: size ? all.length / size : 0 }, (_, i) => all.slice(i * size, (i + 1) * size));
  };
  const galleries = subjects.map(({ gallery }) => gallery ?? {});
  const inAll = (field) =>
    (galleries[0]?.[field] ?? []).filter((name) => galleries.every((gallery) => gallery[field]?.includes(name)));
  const ids = inAll("ids");
  const score = (name, m = 0) => galleries[m].score[galleries[m].names.indexOf(name)];
  const names = inAll("names").sort((a, b) => score(b) - score(a));
  const attributes = names.map((name) => ({
    name,
    kind: galleries[0].kind[galleries[0].names.indexOf(name)],
    scores: galleries.map((_, m) => score(name, m)),
  }));
  const models = subjects.map(({ spec, gallery }, m) => {
    const mu = rows(gallery?.mu, latent);
    const directions = rows(gallery?.directions, latent);
    const rate = spec.beta_range && rateOf(spec, gallery, rows);
    // Of a network for every β the tables of all β follow each other.
    const of = (table, all, name) => {
      const at = all.indexOf(name);
      return rate ? rate.betas.map((_, b) => table[b * all.length + at]) : table[at];
    };
    return {
      label: labels[m], order: spec.order, kl: spec.kl, rate,
      faces: ids.map((id) => of(mu, gallery.ids, id)),
      directions: names.map((name) => of(directions, gallery.names, name)),
      fit: gallery?.fit && { mean: rows(gallery.fit.mean, latent)[0], chol: rows(gallery.fit.chol, latent) },
    };
  });
  const values = rows(galleries[0]?.attributes, galleries[0]?.names?.length);
  const facts = (id) => {
    // The two attributes of a face that the fewest other faces have tell it best.
    const row = values[galleries[0].ids.indexOf(id)];
    const labelled = galleries[0].names.flatMap((name, a) => (galleries[0].kind[a] === "R²" ? [] : [{ name, a }]));
    const share = ({ a }) => values.filter((other) => other[a] > 0).length;
    const own = labelled.filter(({ a }) => row[a] > 0).sort((x, y) => share(x) - share(y));
    return own.slice(0, 2).map(({ name }) => name.toLowerCase());
  };
  const identity = [...subjects.map(({ spec }) => spec.digest), ...ids, ...names, factors.length];
  return {
    latent, models, attributes, ids, factors, facts: ids.map(facts), known: new Map(),
    fits: models.every(({ fit }) => fit), // the Gaussians that were fitted to the codes of faces
    fingerprint: checksum(identity.join("\n")),
  };
}
