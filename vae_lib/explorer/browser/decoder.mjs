// The decoder: WebAssembly, four numbers at a time. These functions also run in a worker, which gets
// them as text: but for floatsFromHalf they use nothing from outside.

import { floatsFromHalf } from "./numbers.mjs";

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
 * @param spec latent_size, image_size, channels: as in VAEConfig; beta_range of an AnyBetaVAE, whose
 *   gates multiply what each layer says
 * @param half what vae_lib.explorer.decoder_weights gives, as bytes
 * @returns z (Float32Array), β → pixels (Uint8ClampedArray, RGBA)
 */
export function createDecoder({ latent_size, image_size, channels, beta_range }, half) {
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
    let module;
    try {
      module = new WebAssembly.Module(assembleTile(kind.pixels, kind.lanes / 4));
    } catch {
      throw new Error("this browser has no WebAssembly with SIMD, which browsers have had since 2023. Update it, or take another.");
    }
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
  // Gates: a sigmoid of u · s + v for each channel, where s is the standardised log β.
  const gates = (beta_range ? [features, ...widths.slice(1, -1)] : []).map((count) => {
    return { u: take(count), v: take(count), now: new Float32Array(count) };
  });
  let gatedFor;
  const setGates = (beta) => {
    if (beta === gatedFor) return;
    gatedFor = beta;
    const [low, high] = (beta_range ?? []).map(Math.log);
    const s = ((Math.log(beta) - (low + high) / 2) * Math.sqrt(12)) / (high - low);
    for (const { u, v, now } of gates) for (let i = 0; i < now.length; i++) now[i] = 1 / (1 + Math.exp(-u[i] * s - v[i]));
  };
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
        const channel = f % widths[0];
        const at = (row * (smallest + 2) + column) * widths[0] + channel;
        const gate = gates.length ? gates[0].now[channel * cells + cell] : 1;
        floats[first.input + at] = gate * floats[result + f - block * 8];
      }
    }
  };
  const convolve = (layer, to, border, gate) => {
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
              const plain = floats[result + p * lanes + o];
              const value = gate ? gate[block * lanes + o] * plain : plain;
              floats[at + o] = last || value > 0 ? value : 0.2 * value; // LeakyReLU
            }
          }
        }
      }
    }
  };
  return (z, beta) => {
    if (gates.length) setGates(beta);
    floats.set(z, code);
    toFeatures();
    layers.forEach((layer, l) =>
      layer.last ? convolve(layer, picture, 0) : convolve(layer, layers[l + 1].input, 1, gates[l + 1]?.now),
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
export function workerMain(createDecoder) {
  let decode;
  onmessage = ({ data }) => {
    try {
      if (data.half) decode = createDecoder(data.spec, data.half);
      else {
        const frames = data.codes.map((code) => decode(code, data.beta));
        postMessage({ id: data.id, frames }, frames.map((frame) => frame.buffer));
      }
    } catch (error) {
      postMessage({ id: data.id, problem: String(error.message ?? error) });
    }
  };
}
