// A world of models that were never trained, for tests.

import { makeWorld } from "../../vae_lib/explorer/browser/state.mjs";

/** A repeatable source of random whole numbers below n. */
export function dice(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

export const halves = (numbers) => {
  // Numbers that a half holds exactly: multiples of 1/8 below 16.
  const out = new Uint16Array(numbers.length);
  numbers.forEach((number, i) => {
    if (number === 0) return;
    const exponent = Math.floor(Math.log2(Math.abs(number)));
    out[i] = (number < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(number) / 2 ** exponent - 1) * 1024);
  });
  return new Uint8Array(out.buffer);
};

export function world(latent = 128, models = 1, faces = 64, attributes = 40, factors = 13, betas = []) {
  const roll = dice(latent + models);
  const numbers = (count) => halves(Array.from({ length: count }, () => (roll(49) - 24) / 8));
  const subjects = Array.from({ length: models }, (_, m) => ({
    spec: {
      digest: `digest${m}`, latent_size: latent, kl: null,
      order: Array.from({ length: latent }, (_, i) => (i * 7 + m) % latent),
      ...(betas.length && { betas, beta_range: [betas[0], betas.at(-1)], first_beta: 1 }),
    },
    gallery: {
      ids: Array.from({ length: faces }, (_, i) => `${String(i).padStart(6, "0")}.jpg`),
      names: Array.from({ length: attributes }, (_, i) => `attribute ${i}`),
      kind: Array(attributes).fill("ROC-AUC"),
      score: Array.from({ length: attributes }, (_, i) => 0.5 + i / 100),
      mu: numbers((betas.length || 1) * faces * latent),
      directions: numbers((betas.length || 1) * attributes * latent),
      attributes: halves(Array(faces * attributes).fill(1)),
      fit: {
        mean: numbers(latent),
        chol: halves(Array.from({ length: latent ** 2 }, (_, i) => (i % latent > i / latent ? 0 : (roll(49) - 24) / 8))),
      },
    },
  }));
  const specs = Array.from({ length: factors }, (_, i) => ({ name: `factor ${i}`, low: -1, high: i + 1, binary: false }));
  return makeWorld(subjects, subjects.map((_, m) => `model ${m}`), specs);
}
