// The browser side of the latent explorer: all state, all controls, and a decoder for pages
// without a kernel. Python (explorer.py) only answers: code → pixels, picture → code.
//
// From top to bottom: numbers · the decoder · the state, its history and its text · who decodes ·
// pictures to keep · the controller, one per widget · the view, one per place where it is shown.

// ---------------------------------------------------------------------------------- numbers

/** Draws from N(0, 1), the same as vae_lib.explorer.seeded_normal: Mulberry32, Box and Muller. */
export function seededNormal(seed, count) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  const draws = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    draws[i] = radius * Math.cos(angle);
    if (i + 1 < count) draws[i + 1] = radius * Math.sin(angle);
  }
  return draws;
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const norm = (a) => Math.sqrt(dot(a, a));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** The bytes behind what a trait or message delivers: a DataView, a typed array or a buffer. */
const bytesOf = (data) =>
  data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** IEEE half precision, little-endian bytes, to float32. */
export function floatsFromHalf(bytes) {
  const half = new Uint16Array(new Uint8Array(bytes).buffer); // a copy: halves must be aligned
  const bits = new Uint32Array(half.length);
  for (let i = 0; i < half.length; i++) {
    const sign = (half[i] & 0x8000) << 16;
    const exponent = (half[i] >> 10) & 31;
    const fraction = half[i] & 1023;
    if (exponent === 31) bits[i] = sign | 0x7f800000 | (fraction << 13);
    else if (exponent) bits[i] = sign | ((exponent + 112) << 23) | (fraction << 13);
    else if (fraction) {
      const shift = Math.clz32(fraction) - 21; // a subnormal half is a normal float
      bits[i] = sign | ((113 - shift) << 23) | ((fraction << (13 + shift)) & 0x7fffff);
    } else bits[i] = sign;
  }
  return new Float32Array(bits.buffer);
}

// ------------------------------------------------------------------------------ the decoder
// These functions also run in a worker, which gets them as text: they use nothing from outside.

/**
 * Assemble a WebAssembly module with one function: `pixels` dot products with 4 · `vectors` columns.
 *
 * Plain JavaScript multiplies one pair of numbers at a time; this multiplies four, and took a
 * seventh of the time. The function's arguments, all byte addresses or counts, are
 *   one address per pixel, skip, steps, rows, weights, bias, out:
 * each pixel's numbers lie in `rows` stretches of 4 · `steps` floats, `skip` bytes apart.
 */
export function assembleTile(pixels, vectors) {
  const unsigned = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...unsigned(n >> 7)]); // LEB128
  const signed = (n) => (n < 64 ? [n] : [(n & 127) | 128, ...signed(n >> 7)]); // n ≥ 0
  const section = (id, body) => [id, ...unsigned(body.length), ...body];
  const each = (n, make) => Array.from({ length: n }, (_, i) => make(i)).flat();
  const get = (local) => [0x20, ...unsigned(local)];
  const set = (local) => [0x21, ...unsigned(local)];
  const number = (n) => [0x41, ...signed(n)];
  const plus = (local, what) => [...get(local), ...what, 0x6a, ...set(local)];
  const loop = (body) => [0x03, 0x40, ...body, 0x0b];
  const whileMore = (local) => [...get(local), ...number(1), 0x6b, 0x22, ...unsigned(local), 0x0d, 0];
  const load = (offset) => [0xfd, 0x00, 2, ...unsigned(offset)];
  const loadToAllLanes = (offset) => [0xfd, 0x09, 2, ...unsigned(offset)];
  const store = (offset) => [0xfd, 0x0b, 2, ...unsigned(offset)];
  const multiply = [0xfd, 0xe6, 1];
  const add = [0xfd, 0xe4, 1];

  const [skip, steps, rows, weights, bias, out, step] = each(7, (i) => [pixels + i]);
  const x = step + 1;
  const column = (v) => x + 1 + v;
  const sum = (p, v) => x + 1 + vectors + p * vectors + v;
  const pairs = (make) => each(pixels, (p) => each(vectors, (v) => make(p, v)));
  const code = [
    ...pairs((p, v) => [...get(bias), ...load(16 * v), ...set(sum(p, v))]),
    ...loop([
      ...get(steps),
      ...set(step),
      ...loop([
        ...each(4, (k) => [
          ...each(vectors, (v) => [...get(weights), ...load(16 * (k * vectors + v)), ...set(column(v))]),
          ...each(pixels, (p) => [
            ...get(p),
            ...loadToAllLanes(4 * k),
            ...set(x),
            ...each(vectors, (v) => [
              ...get(sum(p, v)), ...get(x), ...get(column(v)), ...multiply, ...add, ...set(sum(p, v)),
            ]),
          ]),
        ]),
        ...each(pixels, (p) => plus(p, number(16))),
        ...plus(weights, number(64 * vectors)),
        ...whileMore(step),
      ]),
      ...each(pixels, (p) => plus(p, get(skip))),
      ...whileMore(rows),
    ]),
    ...pairs((p, v) => [...get(out), ...get(sum(p, v)), ...store(16 * (p * vectors + v))]),
    0x0b,
  ];
  const i32 = 0x7f;
  const v128 = 0x7b;
  const body = [2, 1, i32, ...unsigned(1 + vectors + pixels * vectors), v128, ...code];
  return new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // "\0asm", version 1
    ...section(1, [1, 0x60, pixels + 6, ...each(pixels + 6, () => [i32]), 0]),
    ...section(2, [1, 1, 0x6d, 1, 0x6d, 2, 0, 1]), // import the memory "m.m"
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x66, 0, 0]), // export the function as "f"
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

/**
 * The decoder of vae_lib.model.VAE.
 *
 * A transposed convolution with kernel 4 and stride 2 is four convolutions with kernel 2, one for
 * each parity of the output's row and column. Feature maps lie channels last, with a border of
 * zeros, so that the two neighbours in a row are one stretch of memory.
 *
 * @param spec latent_size, image_size, channels: as in VAEConfig
 * @param half what vae_lib.explorer.decoder_weights gives, as bytes
 * @returns z (Float32Array) → pixels (Uint8ClampedArray, RGBA)
 */
export function createDecoder({ latent_size, image_size, channels }, half) {
  const values = floatsFromHalf(half);
  let used = 0;
  const take = (count) => values.subarray(used, (used += count));
  const up4 = (n) => (n + 3) & ~3;
  const widths = [...channels].reverse().concat(3);
  const smallest = image_size >> channels.length;
  const cells = smallest * smallest;
  const features = widths[0] * cells;

  // Where everything lies in the memory, counted in floats.
  let top = 0;
  const room = (count) => (top = up4(top + count)) - up4(count);
  const kinds = [{ pixels: 4, lanes: 8 }, { pixels: 8, lanes: 4 }]; // the latter for RGB
  const plan = (outputs, parities, rows, stretch, kind) => {
    const { lanes } = kinds[kind];
    const blocks = Math.ceil(outputs / lanes);
    const block = rows * up4(stretch) * lanes;
    return {
      outputs, kind, lanes, blocks, block, stretch: up4(stretch), steps: up4(stretch) / 4,
      bias: room(blocks * lanes), weights: room(parities * blocks * block),
    };
  };
  const code = room(latent_size);
  const linear = plan(features, 1, 1, latent_size, 0);
  const layers = channels.map((_, l) => {
    const last = l === channels.length - 1;
    const size = smallest << l;
    const inputs = widths[l];
    const input = room((size + 2) ** 2 * inputs);
    return { ...plan(widths[l + 1], 4, 2, 2 * inputs, last ? 1 : 0), inputs, size, last, input };
  });
  const result = room(32);
  const picture = room(image_size ** 2 * 3);
  // The last pixel's stretch, rounded up, may end a little behind its feature map.
  const memory = new WebAssembly.Memory({ initial: Math.ceil((4 * top + 64) / 65536) });
  const floats = new Float32Array(memory.buffer);
  for (const kind of kinds) {
    const module = new WebAssembly.Module(assembleTile(kind.pixels, kind.lanes / 4));
    kind.run = new WebAssembly.Instance(module, { m: { m: memory } }).exports.f;
  }

  const put = (plan, parity, output, row, k, value) => {
    const block = parity * plan.blocks + Math.floor(output / plan.lanes);
    const at = plan.weights + block * plan.block + (row * plan.stretch + k) * plan.lanes;
    floats[at + (output % plan.lanes)] = value;
  };
  const matrix = take(features * latent_size);
  const offsets = take(features);
  for (let f = 0; f < features; f++) {
    const output = (f % cells) * widths[0] + Math.floor(f / cells); // channels last
    floats[linear.bias + output] = offsets[f];
    for (let d = 0; d < latent_size; d++) put(linear, 0, output, 0, d, matrix[f * latent_size + d]);
  }
  for (const layer of layers) {
    const kernel = take(layer.inputs * layer.outputs * 16);
    floats.set(take(layer.outputs), layer.bias);
    let at = 0;
    for (let i = 0; i < layer.inputs; i++)
      for (let o = 0; o < layer.outputs; o++)
        for (let ky = 0; ky < 4; ky++)
          for (let kx = 0; kx < 4; kx++, at++) {
            // Output row 2r meets kernel rows 3 and 1, output row 2r + 1 kernel rows 2 and 0.
            const parity = (ky % 2 ? 0 : 2) + (kx % 2 ? 0 : 1);
            put(layer, parity, o, ky < 2 ? 1 : 0, (kx < 2 ? layer.inputs : 0) + i, kernel[at]);
          }
  }
  if (used !== values.length || !values.every(Number.isFinite))
    throw new Error("The weights in this page are damaged.");

  const toFeatures = () => {
    const first = layers[0];
    const from = 4 * code;
    for (let block = 0; block < linear.blocks; block++) {
      kinds[0].run(
        from, from, from, from, 0, linear.steps, 1,
        4 * (linear.weights + block * linear.block), 4 * (linear.bias + block * 8), 4 * result,
      );
      for (let f = block * 8; f < Math.min(features, block * 8 + 8); f++) {
        const cell = Math.floor(f / widths[0]);
        const row = Math.floor(cell / smallest) + 1;
        const column = (cell % smallest) + 1;
        const at = (row * (smallest + 2) + column) * widths[0] + (f % widths[0]);
        floats[first.input + at] = floats[result + f - block * 8];
      }
    }
  };
  const convolve = (layer, to, border) => {
    const { inputs, outputs, size, lanes, last } = layer;
    const { pixels, run } = kinds[layer.kind];
    const count = size * size;
    const width = 2 * size + 2 * border;
    const skip = 4 * ((size + 2) * inputs - layer.stretch);
    const addresses = new Array(pixels);
    for (let parity = 0; parity < 4; parity++) {
      const [down, right] = [parity >> 1, parity & 1];
      for (let start = 0; start < count; start += pixels) {
        for (let p = 0; p < pixels; p++) {
          const cell = Math.min(start + p, count - 1);
          const row = Math.floor(cell / size) + down;
          addresses[p] = 4 * (layer.input + (row * (size + 2) + (cell % size) + right) * inputs);
        }
        for (let block = 0; block < layer.blocks; block++) {
          const weights = 4 * (layer.weights + (parity * layer.blocks + block) * layer.block);
          const rest = [skip, layer.steps, 2, weights, 4 * (layer.bias + block * lanes), 4 * result];
          run(...addresses, ...rest);
          const filled = Math.min(lanes, outputs - block * lanes);
          for (let p = 0; p < pixels && start + p < count; p++) {
            const row = 2 * Math.floor((start + p) / size) + down + border;
            const column = 2 * ((start + p) % size) + right + border;
            const at = to + (row * width + column) * outputs + block * lanes;
            for (let o = 0; o < filled; o++) {
              const value = floats[result + p * lanes + o];
              floats[at + o] = last || value > 0 ? value : 0.2 * value; // LeakyReLU
            }
          }
        }
      }
    }
  };
  return (z) => {
    floats.set(z, code);
    toFeatures();
    layers.forEach((layer, l) =>
      layer.last ? convolve(layer, picture, 0) : convolve(layer, layers[l + 1].input, 1),
    );
    const rgba = new Uint8ClampedArray(image_size ** 2 * 4);
    for (let at = 0, from = picture; at < rgba.length; at += 4, from += 3) {
      for (let c = 0; c < 3; c++) rgba[at + c] = 255 / (1 + Math.exp(-floats[from + c]));
      rgba[at + 3] = 255;
    }
    return rgba;
  };
}

/** What the worker does with a message: build the decoder once, then decode. */
function workerMain(createDecoder) {
  let decode;
  onmessage = ({ data }) => {
    try {
      if (data.half) decode = createDecoder(data.spec, data.half);
      else {
        const frames = data.codes.map((code) => decode(code));
        postMessage({ id: data.id, frames }, frames.map((frame) => frame.buffer));
      }
    } catch (error) {
      postMessage({ id: data.id, problem: String(error.message ?? error) });
    }
  };
}

// ------------------------------------------------------------ the state, its history, its text
//
// A state is plain, immutable and made of whole numbers, so that its text is exact:
//   start, end  where the face begins and, if an end is chosen, where the way leads
//   t, way      how far along, 0 … 100, and "linear" or "spherical"
//   weights     attribute → steps of 1/20 of its direction
//   locks       attributes that the others must not move, sorted
//   offsets     rank of a dimension (0 is the strongest) → 1/256 standard deviations of the prior
//   lead        the model whose values the sliders show
// and z = way(start, end, t) + weights · directions + offsets, for every model with its own codes,
// directions and ranks.

export const GRAIN = 256; // offsets and codes: steps per standard deviation
export const NOTCHES = 20; // attribute sliders: steps per direction
const MOST = 2047; // twelve bits, ±8 standard deviations

export const initialState = () => ({
  start: { kind: "mean" }, end: null, t: 0, way: "linear", weights: {}, locks: [], offsets: {}, lead: 0,
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
  if (type === "weight") return { ...state, weights: put(state.weights, a.index, whole(a.value, 3 * NOTCHES)) };
  if (type === "lock") {
    const others = state.locks.filter((index) => index !== a.index);
    return { ...state, locks: (a.on ? [...others, a.index] : others).sort((x, y) => x - y) };
  }
  if (type === "start") return { ...state, start: a.start, t: 0, weights: {}, offsets: {} };
  if (type === "end") return { ...state, end: a.end, t: a.end ? state.t : 0 };
  if (type === "t") return { ...state, t: clamp(Math.round(a.value), 0, 100) };
  if (type === "way") return { ...state, way: a.way };
  if (type === "lead") return { ...state, lead: a.lead };
  if (type === "reset") return { ...state, t: 0, weights: {}, offsets: {} };
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
  redo() {
    if (!this.future.length) return;
    this.past = [...this.past, this.present];
    [this.present, ...this.future] = this.future;
    this.control = null;
  }
}

export const keyOf = (start) => JSON.stringify(start);

/** The code of a start for one model, or undefined where only the kernel knows and has not told. */
function codeOf(world, start, m) {
  const { latent, models, known } = world;
  if (start.kind === "mean") return new Float32Array(latent);
  if (start.kind === "seed") return seededNormal(start.seed, latent);
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
  const start = codeOf(world, state.start, m);
  const end = state.end && codeOf(world, state.end, m);
  if (!start || (state.end && !end)) return undefined;
  const z = Float64Array.from(end ? between(start, end, state.t / 100, state.way) : start);
  for (const [index, steps] of Object.entries(state.weights)) {
    const direction = withoutLocked(model.directions, Number(index), state.locks);
    for (let d = 0; d < z.length; d++) z[d] += (steps / NOTCHES) * direction[d];
  }
  for (const [rank, offset] of Object.entries(state.offsets)) z[model.order[rank]] += offset / GRAIN;
  return Float32Array.from(z);
}

/** The way from the state's beginning to the state, or from start to end if there is one. */
export function stretch(state, part) {
  if (state.end) return { ...state, t: 100 * part };
  const scale = (table) => Object.fromEntries(Object.entries(table).map(([k, v]) => [k, v * part]));
  return { ...state, weights: scale(state.weights), offsets: scale(state.offsets) };
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VERSION = "vae1-";
export const LONGEST = 400;
const KINDS = ["mean", "seed", "gallery", "face", "factors", "code"];

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
  const own = (start) => start?.kind === "photo";
  if (own(state.start) || own(state.end)) {
    // Neither a photo nor its name can be shared, but the code that the sliders made of it can.
    const z = models.length === 1 && position(world, state, 0);
    if (!z) return null;
    const values = Array.from(z, (value) => whole(value * GRAIN, MOST));
    state = { ...initialState(), locks: state.locks, start: { kind: "code", values } };
  }
  const { write, text } = writer();
  const writeStart = (start) => {
    write(KINDS.indexOf(start.kind), 3);
    if (start.kind === "seed") write(start.seed, 32);
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
    const weight = state.weights[index] ?? 0;
    write(state.locks.includes(index) ? 1 : 0, 1);
    write(weight ? 1 : 0, 1);
    if (weight) write(weight + 64, 7);
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
    if (kind === "seed") return { kind, seed: read(32) };
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
      if (read(1)) state.weights[index] = read(7) - 64;
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
    const unknown = (start) => start?.kind === "gallery" && start.index >= ids.length;
    if (state.lead >= models.length || unknown(state.start) || unknown(state.end)) throw new RangeError("Out of range.");
  } catch {
    throw new Error("This state is damaged: it tells of faces or dimensions that are not there. Copy it again.");
  }
  return state;
}

// -------------------------------------------------------------------------------- who decodes

/** RGBA of RGB bytes. */
const withAlpha = (rgb) => {
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4)
    for (let c = 0; c < 3; c++) rgba[to + c] = rgb[from + c];
  return rgba;
};

/** A decoder in this page, in a worker where that is possible: spec, half → codes → frames. */
function pageDecoder(spec, half) {
  let worker;
  try {
    const parts = [floatsFromHalf, assembleTile, createDecoder, workerMain];
    const source = `${parts.join("\n")}\nworkerMain(createDecoder);`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    worker = new Worker(url);
  } catch {
    const decode = createDecoder(spec, half);
    return { decode: async (codes) => codes.map((code) => decode(code)), end() {} };
  }
  const waiting = new Map();
  const settle = ({ id, frames, problem }) => {
    const failing = problem ? [...waiting.keys()] : [id];
    for (const key of failing) {
      const { resolve, reject } = waiting.get(key) ?? {};
      waiting.delete(key);
      if (problem) reject?.(new Error(problem));
      else resolve?.(frames);
    }
  };
  worker.onmessage = ({ data }) => settle(data);
  worker.onerror = (event) => settle({ problem: event.message || "The page's decoder stopped." });
  worker.postMessage({ spec, half });
  let count = 0;
  const decode = (codes) =>
    new Promise((resolve, reject) => {
      waiting.set(++count, { resolve, reject });
      worker.postMessage({ id: count, codes });
    });
  return { decode, end: () => worker.terminate() };
}

/**
 * Explorers on one page share a decoder per model; the module itself is loaded once for each.
 * A decoder ends with the last explorer that used it.
 */
const decoders = () => (globalThis[Symbol.for("vae_lib decoders, 2")] ??= new Map());
function sharedDecoder(user, spec, half) {
  const pool = decoders();
  if (!pool.has(spec.digest)) pool.set(spec.digest, { ...pageDecoder(spec, half), users: new Set() });
  const shared = pool.get(spec.digest);
  shared.users.add(user);
  return shared.decode;
}
function leaveDecoders(user) {
  for (const [digest, { users, end }] of decoders()) {
    if (!users.delete(user) || users.size) continue;
    decoders().delete(digest);
    end();
  }
}

const PATIENCE = 1500; // ms until a kernel counts as busy or gone

/** The kernel, if there is one: questions with answers, and whether it answers at all. */
class Kernel {
  constructor(model, changed) {
    Object.assign(this, { model, changed, mode: "none", count: 0, waiting: new Map(), faces: 0, device: "" });
    model.on("msg:custom", (content, buffers) => this.hear(content, buffers ?? []));
  }
  /** Ask once whether somebody is there; whoever answers later is welcome too. */
  hello() {
    return this.ask({ kind: "hello" }, [], PATIENCE).catch(() => {});
  }
  ask(content, buffers = [], patience = 30_000) {
    const request = ++this.count;
    return new Promise((resolve, reject) => {
      const silence = () => {
        this.waiting.delete(request);
        this.become(this.mode === "there" ? "silent" : this.mode);
        reject(Object.assign(new Error("The kernel does not answer."), { silent: true }));
      };
      this.waiting.set(request, { resolve, reject, timer: setTimeout(silence, patience) });
      this.model.send({ ...content, request }, undefined, buffers);
    });
  }
  hear(content, buffers) {
    if (content.kind === "welcome") Object.assign(this, { faces: content.faces, device: content.device });
    if (this.mode !== "gone") this.become("there");
    const { resolve, reject, timer } = this.waiting.get(content.request) ?? {};
    clearTimeout(timer);
    this.waiting.delete(content.request);
    if (content.kind === "refused") reject?.(new Error(content.message));
    else resolve?.({ content, buffers: buffers.map(bytesOf) });
  }
  become(mode) {
    if (mode === this.mode) return;
    this.mode = mode;
    this.changed();
  }
  lose() {
    this.become("gone");
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer);
      reject(Object.assign(new Error("The kernel is gone."), { silent: true }));
    }
    this.waiting.clear();
  }
}

// --------------------------------------------------------------------------- pictures to keep

const LARGE = 128;

function drawn(frame, side = LARGE) {
  const size = Math.sqrt(frame.length / 4);
  const small = Object.assign(document.createElement("canvas"), { width: size, height: size });
  small.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(frame), size, size), 0, 0);
  if (side === size) return small;
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, side, side);
  return canvas;
}

function sideBySide(canvases) {
  const [{ width, height }] = canvases;
  const sheet = Object.assign(document.createElement("canvas"), { width: width * canvases.length, height });
  canvases.forEach((canvas, i) => sheet.getContext("2d").drawImage(canvas, i * width, 0));
  return sheet;
}

const pngOf = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));

/** At most `count` colours that stand for all: boxes of colours are halved where they are widest. */
export function palette(frames, count = 256) {
  const colours = [];
  const every = Math.max(1, Math.floor((frames.length * frames[0].length) / 4 / 20_000));
  for (const frame of frames)
    for (let at = 0; at < frame.length; at += 4 * every) colours.push([frame[at], frame[at + 1], frame[at + 2]]);
  const widest = (box) => {
    let best = { width: -1, channel: 0 };
    for (let channel = 0; channel < 3; channel++) {
      let [low, high] = [255, 0];
      for (const colour of box) {
        low = Math.min(low, colour[channel]);
        high = Math.max(high, colour[channel]);
      }
      if (high - low > best.width) best = { width: high - low, channel };
    }
    return best;
  };
  const boxes = [{ box: colours, ...widest(colours) }];
  while (boxes.length < count) {
    boxes.sort((a, b) => b.width * Math.sqrt(b.box.length) - a.width * Math.sqrt(a.box.length));
    const { box, width, channel } = boxes[0];
    if (width <= 0) break;
    const sorted = box.sort((a, b) => a[channel] - b[channel]);
    const half = sorted.length >> 1;
    const parts = [sorted.slice(0, half), sorted.slice(half)];
    boxes.splice(0, 1, ...parts.map((part) => ({ box: part, ...widest(part) })));
  }
  const mean = (box, channel) => Math.round(box.reduce((sum, colour) => sum + colour[channel], 0) / box.length);
  return boxes.map(({ box }) => [0, 1, 2].map((channel) => mean(box, channel)));
}

/** An endless GIF (GIF89a) of square RGBA frames, `delay` hundredths of a second each. */
export function gif(frames, side, delay = 8) {
  const colours = palette(frames);
  const nearest = new Map();
  const indexOf = (r, g, b) => {
    const key = ((r >> 2) << 12) | ((g >> 2) << 6) | (b >> 2);
    if (!nearest.has(key)) {
      let best = [Infinity, 0];
      colours.forEach(([x, y, z], i) => {
        const distance = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
        if (distance < best[0]) best = [distance, i];
      });
      nearest.set(key, best[1]);
    }
    return nearest.get(key);
  };
  const u16 = (n) => [n & 255, n >> 8];
  const table = Array.from({ length: 256 }, (_, i) => colours[i] ?? [0, 0, 0]).flat();
  const bytes = [
    ...[..."GIF89a"].map((letter) => letter.charCodeAt(0)), ...u16(side), ...u16(side), 0xf7, 0, 0, ...table,
    0x21, 0xff, 11, ...[..."NETSCAPE2.0"].map((letter) => letter.charCodeAt(0)), 3, 1, 0, 0, 0,
  ];
  for (const frame of frames) {
    bytes.push(0x21, 0xf9, 4, 4, ...u16(delay), 0, 0, 0x2c, 0, 0, 0, 0, ...u16(side), ...u16(side), 0, 8);
    const indices = new Uint8Array(side * side);
    for (let p = 0; p < indices.length; p++) indices[p] = indexOf(frame[4 * p], frame[4 * p + 1], frame[4 * p + 2]);
    const packed = lzw(indices);
    for (let at = 0; at < packed.length; at += 255) {
      const block = packed.slice(at, at + 255);
      bytes.push(block.length, ...block);
    }
    bytes.push(0);
  }
  bytes.push(0x3b);
  return new Uint8Array(bytes);
}

/** Lempel, Ziv and Welch's compression as GIF has it: codes of 9 to 12 bits, low bits first. */
function lzw(indices) {
  const bytes = [];
  let buffer = 0;
  let filled = 0;
  let width = 9;
  let table = new Map();
  let next = 258;
  const write = (code) => {
    buffer |= code << filled;
    for (filled += width; filled >= 8; filled -= 8, buffer >>>= 8) bytes.push(buffer & 255);
  };
  write(256);
  let prefix = indices[0];
  for (const index of indices.subarray(1)) {
    const key = (prefix << 8) | index;
    if (table.has(key)) {
      prefix = table.get(key);
      continue;
    }
    write(prefix);
    if (next === 4096) {
      write(256);
      [table, next, width] = [new Map(), 258, 9];
    } else {
      table.set(key, next);
      if (next++ === 1 << width) width++;
    }
    prefix = index;
  }
  write(prefix);
  write(257);
  if (filled) bytes.push(buffer & 255);
  return bytes;
}

// ------------------------------------------------------------------------------ the controller

const soon = (task, wait) => {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(task, wait);
  };
};

const PAGE = `${Date.now()}-${Math.random()}`; // by which the kernel tells pages apart

/** Everything about one widget that its views share. */
export class Controller {
  constructor(model) {
    Object.assign(this, {
      model, views: new Set(), frames: [], notice: "", changes: false, base: null, decodeTime: 0, decodedBy: "",
    });
    this.kernel = new Kernel(model, () => this.kernelChanged());
    this.saveSoon = soon(() => this.save(), 400);
    this.ready = this.open();
  }

  async open() {
    const { model } = this;
    const find = (reference) => model.widget_manager.get_model(reference.replace("IPY_MODEL_", ""));
    const weights = await Promise.all(model.get("models").map(find));
    this.weights = weights;
    this.world = makeWorld(
      weights.map((w) => ({ spec: w.get("spec"), gallery: w.get("gallery") })),
      model.get("labels"),
      model.get("factors"),
    );
    this.history = new History({ ...initialState(), start: this.opening() });
    if (!weights.length) return;
    // What anywidget hands on does not tell whether there is a kernel; other widgets do.
    const [first] = weights;
    const lost = () => first.comm_live || this.kernel.mode === "none" || this.kernel.lose();
    first.on("comm_live_update", lost);
    this.forget = () => first.off("comm_live_update", lost);
    model.on("change:state", () => this.stateSet());
    model.on("change:values", () => this.valuesSet());
    const live = Boolean(first.comm_live);
    const hello = this.kernel.hello();
    if (live) await hello;
    const wanted = model.get("state");
    if (wanted) await this.load(wanted);
    this.changed();
    this.valuesSet();
  }

  /** Where a new explorer begins: the face that Python chose, else the prior's mean. */
  opening() {
    const { id, codes } = this.model.get("opening") ?? {};
    const index = this.world.ids.indexOf(id);
    if (codes?.length) {
      const start = { kind: "face", id };
      this.world.known.set(keyOf(start), { codes: codes.map((code) => new Float32Array(bytesOf(code).slice().buffer)) });
      return start;
    }
    return index < 0 ? { kind: "mean" } : { kind: "gallery", index };
  }

  /** The widget is gone for good. */
  end() {
    this.ended = true;
    this.forget?.();
    this.kernel.lose();
    leaveDecoders(this);
  }

  show(view) {
    this.views.add(view);
    this.tellViews();
  }
  hide(view) {
    this.views.delete(view);
    this.tellViews();
  }
  tellViews() {
    this.model.send({ kind: "views", page: PAGE, count: this.views.size });
  }

  get state() {
    return this.history.present;
  }

  act(action, control = null) {
    const before = this.state;
    this.history.act(action, control, performance.now());
    if (this.state !== before) this.changed();
  }
  undo() {
    this.history.undo();
    this.changed();
  }
  redo() {
    this.history.redo();
    this.changed();
  }

  /** After every change of the state: a face is asked for, views are told. */
  changed() {
    this.notice = "";
    this.positions = this.world.models.map((_, m) => position(this.world, this.state, m));
    this.tell("state");
    this.wantFrames();
    this.saveSoon();
  }

  tell(what) {
    for (const view of this.views) view(what);
  }
  complain(message) {
    this.notice = message;
    this.tell("notice");
  }

  // where the sliders stand

  /** The leading model's value of a dimension, in standard deviations of the prior. */
  valueOf(rank) {
    const { lead } = this.state;
    return this.positions?.[lead]?.[this.world.models[lead].order[rank]] ?? 0;
  }
  /** The offset that takes a dimension there. */
  offsetTo(rank, value) {
    return (this.state.offsets[rank] ?? 0) + (value - this.valueOf(rank)) * GRAIN;
  }
  move(rank, value) {
    this.act({ type: "offset", rank, value: this.offsetTo(rank, value) }, `z${rank}`);
  }
  recentre(rank) {
    this.act({ type: "offset", rank, value: this.offsetTo(rank, 0) });
  }
  get values() {
    return Array.from({ length: this.world.latent }, (_, rank) => Math.round(1000 * this.valueOf(rank)) / 1000);
  }
  /** Python moved the sliders. */
  valuesSet() {
    const wanted = this.model.get("values") ?? [];
    if (wanted.length !== this.world.latent) return;
    const values = {};
    wanted.forEach((value, rank) => {
      if (Math.abs(value - this.valueOf(rank)) > 0.6 / GRAIN) values[rank] = this.offsetTo(rank, value);
    });
    this.act({ type: "offsets", values });
  }

  /** Python's copies follow when the hand rests, so that no face waits for them. */
  save() {
    const text = this.text() ?? "";
    const values = this.values;
    const moved = JSON.stringify(values) !== JSON.stringify(this.model.get("values"));
    if (text === this.model.get("state") && !moved) return;
    this.written = text;
    this.model.set("state", text);
    if (moved) this.model.set("values", values);
    this.model.save_changes();
  }

  // the state's text

  text() {
    return encodeState(this.world, this.state);
  }
  stateSet() {
    const text = this.model.get("state");
    if (text !== this.written) this.load(text);
  }
  async load(text) {
    try {
      const state = decodeState(this.world, text);
      for (const start of [state.start, state.end]) if (start) await this.learn(start);
      this.act({ type: "replace", state });
    } catch (error) {
      this.complain(error.message);
    }
  }

  // codes that only the kernel can tell

  /** Make sure that the codes of a start are known; throws a sentence where they cannot be. */
  async learn(start, question = start) {
    if (codeOf(this.world, start, 0)) return start;
    if (this.kernel.mode !== "there")
      throw new Error("This face comes from the dataset, and only a kernel can encode it: run this cell in a notebook, with faces=….");
    const { content, buffers } = await this.encode(question);
    const found = start.kind === "face" ? { kind: "face", id: content.id } : start;
    this.remember(found, buffers);
    return found;
  }
  encode(question) {
    const { factors } = this.world;
    const content = { kind: "encode", what: question.kind, ...question };
    if (question.kind === "factors")
      content.values = question.values.map((v, i) => factors[i].low + (v / 1000) * (factors[i].high - factors[i].low));
    return this.kernel.ask({ ...content, kind: "encode" });
  }
  remember(start, buffers) {
    const { known } = this.world;
    const codes = buffers.slice(0, -1).map((bytes) => new Float32Array(bytes.slice().buffer));
    known.set(keyOf(start), { codes, original: withAlpha(buffers.at(-1)) });
    if (known.size <= 64) return;
    const { past, present, future } = this.history;
    const used = new Set([...past, present, ...future].flatMap(({ start, end }) => [keyOf(start), keyOf(end)]));
    for (const key of [...known.keys()].slice(0, -8)) if (!used.has(key)) known.delete(key);
  }
  async begin(target, start, question = start, control = null) {
    try {
      const found = await this.learn(start, question);
      this.act({ type: target, [target]: found }, control);
    } catch (error) {
      this.complain(error.silent ? "The kernel does not answer, so that this face cannot be encoded now. It may be busy with another cell." : error.message);
    }
  }
  /** True factors while a slider is dragged: only the newest are rendered and encoded. */
  async setFactors(values) {
    this.wantedFactors = values;
    if (this.factorsRunning) return;
    this.factorsRunning = true;
    while (this.wantedFactors) {
      const start = { kind: "factors", values: this.wantedFactors };
      this.wantedFactors = null;
      await this.begin("start", start, start, "factors");
    }
    this.factorsRunning = false;
  }
  get original() {
    return this.world.known.get(keyOf(this.state.start))?.original;
  }
  /** Of a gallery face the page has the code, and a kernel with the dataset has the picture. */
  async findOriginal(start) {
    const { known, ids } = this.world;
    const found = known.get(keyOf(start));
    const id = start.kind === "gallery" ? ids[start.index] : start.id;
    if (!id || found?.asked || found?.original || !this.kernel.faces || this.kernel.mode !== "there") return;
    known.set(keyOf(start), { ...found, asked: true });
    try {
      const { buffers } = await this.encode({ kind: "face", id });
      known.set(keyOf(start), { ...known.get(keyOf(start)), original: withAlpha(buffers.at(-1)) });
      this.tell("frames");
    } catch {
      // These faces do not have it: there is no original to show.
    }
  }

  // faces

  /** Decode items {model, z} → RGBA frames, by the kernel if it answers, else in this page. */
  async decode(items) {
    if (this.kernel.mode === "there") {
      const codes = items.map(({ z }) => z.buffer);
      try {
        const models = items.map(({ model }) => model);
        const { buffers } = await this.kernel.ask({ kind: "decode", models }, codes, PATIENCE);
        this.decodedBy = "kernel";
        return buffers.map(withAlpha);
      } catch (error) {
        if (!error.silent) throw error;
      }
    }
    const frames = new Array(items.length);
    await Promise.all(
      this.weights.map(async (weights, m) => {
        const mine = items.flatMap(({ model }, i) => (model === m ? [i] : []));
        if (!mine.length) return;
        const decode = sharedDecoder(this, weights.get("spec"), bytesOf(weights.get("half")));
        const found = await decode(mine.map((i) => items[i].z));
        mine.forEach((i, k) => (frames[i] = found[k]));
      }),
    );
    this.decodedBy = "page";
    return frames;
  }

  /** One question at a time, always about the newest state: nothing can pile up. */
  async wantFrames() {
    this.wanted = true;
    if (this.decoding) return;
    this.decoding = true;
    while (this.wanted) {
      this.wanted = false;
      const { lead, start } = this.state;
      const items = this.positions.flatMap((z, model) => (z ? [{ model, z }] : []));
      const baseKey = `${lead} ${keyOf(start)}`;
      const needsBase = this.changes && this.base?.key !== baseKey;
      if (needsBase) items.push({ model: lead, z: Float32Array.from(codeOf(this.world, start, lead)) });
      const began = performance.now();
      try {
        const frames = await this.decode(items);
        this.decodeTime = performance.now() - began;
        if (needsBase) this.base = { key: baseKey, frame: frames.pop() };
        this.frames = frames;
        this.tell("frames");
        this.findOriginal(start);
      } catch (error) {
        this.complain(`This face could not be decoded: ${error.message}`);
      }
    }
    this.decoding = false;
  }
  showChanges(on) {
    this.changes = on;
    this.wantFrames();
  }

  kernelChanged() {
    if (this.ended) return;
    this.tell("kernel");
    if (this.kernel.mode === "silent") this.callAgain();
    if (this.history && this.kernel.mode !== "there") this.wantFrames();
  }
  /** A busy kernel answers when its cell is done. */
  callAgain() {
    if (this.kernel.mode !== "silent") return;
    this.kernel.ask({ kind: "hello" }, [], 600_000).catch(() => {});
  }

  /** Frames on the way to where the state is, for a strip or a film. */
  async film(count) {
    const { lead } = this.state;
    const items = Array.from({ length: count }, (_, i) => ({
      model: lead,
      z: position(this.world, stretch(this.state, i / (count - 1)), lead),
    }));
    const frames = [];
    for (let at = 0; at < count; at += 8) frames.push(...(await this.decode(items.slice(at, at + 8))));
    return frames;
  }
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
    return {
      label: labels[m], order: spec.order, kl: spec.kl,
      faces: ids.map((id) => mu[gallery.ids.indexOf(id)]),
      directions: names.map((name) => directions[gallery.names.indexOf(name)]),
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
    fingerprint: checksum(identity.join("\n")),
  };
}

// ----------------------------------------------------------------------------------- the view

let serial = 0;
const unique = (name) => `ve-${name}-${++serial}-${Math.floor(Math.random() * 1e9)}`;

/** An element: attributes, "on…" listeners, children (null ones are left out). */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}
const button = (label, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, label);
const section = (title, open, ...children) =>
  h("details", { class: "ve-section", open }, h("summary", {}, title), ...children);
const decimals = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
const paint = (canvas, frame) => {
  const size = Math.sqrt(frame.length / 4);
  if (canvas.width !== size) Object.assign(canvas, { width: size, height: size });
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(frame), size, size), 0, 0);
};

const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="; // until it is decoded
const PADLOCK = `<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6"><rect x="3" y="7" width="10" height="7" rx="1.5"/><path class="ve-shut" d="M5 7V5a3 3 0 0 1 6 0v2"/><path class="ve-open" d="M5 7V4.5a3 3 0 0 1 5.7-1.2"/></svg>`;

/**
 * A slider with its name, its value and a button that recentres it: one stop of the Tab key. The
 * buttons are for the mouse; from the slider, keys do the same: 0, and L for the lock.
 */
function ownSlider({ label, note, about, low, high, step = 1, shown, input, reset, lock }) {
  const id = unique("slider");
  const output = h("output", { class: "ve-value", for: id });
  const range = h("input", {
    id, type: "range", min: low, max: high, step, "aria-label": label, "aria-description": about,
    "aria-keyshortcuts": [reset && "0", lock && "L"].filter(Boolean).join(" ") || null,
    oninput: () => input(Number(range.value)),
  });
  const name = h("span", {}, label);
  const small = note ? h("small", {}, note) : null;
  const zero = reset ? button("0", reset, { class: "ve-zero", tabindex: -1, title: "Back to 0 (key 0)", "aria-label": `${label}: back to 0` }) : null;
  if (lock) lock.tabIndex = -1;
  const row = h("div", { class: "ve-row" }, h("label", { class: "ve-name", for: id, title: about }, name, small), range, output, zero, lock ?? null);
  row.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const act = { 0: reset, l: lock && (() => lock.click()) }[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
  let last;
  const show = (value, state = "") => {
    // The browser rounds what it is given to a step: only another value is worth telling it.
    if (value !== last || document.activeElement === range) range.value = last = value;
    const text = shown(value);
    const told = state ? `${text}, ${state}` : text;
    if (output.textContent !== text) output.textContent = text;
    if (range.getAttribute("aria-valuetext") !== told) range.setAttribute("aria-valuetext", told);
  };
  const stretch = (reach) => {
    if (Number(range.max) !== reach) Object.assign(range, { min: -reach, max: reach });
  };
  return { row, show, stretch, range, name, small, zero };
}

const isTyping = (target) => target.isContentEditable || (target.matches("input, textarea, select") && target.type !== "range" && target.type !== "radio" && target.type !== "checkbox");

/** Several controls as one stop of the Tab key: arrows lead from one to the next. */
function oneStop(box, selector) {
  const items = () => [...box.querySelectorAll(selector)];
  const enter = (item) => {
    for (const other of items()) other.tabIndex = other === item ? 0 : -1;
  };
  const below = (all, from, sign) => {
    const place = from.getBoundingClientRect();
    const beyond = all.filter((item) => sign * (item.getBoundingClientRect().top - place.top) > place.height / 2);
    const distance = (item) => {
      const { left, top } = item.getBoundingClientRect();
      return Math.abs(left - place.left) + 1e3 * Math.abs(top - place.top);
    };
    return beyond.reduce((best, item) => (!best || distance(item) < distance(best) ? item : best), null);
  };
  box.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = {
      ArrowRight: () => all[at + 1], ArrowLeft: () => all[at - 1], Home: () => all[0], End: () => all.at(-1),
      ArrowDown: () => below(all, all[at], 1), ArrowUp: () => below(all, all[at], -1),
    }[event.key]?.();
    if (!to) return;
    event.preventDefault();
    enter(to);
    to.focus();
  });
  return enter;
}

// Where the explorer stands. It is never taller than what scrolls around it, so that it can be on
// the screen as a whole, and the controls scroll inside of it, beside the faces or below them. This
// only looks at the elements of the page around it; it changes none of their styles.

const GAP = 6; // pixels that stay free above and below the explorer
const TALL = 100_000;
const BESIDE = 540; // from this width on, controls stand beside the faces
const PANEL = 380; // and are at least this wide
const LEAST = 300; // in less height than this, nobody can use it

/** The elements that cut off what does not fit, however tall this element gets; the window apart. */
function clippersOf(element) {
  const { height, maxHeight } = element.style;
  Object.assign(element.style, { height: `${TALL}px`, maxHeight: "none" });
  const clippers = [];
  for (let box = element.parentElement ?? element.getRootNode().host; box; box = box.parentElement ?? box.getRootNode().host) {
    if (box === document.body || box === document.documentElement) continue;
    // An element that only grows with its content cuts nothing off.
    if (getComputedStyle(box).overflowY !== "visible" && box.clientHeight < TALL / 2) clippers.push(box);
  }
  Object.assign(element.style, { height, maxHeight });
  return clippers;
}

/** How much of the window's upper edge bars cover that stay there while the page scrolls. */
function coveredBy(element) {
  const { left, width } = element.getBoundingClientRect();
  const seen = new Set();
  let covered = 0;
  for (const part of [0.1, 0.5, 0.9]) {
    for (let y = 2; y < innerHeight / 3; y += 12) {
      const hit = document.elementsFromPoint(clamp(left + part * width, 1, innerWidth - 1), y);
      for (let box = hit[0]; box; box = box.parentElement) {
        if (seen.has(box)) break;
        seen.add(box);
        if (box.contains(element) || element.contains(box)) break;
        const { position } = getComputedStyle(box);
        const { top, bottom } = box.getBoundingClientRect();
        const stays = position === "fixed" || (position === "sticky" && parseFloat(getComputedStyle(box).top) >= 0);
        if (stays && top <= covered + 1 && bottom < innerHeight / 2) covered = Math.max(covered, bottom);
      }
    }
  }
  return Math.ceil(covered);
}

/**
 * What is left of the window where this page is only a frame of another, as in VS Code and Colab.
 * Such a frame is often as tall as what it shows, so that its own height says nothing.
 */
function frameRoom() {
  let [room, inner] = [Infinity, window];
  try {
    for (; inner !== inner.parent; inner = inner.parent) room = Math.min(room, inner.parent.innerHeight);
  } catch {
    room = Math.min(room, screen.availHeight - 240); // what editors and browsers show around it
  }
  return room;
}

/**
 * Keep the explorer no taller than its surroundings show, and give faces and controls their places.
 *
 * `parts` are root, body, left, faces, controls, chooser, probe; gives what to call when something
 * inside has changed, when all of it shall be on the screen, and when it ends.
 */
function standing({ root, body, left, faces, controls, chooser, probe, alert }, models) {
  const framed = window !== window.parent;
  let [clippers, cover, room, measured, before, settled] = [[], 0, 600, -Infinity, "", undefined];
  let frameStays = Infinity;
  const watcher = new ResizeObserver(() => place());
  const resized = () => {
    frameStays = Infinity;
    measure();
    place();
  };
  const measure = () => {
    measured = performance.now();
    for (const box of clippers) watcher.unobserve(box);
    clippers = clippersOf(root);
    for (const box of clippers) watcher.observe(box);
    cover = clippers.length ? 0 : coveredBy(root);
  };
  const heights = () => {
    const window_ = framed ? Math.min(frameRoom(), frameStays) : Math.min(probe.offsetHeight || innerHeight, innerHeight);
    return Math.max(LEAST, Math.min(window_ - cover, ...clippers.map((box) => box.clientHeight)) - 2 * GAP);
  };
  const place = (force = false) => {
    const width = root.clientWidth;
    if (!width) return;
    if (measured === -Infinity) measure();
    room = heights();
    const extras = [...faces.querySelectorAll(".ve-extra:not([hidden])")].length;
    const inputs = `${width} ${room} ${extras} ${alert.offsetHeight}`;
    if (inputs === before && !force) return;
    before = inputs;
    const style = getComputedStyle(root);
    const edge = (names) => names.reduce((sum, name) => sum + parseFloat(style[name]), 0);
    const wide = width - edge(["paddingLeft", "paddingRight"]);
    const high = room - edge(["paddingTop", "paddingBottom", "borderTopWidth", "borderBottomWidth"]) - (alert.offsetHeight ? alert.offsetHeight + 8 : 0);
    const beside = wide >= BESIDE;
    root.style.setProperty("--ve-room", `${Math.floor(room)}px`);
    Object.assign(root.style, { scrollMarginTop: `${cover + GAP}px`, scrollMarginBottom: `${GAP}px` });
    root.style.setProperty("--ve-cover", `${cover}px`);
    body.classList.toggle("ve-beside", beside);
    const sizes = (caption) => {
      let best = { score: -1 };
      for (let columns = 1; columns <= models; columns++) {
        const rows = Math.ceil(models / columns);
        const gaps = 10 * (columns - 1);
        const most = beside ? wide - Math.max(PANEL, models > 1 ? 0.42 * wide : 0.5 * wide) : wide;
        const spare = beside && rows === 1 && high > 420 ? 150 : 0; // for the gallery under the faces
        const below = 24 + (extras && (beside || models > 1) ? 100 : 0) + spare;
        const share = beside ? 1 : models > 1 ? 0.44 : 0.5;
        const beyond = extras && !beside && models === 1 ? 0.66 : 1; // they stand to the right
        const side = Math.floor(Math.min((most - gaps) * beyond / columns, (share * high - below - 8 * (rows - 1)) / rows - caption, models > 1 ? 300 : 420));
        const score = side * (rows === 1 ? 1.45 : columns === 1 ? 1.2 : models % columns ? 0.8 : 1);
        if (score > best.score) best = { score, columns, rows, side: Math.max(48, side), spare, gaps };
      }
      return best;
    };
    const apply = ({ columns, side, gaps }) => {
      faces.style.setProperty("--ve-columns", columns);
      faces.style.setProperty("--ve-side", `${side}px`);
      left.style.setProperty("--ve-left", `${Math.max(columns * side + gaps, 150)}px`);
    };
    const captions = () => Math.max(...[...faces.querySelectorAll(".ve-model figcaption")].map((c) => c.offsetHeight)) + 6;
    apply(sizes(44));
    const best = sizes(captions());
    apply(best);
    const home = best.spare ? left : controls;
    if (chooser.parentElement !== home) home === left ? left.append(chooser) : controls.firstElementChild.after(chooser);
    if (framed) {
      clearTimeout(settled);
      settled = setTimeout(() => {
        // A frame that has not grown with the explorer by now has a height of its own.
        if (innerHeight < root.offsetHeight && frameStays === Infinity) {
          frameStays = innerHeight;
          place();
        }
      }, 700);
    }
  };
  /** The part of the window in which something here is seen. */
  const band = () =>
    clippers.reduce(
      ({ top, bottom }, box) => {
        const place = box.getBoundingClientRect();
        return { top: Math.max(top, place.top), bottom: Math.min(bottom, place.bottom) };
      },
      { top: cover, bottom: innerHeight },
    );
  const faceHidden = () => {
    const [{ top, bottom }, seen] = [faces.getBoundingClientRect(), band()];
    return top < seen.top - 1 || bottom > seen.bottom + 1;
  };
  /** Whether something that is not the explorer lies over the upper edge of the faces. */
  const covered = () => {
    const { left, top, width } = faces.getBoundingClientRect();
    return [0.05, 0.5, 0.95].some((part) => {
      const hit = document.elementFromPoint(left + part * width, top + 2);
      return hit && !root.contains(hit) && !hit.contains(root);
    });
  };
  const scroll = () => {
    root.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
    if (faceHidden()) faces.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
  };
  /** Scroll what is around until the explorer is on the screen as a whole. */
  const bring = () => {
    if (performance.now() - measured > 1000) {
      measure();
      place();
    }
    scroll();
    if (!covered()) return;
    measure(); // bars may come while one scrolls
    place();
    scroll();
  };
  // A page that moves under a pressed mouse takes its click away, so that the keyboard's focus
  // brings everything into sight at once, and the mouse when it has moved or clicked something.
  let pressed = false;
  const release = () => setTimeout(() => (pressed = false), 0);
  const again = () => root.contains(document.activeElement) && faceHidden() && bring();
  root.addEventListener("pointerdown", () => (pressed = true), true);
  for (const event of ["pointerup", "pointercancel"]) addEventListener(event, release, true);
  root.addEventListener("focusin", () => {
    if (pressed) return;
    bring();
    setTimeout(again, 60); // notebooks scroll too, a moment after a cell was entered
  });
  // Looking where things are costs a layout: not for every step of a slider, and after its face.
  let looking;
  const lookLater = () => {
    looking ??= setTimeout(() => {
      looking = undefined;
      if (faceHidden()) bring();
    }, 200);
  };
  root.addEventListener("input", lookLater);
  root.addEventListener("click", lookLater);
  addEventListener("resize", resized);
  watcher.observe(root);
  const end = () => {
    watcher.disconnect();
    clearTimeout(settled);
    clearTimeout(looking);
    removeEventListener("resize", resized);
    for (const event of ["pointerup", "pointercancel"]) removeEventListener(event, release, true);
  };
  /** Something was told: does it need other places? Asked often, so it looks at no layout. */
  let shown;
  const look = () => {
    const now = `${alert.textContent} ${faces.querySelectorAll(".ve-extra:not([hidden])").length}`;
    if (now === shown) return;
    shown = now;
    place();
  };
  return { look, end };
}

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

  const parts = [];
  const add = (part) => (parts.push(part.update), part.element);
  const faces = add(facesPart(controller));
  const chooser = add(startPart(controller));
  const controls = h(
    "div",
    { class: "ve-controls" },
    add(toolbarPart(controller)),
    world.attributes.length ? add(attributesPart(controller)) : null,
    add(dimensionsPart(controller, model.get("shown"))),
    world.factors.length ? add(factorsPart(controller)) : null,
    add(wayPart(controller)),
    add(photoPart(controller)),
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
  };
}

function facesPart(controller) {
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
    const title = several
      ? h("label", { class: "ve-lead", title: "The sliders show the values of this model" }, radio, name)
      : h("span", { class: "ve-lead" }, name);
    const gauge = h("span", { class: "ve-gauge", "aria-hidden": "true" }, shell, mark);
    const made = figure(h("div", {}, title, length, gauge), `Face decoded by ${label}`, "ve-model");
    gauge.title = length.title = `‖z‖: how far this code lies from the prior’s mean. Random draws from the prior lie in the shaded band, at ${decimals(middle, 1)} ± 1.4.`;
    return { ...made, length, mark, radio };
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
    none: "Decoded in this page, without a kernel.",
    there: "Decoded by the kernel.",
    silent: "The kernel is busy or does not answer; this page decodes by itself until it does.",
    gone: "The kernel was restarted or is gone; this page goes on decoding by itself. Run the cell again to connect.",
  };
  const update = (what) => {
    if (what === "kernel" || what === "frames") {
      const { mode, device } = controller.kernel;
      const text = mode === "there" && device ? `Decoded by the kernel (${device}).` : sentences[mode];
      if (decoder.textContent !== text) decoder.textContent = status.title = text;
      dot.className = `ve-dot ve-${mode}`;
    }
    if (what === "state") {
      figures.forEach(({ length, mark, radio }, m) => {
        const z = controller.positions[m];
        if (!z) return;
        length.textContent = `‖z‖ = ${decimals(norm(z), 1)}`;
        mark.style.left = `${clamp((100 * norm(z)) / full, 0, 100)}%`;
        radio.checked = m === controller.state.lead;
      });
    }
    if (what === "frames") {
      figures.forEach(({ canvas }, m) => controller.frames[m] && paint(canvas, controller.frames[m]));
      speed.textContent = controller.decodeTime ? ` ${Math.max(1, Math.round(controller.decodeTime))} ms` : "";
    }
    if (what === "frames" || what === "state") {
      const picture = controller.original;
      original.element.hidden = !picture;
      if (picture) paint(original.canvas, picture);
      const frame = controller.frames[controller.state.lead];
      changes.element.hidden = !(controller.changes && controller.base && frame);
      if (!changes.element.hidden) paint(changes.canvas, difference(frame, controller.base.frame));
    }
  };
  return { element, update };
}

/** Twice the absolute difference per channel: black where nothing changed. */
export function difference(frame, base) {
  return Uint8ClampedArray.from(frame, (value, i) => (i % 4 === 3 ? 255 : 2 * Math.abs(value - base[i])));
}

function toolbarPart(controller) {
  const undo = button("Undo", () => controller.undo(), { title: "Ctrl+Z", "aria-keyshortcuts": "Control+Z" });
  const redo = button("Redo", () => controller.redo(), { title: "Ctrl+Shift+Z", "aria-keyshortcuts": "Control+Shift+Z" });
  const reset = button("Reset", () => controller.act({ type: "reset" }), { title: "Back to the starting face" });
  const changes = h("input", { type: "checkbox", "aria-label": "Show what changed", onchange: () => controller.showChanges(changes.checked) });
  const element = h("div", { class: "ve-bar", role: "toolbar", "aria-label": "This face" }, undo, redo, reset, h("label", { class: "ve-check" }, changes, h("span", {}, h("span", { class: "ve-spare" }, "Show "), "what changed")));
  oneStop(element, "button, input")(undo);
  const update = (what) => {
    if (what !== "state") return;
    const { past, future, present } = controller.history;
    // aria-disabled, not disabled: a button that vanishes under the fingers takes the focus along.
    undo.setAttribute("aria-disabled", String(!past.length));
    redo.setAttribute("aria-disabled", String(!future.length));
    reset.setAttribute("aria-disabled", String(reduce(present, { type: "reset" }) === present));
    changes.checked = controller.changes;
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
    choose({ kind: "seed", seed: lastSeed });
  };
  const seedLine = h("div", { class: "ve-line" }, h("label", {}, "Seed ", seed), button("Another", () => draw(lastSeed + 1)));
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
    thumbs.replaceChildren(
      ...world.ids.map((id, index) => {
        const about = [id, ...world.facts[index]].join(", ");
        return h("button", { type: "button", title: about, "aria-label": about, onclick: () => choose({ kind: "gallery", index }) }, h("img", { alt: `face ${about}`, src: BLANK, width: 64, height: 64 }));
      }),
    );
    mark();
    const pictures = [...thumbs.querySelectorAll("img")];
    for (let at = 0; at < pictures.length && drawnFor === lead; at += 4) {
      while (controller.decoding) await new Promise((resolve) => setTimeout(resolve, 20)); // faces first
      const items = world.models[lead].faces.slice(at, at + 4).map((z) => ({ model: lead, z }));
      const frames = await controller.decode(items).catch(() => []);
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
    const kind = current()?.kind ?? "none";
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
    if (kind === "seed" && document.activeElement !== seed) seed.value = lastSeed = current().seed;
    if (kind === "face" && document.activeElement !== name) name.value = current().id;
    if (kind === "gallery") {
      fill();
      mark();
    }
  };
  return { element, update };
}

function startPart(controller) {
  const { element, update } = chooser(controller, "start");
  const part = section("Start from", true, element);
  part.classList.add("ve-start");
  return { element: part, update };
}

function dimensionsPart(controller, shown) {
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
    return slider.row;
  };
  const update = (what) => {
    if (what !== "state") return;
    const { order, kl } = world.models[controller.state.lead];
    for (const { rank, range, name, small, zero, show, stretch } of rows) {
      const d = order[rank];
      const text = `z ${d}`;
      if (name.textContent !== text) {
        name.textContent = text;
        small.textContent = kl ? `${decimals(kl[d])} nats` : "";
        range.setAttribute("aria-label", `Latent dimension ${d}${kl ? `, ${decimals(kl[d])} nats` : ""}`);
        zero.setAttribute("aria-label", `Latent dimension ${d}: back to 0`);
      }
      const value = controller.valueOf(rank);
      stretch(Math.max(3, Math.ceil(Math.abs(value))));
      show(value);
    }
  };
  const fill = (box, from, to) => {
    for (let rank = from; rank < to; rank++) box.append(makeRow(rank));
    update("state");
  };
  const first = h("div", {});
  fill(first, 0, Math.min(shown, count));
  const body = [
    h("p", { class: "ve-note" }, world.models[0].kl
      ? "The axes that the model made up, sorted by how much they tell, in nats; values in standard deviations of the prior."
      : "The axes that the model made up, in the decoder’s order, since no KL is known for this model; values in standard deviations of the prior."),
    world.models.length > 1
      ? h("p", { class: "ve-note" }, "Linked by rank: the strongest dimension of one model moves with the strongest of the others.")
      : null,
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

function attributesPart(controller) {
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
      input: (value) => controller.act({ type: "weight", index, value }, `w${index}`),
      reset: () => controller.act({ type: "weight", index, value: 0 }),
      lock,
    });
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
    h("p", { class: "ve-note" }, "1 is the step from the average face without it to the average face with it."),
    h("div", {}, ...first.map(({ row }) => row)),
    rest.length ? search : null,
    rest.length ? more : null,
  );
  const update = (what) => {
    if (what !== "state") return;
    const { weights, locks, lead } = controller.state;
    for (const { show, lock, index, row, range, attribute } of rows) {
      const locked = locks.includes(index);
      show(weights[index] ?? 0, locked && "locked");
      lock.setAttribute("aria-pressed", String(locked));
      const text = about(attribute, lead);
      if (range.getAttribute("aria-description") === text) continue;
      range.setAttribute("aria-description", text);
      row.querySelector(".ve-name").title = text;
    }
  };
  return { element, update };
}

function wayPart(controller) {
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

function factorsPart(controller) {
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
    return slider;
  });
  const alone = h("p", { class: "ve-note" }, "These sliders draw new faces, which needs a kernel: run this cell in a notebook.");
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

const PART = 1_000_000; // bytes of a photo per message: servers refuse messages that are too long

function photoPart(controller) {
  const { kernel } = controller;
  let eyes = [];
  let count = 0;
  const canvas = h("canvas", { class: "ve-photo", tabindex: 0, role: "application", "aria-label": "Your photo", hidden: true });
  const hint = h("p", { class: "ve-note", role: "status" });
  const file = h("input", { type: "file", accept: "image/*", "aria-label": "Choose a photo", onchange: () => upload(file.files[0]) });
  let preview;
  let cursor = [0.35, 0.4];
  const upload = async (chosen) => {
    file.value = "";
    if (!chosen) return;
    try {
      if (chosen.size > 60e6) throw new Error("This file has more than 60 MB; choose a smaller photo.");
      const bytes = await chosen.arrayBuffer();
      const parts = Math.max(1, Math.ceil(bytes.byteLength / PART));
      let answer;
      for (let part = 0; part < parts; part++)
        answer = await kernel.ask({ kind: "photo", part, parts }, [bytes.slice(part * PART, (part + 1) * PART)]);
      const { width, height } = answer.content;
      preview = new ImageData(withAlpha(answer.buffers[0]), width, height);
      eyes = [];
      cursor = [0.35, 0.4];
      Object.assign(canvas, { width, height, hidden: false });
      controller.complain("");
      show();
    } catch (error) {
      controller.complain(error.silent ? "The kernel does not answer, so that the photo could not be read." : error.message);
    }
  };
  const show = () => {
    const context = canvas.getContext("2d");
    context.putImageData(preview, 0, 0);
    const ring = ([x, y], colour) => {
      context.beginPath();
      context.arc(x * canvas.width, y * canvas.height, 7, 0, 2 * Math.PI);
      context.lineWidth = 3;
      context.strokeStyle = "#000a";
      context.stroke();
      context.lineWidth = 1.5;
      context.strokeStyle = colour;
      context.stroke();
    };
    for (const eye of eyes) ring(eye, "#ffd54a");
    if (document.activeElement === canvas && eyes.length < 2) ring(cursor, "#ffffff");
    hint.textContent = ["Click on one eye, or move the ring with the arrow keys and press Enter.", "Now the other eye.", "Aligned. Click again to mark the eyes anew."][eyes.length];
    canvas.setAttribute("aria-label", `Your photo. ${hint.textContent} The ring is at ${Math.round(100 * cursor[0])} % from the left, ${Math.round(100 * cursor[1])} % from the top.`);
  };
  const markEye = (eye) => {
    if (eyes.length === 2) eyes = [];
    eyes.push(eye);
    cursor = [clamp(1 - eye[0], 0, 1), eye[1]]; // the other eye is about there
    show();
    if (eyes.length === 2) {
      const id = ++count;
      controller.begin("start", { kind: "photo", id }, { kind: "photo", eyes });
    }
  };
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    markEye([clamp((event.clientX - box.left) / box.width, 0, 1), clamp((event.clientY - box.top) / box.height, 0, 1)]);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.05 : 0.01;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) cursor = cursor.map((value, i) => clamp(value + moves[event.key][i], 0, 1));
    else if (event.key === "Enter" || event.key === " ") markEye([...cursor]);
    else return;
    event.preventDefault();
    show();
  });
  for (const event of ["focus", "blur"]) canvas.addEventListener(event, () => preview && show());
  const alone = h("p", { class: "ve-note" }, "Encoding a photo needs a kernel: run this cell in a notebook.");
  const body = h("div", {},
    h("p", { class: "ve-note" }, "Choose a photo with one face and mark its eyes; it is turned and cropped as CelebA’s faces are. It goes to your own kernel only, stays in its memory, and is never saved."),
    file, canvas, hint);
  const element = section("Your own photo", false, alone, body);
  const update = (what) => {
    if (what !== "kernel") return;
    alone.hidden = kernel.mode === "there";
    body.hidden = !alone.hidden;
  };
  return { element, update };
}

function keepPart(controller) {
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
  const png = guarded(async () => save(await pngOf(sideBySide(controller.frames.map((frame) => drawn(frame, 256)))), "face.png"));
  const strip = guarded(async () => save(await pngOf(sideBySide((await controller.film(9)).map((frame) => drawn(frame)))), "strip.png"));
  const film = guarded(async () => {
    told.textContent = "Making the GIF …";
    const there = (await controller.film(17)).map((frame) => drawn(frame).getContext("2d").getImageData(0, 0, LARGE, LARGE).data);
    save(new Blob([gif([...there, ...there.slice(1, -1).reverse()], LARGE)], { type: "image/gif" }), "face.gif");
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

export default () => {
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
