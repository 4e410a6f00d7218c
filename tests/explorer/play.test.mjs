// A slider that moves by itself: `node --test tests/explorer`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { thereAndBack } from "../../vae_lib/explorer/browser/play.mjs";

const course = (way, every) => {
  const values = [];
  for (let i = 0; way(i * every) !== undefined; i++) values.push(way(i * every));
  return values;
};

for (const [from, low, high] of [[0, -3, 3], [0.76, -3, 3], [-4, -4, 4], [100, 0, 100]])
  test(`from ${from} to ${high}, to ${low} and back, gently`, () => {
    const values = course(thereAndBack(from, low, high), 1 / 60);
    const span = high - low;
    assert.equal(values[0], from);
    assert.ok(Math.abs(values.at(-1) - from) < span / 500);
    assert.ok(Math.abs(Math.max(...values) - high) < span / 500);
    assert.ok(Math.abs(Math.min(...values) - low) < span / 500);
    assert.ok(values.indexOf(Math.max(...values)) < values.indexOf(Math.min(...values)) || from === low);
    const steps = values.slice(1).map((value, i) => Math.abs(value - values[i]));
    assert.ok(Math.max(...steps) < span / 120, "no leap: two seconds from end to end at its fastest");
  });

test("who asked for little motion sees one face a second, both ends among them", () => {
  const values = course(thereAndBack(0, -3, 3, true), 1);
  assert.deepEqual(values.map(Math.round), [0, 1, 2, 3, 2, 1, 0, -1, -2, -3, -2, -1]);
  const fine = course(thereAndBack(0, -3, 3, true), 0.1);
  assert.equal(new Set(fine).size, 7);
});
