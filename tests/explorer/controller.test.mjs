// The controller, with a widget manager and a kernel that are played: `node --test tests/explorer`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Controller } from "../../vae_lib/explorer/browser/controller.mjs";
import { initialState } from "../../vae_lib/explorer/browser/state.mjs";

function backbone(values) {
  const listeners = new Map();
  const on = (name, callback) => listeners.set(name, [...(listeners.get(name) ?? []), callback]);
  const trigger = (name, ...args) => (listeners.get(name) ?? []).forEach((callback) => callback(...args));
  const get = (name) => values[name];
  const set = (name, value) => {
    for (const [key, now] of Object.entries(typeof name === "string" ? { [name]: value } : name)) {
      const before = values[key];
      values[key] = now;
      if (before !== now) trigger(`change:${key}`);
    }
  };
  return { on, trigger, get, set, save_changes() {}, values, comm_live: values.comm_live };
}

async function opened(answer) {
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
  await controller.ready;
  return { controller, asked, model };
}

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test("five hundred slider events: one question at a time, and the last one is about the last", async () => {
  let [open, most] = [0, 0];
  const { controller, asked } = await opened(({ content, buffers, model }) => {
    if (content.kind === "hello") model.trigger("msg:custom", { kind: "welcome", request: content.request, faces: 0, device: "cpu" });
    if (content.kind !== "decode") return;
    most = Math.max(most, ++open);
    const copies = buffers.map((buffer) => new Float32Array(buffer.slice(0)));
    setTimeout(() => {
      open--;
      const value = Math.round(100 * copies[0][2]);
      model.trigger("msg:custom", { kind: "pixels", request: content.request }, [new DataView(new Uint8Array([value, value, value]).buffer)]);
    }, 3);
  });
  for (let i = 1; i <= 500; i++) {
    controller.move(2, i / 250);
    if (i % 25 === 0) await later(1);
  }
  await later(60);
  assert.equal(most, 1);
  assert.ok(asked.length < 100, `${asked.length} questions`);
  assert.deepEqual(Array.from(controller.frames[0]), [200, 200, 200, 255]);
  assert.equal(controller.history.past.length, 1);
  controller.undo();
  assert.equal(controller.valueOf(2), 0);
  clearTimeouts(controller);
});

test("what the kernel refuses is told, and the last good face stays", async () => {
  let refuse = false;
  const { controller, model } = await opened(({ content, model }) => {
    const { request, kind } = content;
    if (kind === "hello") model.trigger("msg:custom", { kind: "welcome", request, faces: 0, device: "cpu" });
    if (kind === "decode" && refuse) model.trigger("msg:custom", { kind: "refused", request, message: "No memory." });
    else if (kind === "decode") model.trigger("msg:custom", { kind: "pixels", request }, [new DataView(new Uint8Array([1, 2, 3]).buffer)]);
  });
  await later(5);
  refuse = true;
  model.set("values", [1, 0, 0, 0]);
  await later(5);
  assert.match(controller.notice, /No memory/);
  assert.deepEqual(Array.from(controller.frames[0]), [1, 2, 3, 255]);
  model.set("state", "nonsense");
  await later(5);
  assert.match(controller.notice, /no explorer state/);
  assert.equal(controller.valueOf(0), 1);
  clearTimeouts(controller);
});

function clearTimeouts(controller) {
  for (const { timer } of controller.kernel.waiting.values()) clearTimeout(timer);
}
