// The encoder: plain loops, since a photo is encoded once where a slider decodes a face many times.
// createEncoder also runs in a worker, which gets it as text: but for bytesOf and floatsFromHalf it
// uses nothing from outside.

import { bytesFrom, bytesOf, floatsFromHalf } from "./numbers.mjs";

/**
 * The encoder of vae_lib.model.VAE, its BatchNorm folded here.
 *
 * Feature maps and kernels lie with their channels last, so that the innermost loop adds one row of
 * weights to one row of sums.
 *
 * @param spec latent_size, image_size, channels, beta_range: as for createDecoder
 * @param bytes what vae_lib.explorer.payload.encoder_weights gives
 * @returns RGB (Uint8Array, channels last), β → { mu, logvar }
 */
export function createEncoder({ latent_size, image_size, channels, beta_range }, bytes) {
  const EPS = 1e-5; // of BatchNorm, as in PyTorch
  const widths = [3, ...channels];
  const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);
  const gated = beta_range ? 2 * (sum(channels) + 2 * latent_size) : 0;
  const singles = 4 * sum(channels) + 2 * latent_size + gated;
  const all = bytesOf(bytes);
  const smallest = image_size >> channels.length;
  const features = widths.at(-1) * smallest ** 2;
  const halves = sum(channels.map((outputs, l) => 16 * widths[l] * outputs)) + 2 * latent_size * features;
  if (all.length !== 4 * singles + 2 * halves) throw new Error("The encoder in this page is damaged.");
  const single = new Float32Array(all.slice(0, 4 * singles).buffer);
  const half = floatsFromHalf(all.subarray(4 * singles));
  if (![single, half].every((numbers) => numbers.every(Number.isFinite)))
    throw new Error("The encoder's weights are not all finite numbers; train the model again with a smaller learning rate.");
  const taker = (from) => {
    let used = 0;
    return (count) => from.subarray(used, (used += count));
  };
  const [next, nextHalf] = [taker(single), taker(half)];
  const layers = channels.map((outputs, l) => {
    const inputs = widths[l];
    const [scale, bias, mean, variance] = Array.from({ length: 4 }, () => next(outputs));
    const factor = scale.map((value, o) => value / Math.sqrt(variance[o] + EPS));
    const kernel = nextHalf(outputs * inputs * 16); // outputs, inputs, 4, 4
    const weights = new Float32Array(kernel.length); // 4, 4, inputs, outputs
    for (let o = 0, at = 0; o < outputs; o++)
      for (let i = 0; i < inputs; i++)
        for (let k = 0; k < 16; k++) weights[(k * inputs + i) * outputs + o] = factor[o] * kernel[at++];
    return { inputs, outputs, weights, bias: bias.map((value, o) => value - factor[o] * mean[o]) };
  });
  const heads = [0, 1].map(() => ({ bias: next(latent_size), weights: nextHalf(latent_size * features) }));
  const gates = beta_range ? [...channels, latent_size, latent_size].map((n) => [next(n), next(n)]) : [];

  return (pixels, beta) => {
    const [low, high] = (beta_range ?? [1, 2]).map(Math.log);
    const s = (Math.log(beta ?? 1) - (low + high) / 2) / ((high - low) / Math.sqrt(12));
    const factors = gates.map(([u, v]) => u.map((value, i) => 1 / (1 + Math.exp(-(value * s + v[i])))));
    let map = Float32Array.from(pixels, (value) => value / 255);
    let size = image_size;
    layers.forEach(({ inputs, outputs, weights, bias }, l) => {
      const to = size >> 1;
      const result = new Float32Array(to * to * outputs);
      const sums = new Float32Array(outputs);
      for (let row = 0; row < to; row++)
        for (let column = 0; column < to; column++) {
          sums.set(bias);
          for (let k = 0; k < 16; k++) {
            const y = 2 * row + (k >> 2) - 1;
            const x = 2 * column + (k & 3) - 1;
            if (y < 0 || x < 0 || y >= size || x >= size) continue;
            const from = (y * size + x) * inputs;
            let i = 0;
            for (; i + 4 <= inputs; i += 4) { // four rows at once: sums are read and written once
              const [a, b, c, d] = [map[from + i], map[from + i + 1], map[from + i + 2], map[from + i + 3]];
              for (let o = 0, at = (k * inputs + i) * outputs; o < outputs; o++, at++)
                sums[o] += a * weights[at] + b * weights[at + outputs] + c * weights[at + 2 * outputs] + d * weights[at + 3 * outputs];
            }
            for (; i < inputs; i++)
              for (let o = 0, at = (k * inputs + i) * outputs; o < outputs; o++, at++) sums[o] += map[from + i] * weights[at];
          }
          const at = (row * to + column) * outputs;
          for (let o = 0; o < outputs; o++) {
            const value = factors.length ? factors[l][o] * sums[o] : sums[o];
            result[at + o] = value > 0 ? value : 0.2 * value; // LeakyReLU
          }
        }
      [map, size] = [result, to];
    });
    const width = widths.at(-1);
    const cells = size * size;
    const [mu, logvar] = heads.map(({ weights, bias }, head) =>
      bias.map((start, d) => {
        let total = start;
        for (let c = 0, at = d * features; c < width; c++)
          for (let cell = 0; cell < cells; cell++) total += weights[at++] * map[cell * width + c];
        return factors.length ? factors[layers.length + head][d] * total : total;
      }),
    );
    return { mu, logvar };
  };
}

/**
 * An encoder beside the page, which meanwhile goes on: a worker that unfolds its weights while a
 * hand still marks the eyes, and keeps them. Where a page allows no workers, it encodes by itself.
 */
export function encoderBeside(spec, bytes) {
  const parts = [`const bytesOf = ${bytesOf};`, floatsFromHalf, createEncoder];
  const source = `${parts.join("\n")}
    let encode, problem;
    onmessage = ({ data: [first, second] }) => {
      try {
        if (problem) throw problem;
        if (encode) postMessage({ codes: second.map((beta) => encode(first, beta)) });
        else {
          encode = createEncoder(first, second);
          encode(new Uint8Array(3 * first.image_size ** 2)); // what has run once is quick
        }
      } catch (error) {
        if (encode || problem) postMessage({ problem: error.message }); // to whoever asks
        problem = error;
      }
    };`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const waiting = []; // it answers in the order of questions
  let worker;
  let here;
  const none = () => {
    worker = null;
    for (const resolve of waiting.splice(0)) resolve({});
  };
  try {
    worker = new Worker(url);
    Object.assign(worker, { onmessage: ({ data }) => waiting.shift()(data), onerror: none });
    worker.postMessage([spec, bytes]);
  } catch {
    none();
  }
  /** Pixels, βs → a code for each β. */
  const encode = async (...task) => {
    const { codes, problem } = await new Promise((resolve) => {
      if (!worker) return resolve({});
      waiting.push(resolve);
      worker.postMessage(task);
    });
    if (problem) throw new Error(problem);
    if (codes) return codes;
    here ??= createEncoder(spec, bytes);
    return task[1].map((beta) => here(task[0], beta));
  };
  const end = () => {
    worker?.terminate();
    URL.revokeObjectURL(url);
  };
  return { encode, end };
}

// Scripts beside a page put encoders here, in Base64, and the page says where which scripts lie.
const shelf = () => globalThis[Symbol.for("vae_lib encoders")];

/** The encoder's weights: what came with the page, or a script beside it, read when first wanted; else null. */
export async function encoderOf(carrier) {
  const held = carrier.get("encoder");
  if (held) return bytesOf(held);
  const { encoder } = carrier.get("spec");
  if (!shelf()?.those?.includes(encoder)) return null;
  if (!shelf()[encoder])
    await new Promise((resolve) => {
      const script = document.createElement("script");
      Object.assign(script, { src: `${shelf().at}${encoder}.js`, onload: resolve, onerror: resolve });
      document.head.append(script);
    });
  try {
    return bytesFrom(shelf()[encoder]);
  } catch {
    return null; // the script is gone, or not all of it is there
  }
}
