// Who decodes: the kernel, or this page itself.

import { bytesOf, floatsFromHalf } from "./numbers.mjs";
import { assembleTile, createDecoder, workerMain } from "./decoder.mjs";

/** RGBA of RGB bytes. */
export const withAlpha = (rgb) => {
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4)
    for (let c = 0; c < 3; c++) rgba[to + c] = rgb[from + c];
  return rgba;
};

/** A decoder in this page, in a worker where that is possible: spec, half → codes, β → frames. */
function pageDecoder(spec, half) {
  let worker;
  try {
    const parts = [floatsFromHalf, assembleTile, createDecoder, workerMain];
    const source = `${parts.join("\n")}\nworkerMain(createDecoder);`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    worker = new Worker(url);
  } catch {
    const decode = createDecoder(spec, half);
    return { decode: async (codes, beta) => codes.map((code) => decode(code, beta)), end() {} };
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
  const decode = (codes, beta) =>
    new Promise((resolve, reject) => {
      waiting.set(++count, { resolve, reject });
      worker.postMessage({ id: count, codes, beta });
    });
  return { decode, end: () => worker.terminate() };
}

/**
 * Explorers on one page share a decoder per model; the module itself is loaded once for each.
 * A decoder ends with the last explorer that used it.
 */
const decoders = () => (globalThis[Symbol.for("vae_lib decoders, 3")] ??= new Map());
export function sharedDecoder(user, spec, half) {
  const pool = decoders();
  if (!pool.has(spec.digest)) pool.set(spec.digest, { ...pageDecoder(spec, half), users: new Set() });
  const shared = pool.get(spec.digest);
  shared.users.add(user);
  return shared.decode;
}
export function leaveDecoders(user) {
  for (const [digest, { users, end }] of decoders()) {
    if (!users.delete(user) || users.size) continue;
    decoders().delete(digest);
    end();
  }
}

export const PATIENCE = 1500; // ms until a kernel counts as busy or gone

/** The kernel, if there is one: questions with answers, and whether it answers at all. */
export class Kernel {
  constructor(model, changed) {
    Object.assign(this, { model, changed, mode: "none", count: 0, waiting: new Map(), faces: 0, device: "" });
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
