// The state, its history and its text, without a browser: `node --test tests/explorer`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { floatsFromHalf, seededNormal } from "../../vae_lib/explorer/browser/numbers.mjs";
import { difference } from "../../vae_lib/explorer/browser/pictures.mjs";
import {
  GRAIN, History, LONGEST, NOTCHES, OCTAVE, atBeta, betaOf, between, checksum, decodeState, encodeState, initialState, position, reduce,
  stretch, withoutLocked,
} from "../../vae_lib/explorer/browser/state.mjs";
import { dice, world } from "./world.mjs";

function randomStart(roll, { latent, ids }) {
  return [
    () => ({ kind: "mean" }),
    () => ({ kind: "seed", seed: roll(2 ** 32) }),
    () => ({ kind: "fit", seed: roll(2 ** 32) }),
    () => ({ kind: "gallery", index: roll(ids.length) }),
    () => ({ kind: "face", id: `${roll(999999)}.jpg` }),
    () => ({ kind: "factors", values: Array.from({ length: 13 }, () => roll(1001)) }),
    () => ({ kind: "code", values: Array.from({ length: latent }, () => roll(4095) - 2047) }),
  ][roll(7)]();
}

function randomAction(roll, there) {
  const { latent, attributes, models } = there;
  return [
    () => ({ type: "offset", rank: roll(latent), value: roll(1500) - 750 }),
    () => ({ type: "offset", rank: roll(latent), value: 0 }),
    () => ({ type: "amount", index: roll(attributes.length), value: roll(121) - 60 }),
    () => ({ type: "lock", index: roll(attributes.length), on: roll(2) === 1 }),
    () => ({ type: "start", start: randomStart(roll, there) }),
    () => ({ type: "end", end: roll(3) ? randomStart(roll, there) : null }),
    () => ({ type: "t", value: roll(101) }),
    () => ({ type: "way", way: roll(2) ? "linear" : "spherical" }),
    () => ({ type: "lead", lead: roll(models.length) }),
    () => ({ type: "reset" }),
  ][roll(10)]();
}

test("any sequence of actions is undone to the start and redone to the end", () => {
  const there = world(16, 2, 8, 5);
  for (let seed = 0; seed < 200; seed++) {
    const roll = dice(seed);
    const history = new History(initialState());
    const seen = [JSON.stringify(history.present)];
    for (let i = roll(60); i >= 0; i--) {
      history.act(randomAction(roll, there), roll(3) ? null : "hand", i * 300);
      const now = JSON.stringify(history.present);
      if (history.past.length + 1 === seen.length) seen[seen.length - 1] = now; // the same hand
      else if (history.past.length === seen.length) seen.push(now);
    }
    for (let i = seen.length - 1; i > 0; i--) {
      assert.equal(JSON.stringify(history.present), seen[i]);
      history.undo();
    }
    assert.deepEqual(history.present, initialState());
    history.undo(); // nothing left: nothing happens
    assert.deepEqual(history.present, initialState());
    for (let i = 1; i < seen.length; i++) {
      history.redo();
      assert.equal(JSON.stringify(history.present), seen[i]);
    }
    assert.equal(history.future.length, 0);
  }
});

test("one drag is one step, and a rest or another control begins the next", () => {
  const history = new History(initialState());
  for (let i = 1; i <= 50; i++) history.act({ type: "offset", rank: 3, value: i }, "z3", 10 * i);
  assert.equal(history.past.length, 1);
  history.act({ type: "offset", rank: 3, value: 60 }, "z3", 5000);
  assert.equal(history.past.length, 2);
  history.act({ type: "offset", rank: 4, value: 60 }, "z4", 5010);
  assert.equal(history.past.length, 3);
  history.undo();
  assert.deepEqual(history.present.offsets, { 3: 60 });
});

test("what is folded is one step, and none where it ends as it began", () => {
  const history = new History(initialState());
  history.act({ type: "t", value: 5 }, "t", 0);
  const before = history.present;
  for (let i = 0; i < 150; i++) history.act({ type: "offset", rank: 0, value: i + 1 }, "z0", 1000 * i);
  history.foldSince(before);
  assert.equal(history.past.length, 2);
  history.undo();
  assert.equal(history.present, before);
  history.act({ type: "t", value: 90 }, "t", 1e6);
  history.act({ type: "t", value: 5 }, "t", 2e6);
  history.foldSince(before);
  assert.equal(history.past.length, 1);
  history.foldSince(before); // no step leads there any more: nothing happens
  assert.equal(history.past.length, 1);
});

test("actions leave the state they act on alone, and doing nothing is no step", () => {
  const frozen = Object.freeze({ ...initialState(), offsets: Object.freeze({ 1: 5 }) });
  assert.notEqual(reduce(frozen, { type: "offset", rank: 1, value: 6 }), frozen);
  assert.equal(reduce(frozen, { type: "offset", rank: 1, value: 5 }), frozen);
  const history = new History(initialState());
  history.act({ type: "reset" });
  assert.equal(history.past.length, 0);
});

test("a state's text tells exactly this state, in at most 400 characters", () => {
  const there = world(128, 3);
  let longest = 0;
  for (let seed = 0; seed < 400; seed++) {
    const roll = dice(seed);
    let state = initialState();
    for (let i = roll(300); i >= 0; i--) state = reduce(state, randomAction(roll, there));
    const text = encodeState(there, state);
    if (text === null) {
      assert.ok([state.start.kind, state.end?.kind].includes("code"), "only codes may need more");
      continue;
    }
    longest = Math.max(longest, text.length);
    assert.deepEqual(decodeState(there, ` ${text}\n`), state);
  }
  assert.ok(longest <= LONGEST);
});

test("every dimension, every attribute and two named faces fit into a state's text", () => {
  const there = world(128);
  let state = reduce(initialState(), { type: "start", start: { kind: "face", id: "000123.jpg" } });
  state = reduce(state, { type: "end", end: { kind: "face", id: "202599.jpg" } });
  for (let i = 0; i < 128; i++) state = reduce(state, { type: "offset", rank: i, value: i - 200 });
  for (let i = 0; i < 40; i++) {
    state = reduce(state, { type: "amount", index: i, value: i - 60 });
    state = reduce(state, { type: "lock", index: i, on: true });
  }
  const text = encodeState(there, state);
  assert.ok(text.length <= 400);
  assert.deepEqual(decodeState(there, text), state);
});

test("what is kept at several β is interpolated in log β, and ends where the range ends", () => {
  const betas = [0.5, 2, 8];
  const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);
  for (const [beta, wanted] of [[0.5, 10], [1, 15], [2, 20], [4, 10], [8, 0]]) near(atBeta(betas, [10, 20, 0], beta), wanted);
  assert.deepEqual(atBeta(betas, [[0, 1], [2, 3], [4, 7]], 4), [3, 5]);
  const there = world(16, 2, 8, 5, 13, betas);
  const asked = (value) => betaOf(there, reduce(initialState(), { type: "beta", model: 1, value }), 1);
  near(betaOf(there, initialState(), 1), 1);
  near(asked(OCTAVE), 2);
  near(asked(9 * OCTAVE), 8);
  near(asked(-9 * OCTAVE), 0.5);
  assert.equal(betaOf(world(16), initialState(), 0), undefined);
});

test("β moves codes and directions of the model that it is of, and the state's text tells it", () => {
  const there = world(16, 2, 8, 5, 13, [0.5, 1, 4, 20]);
  let state = { ...initialState(), start: { kind: "gallery", index: 3 }, betas: { 0: 0, 1: 0 } };
  state = reduce(state, { type: "amount", index: 2, value: NOTCHES });
  const before = [0, 1].map((m) => position(there, state, m));
  const later = reduce(state, { type: "beta", model: 1, value: 2 * OCTAVE });
  assert.deepEqual(position(there, later, 0), before[0]);
  const { faces, directions } = there.models[1];
  const wanted = faces[3][2].map((value, d) => value + directions[2][2][d]); // β = 4 is the third
  position(there, later, 1).forEach((value, d) => assert.ok(Math.abs(value - wanted[d]) < 1e-5));
  assert.deepEqual(decodeState(there, encodeState(there, later)), later);
});

test("a photo is not told, only the code that it led to", () => {
  const there = world(128);
  const start = { kind: "photo", id: 1 };
  const code = seededNormal(5, 128);
  there.known.set(JSON.stringify(start), { codes: [code] });
  const state = reduce(reduce(initialState(), { type: "start", start }), { type: "offset", rank: 0, value: 100 });
  const text = encodeState(there, state);
  assert.ok(text.length <= 400);
  const shared = position(there, decodeState(there, text), 0);
  position(there, state, 0).forEach((value, d) => assert.ok(Math.abs(value - shared[d]) <= 0.5 / GRAIN));
  assert.equal(encodeState(world(128, 2), state), null); // two codes do not fit
});

test("garbage, damage and the states of other models are refused in sentences", () => {
  const there = world(128);
  const text = encodeState(there, reduce(initialState(), { type: "offset", rank: 2, value: 99 }));
  for (const garbage of ["", "hello", "vae1-", "vae1-!!!", "{}", text.slice(0, -2), `${text}A`, "vae1-" + "A".repeat(500)])
    assert.throws(() => decodeState(there, garbage), { name: "Error", message: /\. .+\./ }, garbage);
  assert.throws(() => decodeState(there, text.replace("vae1-", "vae2-")), /another version/);
  assert.throws(() => decodeState(world(128, 2), text), /belongs to other models/);
  const roll = dice(1);
  for (let i = 0; i < 300; i++) {
    const at = 5 + roll(text.length - 5);
    const other = text.slice(0, at) + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[roll(26)] + text.slice(at + 1);
    if (other !== text) assert.throws(() => decodeState(there, other), Error);
  }
});

test("locked attributes stay where they are while others move", () => {
  const there = world(32, 1, 8, 6);
  const { directions } = there.models[0];
  const locks = [1, 4];
  const along = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  for (const index of [0, 2, 3, 5]) {
    const moved = withoutLocked(directions, index, locks);
    for (const lock of locks) assert.ok(Math.abs(along(moved, directions[lock])) < 1e-9);
  }
  // A locked attribute moves itself, but not the other locked one; without locks nothing changes.
  assert.ok(along(withoutLocked(directions, 1, locks), directions[1]) > 0);
  assert.ok(Math.abs(along(withoutLocked(directions, 1, locks), directions[4])) < 1e-9);
  assert.deepEqual(Array.from(withoutLocked(directions, 0, [])), Array.from(directions[0]));
  let state = reduce(initialState(), { type: "amount", index: 0, value: 2 * NOTCHES });
  state = locks.reduce((now, index) => reduce(now, { type: "lock", index, on: true }), state);
  const z = position(there, state, 0);
  for (const lock of locks) assert.ok(Math.abs(along(z, directions[lock])) < 1e-4);
});

test("faces drawn where codes live have the mean and the covariance that were fitted", () => {
  const there = world(3);
  const { mean, chol } = there.models[0].fit;
  const count = 20_000;
  const codes = Array.from({ length: count }, (_, seed) => position(there, { ...initialState(), start: { kind: "fit", seed } }, 0));
  for (let i = 0; i < 3; i++) {
    const middle = (k) => codes.reduce((sum, z) => sum + z[k], 0) / count;
    const sd = (k) => Math.hypot(...chol[k]);
    assert.ok(Math.abs(middle(i) - mean[i]) < (5 * sd(i)) / Math.sqrt(count));
    for (let j = 0; j <= i; j++) {
      const found = codes.reduce((sum, z) => sum + (z[i] - mean[i]) * (z[j] - mean[j]), 0) / count;
      const asked = chol[i].reduce((sum, value, k) => sum + value * chol[j][k], 0);
      assert.ok(Math.abs(found - asked) < (7 * sd(i) * sd(j)) / Math.sqrt(count), `${i} ${j}: ${found}, ${asked}`);
    }
  }
});

test("ways keep their ends; the spherical one keeps the length", () => {
  const [a, b] = [seededNormal(1, 64), seededNormal(2, 64)];
  const length = (v) => Math.hypot(...v);
  for (const way of ["linear", "spherical"])
    for (const [t, end] of [[0, a], [1, b]])
      between(a, b, t, way).forEach((value, i) => assert.ok(Math.abs(value - end[i]) < 1e-6));
  const halfway = length(between(a, b, 0.5, "spherical"));
  assert.ok(halfway > Math.min(length(a), length(b)) * 0.99);
  assert.ok(length(between(a, b, 0.5, "linear")) < 0.85 * halfway);
  assert.deepEqual(between(a, a.map(() => 0), 0.5, "spherical"), between(a, a.map(() => 0), 0.5, "linear"));
});

test("several models move together by rank, each from its own code", () => {
  const there = world(16, 3, 8, 2);
  let state = reduce(initialState(), { type: "start", start: { kind: "gallery", index: 3 } });
  state = reduce(state, { type: "offset", rank: 2, value: GRAIN });
  there.models.forEach((model, m) => {
    const moved = position(there, state, m).map((value, d) => value - model.faces[3][d]);
    moved.forEach((value, d) => assert.equal(value, d === model.order[2] ? 1 : 0));
  });
});

test("a film begins at the start and ends where the state is", () => {
  const there = world(16, 1, 8, 3);
  let state = reduce(initialState(), { type: "start", start: { kind: "gallery", index: 1 } });
  state = reduce(state, { type: "amount", index: 1, value: 30 });
  assert.deepEqual(position(there, stretch(state, 0), 0), there.models[0].faces[1]);
  assert.deepEqual(position(there, stretch(state, 1), 0), position(there, state, 0));
});

test("half precision: normal, subnormal, zero and infinite numbers", () => {
  const bits = new Uint16Array([0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x8000, 0x7c00, 0x3555]);
  const expected = [1, -2, 65504, 2 ** -24, 1023 * 2 ** -24, -0, Infinity, 0.333251953125];
  assert.deepEqual(Array.from(floatsFromHalf(new Uint8Array(bits.buffer))), expected);
});

test("what changed is black where nothing did", () => {
  const frame = new Uint8ClampedArray([10, 20, 30, 255, 200, 0, 5, 255]);
  assert.deepEqual(Array.from(difference(frame, frame)), [0, 0, 0, 255, 0, 0, 0, 255]);
  assert.equal(typeof checksum("a"), "number");
});

// A model as anywidget hands it over, with a kernel that answers when told to.
