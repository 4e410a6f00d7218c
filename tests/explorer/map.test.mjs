// The map of two dimensions: `node --test tests/explorer`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { nearest } from "../../vae_lib/explorer/browser/map.mjs";

test("the nearest point is found, within reach", () => {
  const points = [[0, 0], [3, 4], [-1, 0.5]];
  assert.equal(nearest(points, [2, 2]), 1);
  assert.equal(nearest(points, [-0.6, 0.5]), 2);
  assert.equal(nearest(points, [3, 3.9], 0.2), 1);
  assert.equal(nearest(points, [3, 3.7], 0.2), -1);
  assert.equal(nearest([], [0, 0]), -1);
});
