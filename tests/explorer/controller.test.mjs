// The controller, with a widget manager and a kernel that are played: `node --test tests/explorer`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Controller } from "../../vae_lib/explorer/browser/controller.mjs";
import { Names } from "../../vae_lib/explorer/browser/names.mjs";

function backbone(values) {
  const listeners = new Map();
  const on = (name, callback) => listeners.set(name, [...(listeners.get(name) ?? []), callback]);
  const off = (name, callback) => listeners.set(name, (listeners.get(name) ?? []).filter((one) => one !== callback));
  const trigger = (name, ...args) => (listeners.get(name) ?? []).forEach((callback) => callback(...args));
  const get = (name) => values[name];
  const set = (name, value) => {
    for (const [key, now] of Object.entries(typeof name === "string" ? { [name]: value } : name)) {
      const before = values[key];
      values[key] = now;
      if (before !== now) trigger(`change:${key}`);
    }
  };
  return { on, off, trigger, get, set, save_changes() {}, values, comm_live: values.comm_live };
}

async function opened(answer, page = async (m, codes) => codes.map(grey)) {
  const latent = 4;
  const spec = { digest: "d", latent_size: latent, order: [0, 1, 2, 3], kl: null };
  const weights = backbone({ spec, gallery: {}, half: new DataView(new ArrayBuffer(0)), comm_live: true });
  const all = { w: weights };
  const model = backbone({ models: ["IPY_MODEL_w"], labels: ["m"], factors: [], state: "", values: [0, 0, 0, 0] });
  model.widget_manager = { get_model: async (id) => all[id] };
  const asked = [];
  model.send = (content, _, buffers) => {
    asked.push({ content, buffers });
    answer({ content, buffers, model });
  };
  const controller = new Controller(model);
  controller.decodeHere = page;
  await controller.ready;
  return { controller, asked: () => asked.filter(({ content }) => content.kind === "decode"), model };
}

/** A picture of one pixel that tells the third number of a code. */
const grey = (code) => new Uint8ClampedArray([100 * code[2], 100 * code[2], 100 * code[2], 255]);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** Wait until it is so, on a busy machine too. */
const until = async (isSo) => {
  for (let i = 0; i < 1000 && !isSo(); i++) await later(5);
  assert.ok(isSo(), String(isSo));
};
const welcome = ({ content, model }) =>
  content.kind === "hello" && model.trigger("msg:custom", { kind: "welcome", request: content.request, faces: 0, device: "cpu" });
const rgb = (value) => [new DataView(new Uint8Array([value, value, value]).buffer)];

test("while a hand drags the page decodes, one question at a time, and the kernel only when it rests", async () => {
  let [open, most, here] = [0, 0, 0];
  const kernel = (question) => {
    welcome(question);
    const { content, model } = question;
    if (content.kind === "decode") setTimeout(() => model.trigger("msg:custom", { kind: "pixels", request: content.request }, rgb(7)), 3);
  };
  const { controller, asked } = await opened(kernel, async (m, codes) => {
    here++;
    most = Math.max(most, ++open);
    await later(3);
    open--;
    return codes.map(grey);
  });
  await until(() => asked().length === 1 && controller.decodedBy === "kernel"); // the first face, at rest
  for (let i = 1; i <= 500; i++) {
    controller.move(2, i / 250);
    if (i % 25 === 0) await later(1);
  }
  assert.equal(asked().length, 1);
  await until(() => controller.frames[0][0] === 200);
  assert.equal(most, 1);
  assert.ok(here < 100, `${here} questions`);
  assert.deepEqual(Array.from(controller.frames[0]), [200, 200, 200, 255]);
  assert.equal(controller.decodedBy, "page");
  await until(() => controller.decodedBy === "kernel");
  assert.equal(asked().length, 2);
  assert.deepEqual(Array.from(controller.frames[0]), [7, 7, 7, 255]);
  assert.equal(controller.decodedBy, "kernel");
  assert.equal(controller.history.past.length, 1);
  controller.undo();
  assert.equal(controller.valueOf(2), 0);
  controller.end();
});

test("a kernel that is busy makes no face late, and what it says too late is not shown", async () => {
  const waiting = [];
  const { controller } = await opened((question) => {
    welcome(question);
    const { content, model } = question;
    if (content.kind === "decode") waiting.push(() => model.trigger("msg:custom", { kind: "pixels", request: content.request }, rgb(7)));
  });
  await until(() => waiting.length === 1);
  controller.move(2, 1);
  await until(() => controller.frames[0][0] === 100);
  assert.deepEqual(Array.from(controller.frames[0]), [100, 100, 100, 255]);
  waiting.shift()(); // about the face before
  await later(5);
  assert.deepEqual(Array.from(controller.frames[0]), [100, 100, 100, 255]);
  controller.end();
});

test("what the kernel refuses is told, and the last good face stays", async () => {
  const { controller, model } = await opened((question) => {
    welcome(question);
    const { content, model } = question;
    if (content.kind === "decode") model.trigger("msg:custom", { kind: "refused", request: content.request, message: "No memory." });
  });
  model.set("values", [0, 0, 1, 0]);
  await until(() => controller.notice);
  assert.match(controller.notice, /No memory/);
  assert.deepEqual(Array.from(controller.frames[0]), [100, 100, 100, 255]);
  model.set("state", "nonsense");
  await until(() => !/No memory/.test(controller.notice));
  assert.match(controller.notice, /no explorer state/);
  assert.equal(controller.valueOf(2), 1);
  controller.end();
});

test("where the page cannot decode the kernel does, and without one that is told", async () => {
  const broken = async () => {
    throw new Error("this browser has no WebAssembly with SIMD");
  };
  const { controller } = await opened((question) => {
    welcome(question);
    const { content, model } = question;
    if (content.kind === "decode") model.trigger("msg:custom", { kind: "pixels", request: content.request }, rgb(9));
  }, broken);
  await until(() => controller.frames?.[0]?.[0] === 9);
  assert.equal(controller.notice, "");
  assert.deepEqual(Array.from(controller.frames[0]), [9, 9, 9, 255]);
  controller.kernel.lose();
  controller.move(2, 1);
  await until(() => controller.notice);
  assert.match(controller.notice, /no WebAssembly with SIMD/);
  controller.end();
});

test("names: the browser's copy holds until the widget brings others, and both learn of it", async () => {
  const kept = new Map();
  globalThis.localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
  const open = (named) => {
    const model = backbone({ named });
    return { model, names: new Names(model, ["d"], () => {}) };
  };
  const file = { d: { 3: "from the file" } };
  open(file).names.set(0, 3, " renamed ");
  const again = open(file);
  assert.equal(again.names.of(0, 3), "renamed");
  assert.deepEqual(again.model.get("named"), { d: { 3: "renamed" } }); // Python learns it
  again.names.set(0, 3, "");
  assert.equal(open(file).names.of(0, 3), "");
  assert.equal(open({ d: { 3: "a newer file" } }).names.of(0, 3), "a newer file");
  const fresh = open({});
  fresh.model.set("named", { d: { 5: "by Python" } });
  fresh.names.heard();
  assert.equal(open({}).names.of(0, 5), "by Python");
  for (const damaged of ["{", "[]", '{"given":{},"names":{"1":{"a":1},"2":7,"4":"fine"}}']) {
    kept.set([...kept.keys()][0], damaged);
    const { names } = open({});
    assert.deepEqual([names.of(0, 1), names.of(0, 2)], ["", ""]);
  }
  delete globalThis.localStorage;
  assert.equal(open(file).names.of(0, 3), "from the file");
});
