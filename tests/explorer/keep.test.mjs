// What a picture that is kept is called, and what it tells of itself: `node --test tests/explorer`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { wordsOf } from "../../vae_lib/explorer/browser/keep.mjs";
import { betaOf, encodeState, initialState } from "../../vae_lib/explorer/browser/state.mjs";
import { world } from "./world.mjs";

const played = (world, changes, names = {}) => {
  const state = { ...initialState(), ...changes };
  return {
    world, state,
    names: { of: (m, d) => names[d] ?? "" },
    betaOf: (m = state.lead) => betaOf(world, state, m),
    text: () => encodeState(world, state),
  };
};

test("a face tells what was moved most first, in the learner's names, and how to come back", () => {
  const here = world(8, 1, 3, 2, 0);
  // Ranks 1 and 2 are dimensions 7 and 6; at the prior's mean a slider's value is its offset.
  const played1 = played(here, { offsets: { 1: -512, 2: 64 }, amounts: { 0: 5 } }, { 7: "Kopf: «häufig» dreht/∞" });
  played1.world.models[0].directions[0].fill(0); // so that the attribute moves no dimension
  const { name, texts } = wordsOf(played1, "face");
  assert.equal(name, "model_0_mean_Kopf_haufig_dreht_-2.00_z6_0.25_and_1_more");
  assert.equal(texts.Title, "model 0 · the prior’s mean · Kopf: «häufig» dreht/∞ (z 7) −2.00 · z 6 0.25 · and 1 more");
  assert.equal(texts.Values, `Kopf: «häufig» dreht/∞ (z 7): −2.00\nz 6: 0.25\n${here.attributes[0].name}: 0.25`);
  assert.equal(texts.State, encodeState(here, played1.state));
});

test("a strip and a film tell ranges, and of a way how far it leads", () => {
  const here = world(8, 2, 3, 0, 0);
  const moved = played(here, { lead: 1, start: { kind: "seed", seed: 7 }, offsets: { 0: 300 } });
  const from = wordsOf(moved, "film").texts.Values.match(/^z 1: (.*) to (.*)$/).slice(1).map((text) => Number(text.replace("−", "-")));
  assert.ok(Math.abs(from[1] - from[0] - 300 / 256) < 0.011);
  assert.match(wordsOf(moved, "film").name, /^model_1_seed7_z1_-?[\d.]+_to_-?[\d.]+$/);
  assert.match(wordsOf(moved, "face").name, /^model_1_and_1_more_seed7_z1_-?[\d.]+$/);
  assert.equal(wordsOf(moved, "face").texts.Model, "model 0; model 1");
  const way = played(here, { start: { kind: "gallery", index: 2 }, end: { kind: "fit", seed: 4 }, t: 30, way: "spherical" });
  assert.equal(wordsOf(way, "strip").name, "model_0_000002_to_faces_seed4_0_to_100_strip");
  assert.equal(wordsOf(way, "strip").texts.Values, "spherical way to a draw where faces live, seed 4: 0 % to 100 %");
  assert.equal(wordsOf(way, "face").texts.Values, "spherical way to a draw where faces live, seed 4: 30 %");
});

test("a network for every β tells its β", () => {
  const here = world(8, 1, 3, 0, 0, [0.5, 1, 2, 20]);
  const { name, texts } = wordsOf(played(here, { betas: { 0: 64 * 2 } }), "face");
  assert.equal(name, "model_0_mean_beta4");
  assert.equal(texts.Values, "β of model 0: 4");
});
