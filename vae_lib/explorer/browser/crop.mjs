// A face cut from a photo as vae_lib.explorer.photo.align_photo does it.

import { clamp } from "./numbers.mjs";

// Where CelebA’s alignment puts the eyes, as in vae_lib.explorer.photo.
const FACE_EYES = [69.5, 108].map((x) => [((x + 0.5 - 15) * 64) / 148, ((111 + 0.5 - 35) * 64) / 148]);
export const FACE_SIDE = 64;

/** Means, RGB, of blocks of `factor` × `factor` pixels of a box; blocks at its far ends may be smaller. */
export function reduced({ data, width }, [left, top, right, bottom], factor) {
  const columns = Math.ceil((right - left) / factor);
  const rows = Math.ceil((bottom - top) / factor);
  const values = new Float32Array(rows * columns * 3);
  for (let row = 0, at = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, at += 3) {
      const [x0, y0] = [left + column * factor, top + row * factor];
      const [x1, y1] = [Math.min(right, x0 + factor), Math.min(bottom, y0 + factor)];
      let [r, g, b] = [0, 0, 0];
      for (let y = y0; y < y1; y++)
        for (let x = x0, from = 4 * (y * width + x0); x < x1; x++, from += 4) {
          r += data[from];
          g += data[from + 1];
          b += data[from + 2];
        }
      const count = (x1 - x0) * (y1 - y0);
      values[at] = Math.round(r / count);
      values[at + 1] = Math.round(g / count);
      values[at + 2] = Math.round(b / count);
    }
  return { values, columns, rows };
}

/** Of each of FACE_SIDE pixels in a line of `side`: the first that counts, and triangular weights. */
function triangles(side) {
  const scale = side / FACE_SIDE;
  return Array.from({ length: FACE_SIDE }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - scale + 0.5));
    const end = Math.min(side, Math.floor(centre + scale + 0.5));
    const weights = Array.from({ length: end - first }, (_, k) => Math.max(0, 1 - Math.abs(first + k - centre + 0.5) / scale));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

/** One pixel of a line, from numbers that lie `step` apart. */
function weighted({ first, weights }, numbers, step, offset) {
  let total = 0;
  for (let k = 0, at = first * step + offset; k < weights.length; k++, at += step) total += weights[k] * numbers[at];
  return Math.round(total);
}

/**
 * Turn, scale and crop a photo so that its eyes lie where CelebA's do; beyond its border its edge
 * goes on.
 *
 * @param photo ImageData, or the like: data (RGBA), width, height
 * @param eyes two points, fractions of width and height, in any order
 * @returns RGB (Uint8Array) of 64 × 64 pixels; throws a sentence where the marks make no face
 */
export function alignPhoto(photo, eyes) {
  const { width, height } = photo;
  const [left, right] = eyes.map(([x, y]) => [x * width, y * height]).sort((a, b) => a[0] - b[0]);
  const [dx, dy] = [right[0] - left[0], right[1] - left[1]];
  if (!(Math.hypot(dx, dy) >= 4)) throw new Error("The two eyes lie on one spot; mark one, then the other.");
  // Complex numbers: turn = (right − left) / (to − from), shift = left − turn · from.
  const [from, to] = FACE_EYES;
  const [ex, ey] = [to[0] - from[0], to[1] - from[1]];
  let [re, im] = [(dx * ex + dy * ey) / (ex * ex + ey * ey), (dy * ex - dx * ey) / (ex * ex + ey * ey)];
  let [sx, sy] = [left[0] - re * from[0] + im * from[1], left[1] - re * from[1] - im * from[0]];
  const spot = (x, y) => [sx + re * x - im * y, sy + im * x + re * y];
  let inside = 0;
  for (let i = 0; i < FACE_SIDE ** 2; i++) {
    const [x, y] = spot((i % FACE_SIDE) + 0.5, Math.floor(i / FACE_SIDE) + 0.5);
    inside += x >= 0 && x < width && y >= 0 && y < height;
  }
  if (inside < FACE_SIDE ** 2 / 2)
    throw new Error(`With the eyes here, only ${Math.round((100 * inside) / FACE_SIDE ** 2)} % of the face would lie inside the photo and the rest would be made up. Mark both pupils of one face again, or choose a photo with more room around it.`);
  const factor = Math.max(1, Math.floor(Math.hypot(re, im) / 4));
  const reach = 2 * factor + 2;
  const corners = [[0, 0], [0, FACE_SIDE], [FACE_SIDE, 0], [FACE_SIDE, FACE_SIDE]].map(([x, y]) => spot(x, y));
  const [xs, ys] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  const box = [
    Math.max(0, Math.floor(Math.min(...xs)) - reach), Math.max(0, Math.floor(Math.min(...ys)) - reach),
    Math.min(width, Math.ceil(Math.max(...xs)) + reach), Math.min(height, Math.ceil(Math.max(...ys)) + reach),
  ];
  const { values, columns, rows } = reduced(photo, box, factor);
  [re, im, sx, sy] = [re / factor, im / factor, (sx - box[0]) / factor, (sy - box[1]) / factor];
  const side = FACE_SIDE * Math.max(1, Math.ceil(Math.hypot(re, im))); // fine enough to lose nothing
  const step = FACE_SIDE / side;
  const lines = triangles(side);
  // Each fine row is narrowed as soon as it is drawn: what is kept is side × 64.
  const narrow = new Float32Array(side * FACE_SIDE * 3);
  const fine = new Float32Array(side * 3);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const [u, v] = [(column + 0.5) * step, (row + 0.5) * step];
      const [x, y] = [sx + re * u - im * v - 0.5, sy + im * u + re * v - 0.5];
      const [x0, y0] = [Math.floor(x), Math.floor(y)];
      const [a, b] = [clamp(x0, 0, columns - 1), clamp(x0 + 1, 0, columns - 1)];
      const [up, low] = [clamp(y0, 0, rows - 1) * columns, clamp(y0 + 1, 0, rows - 1) * columns];
      for (let c = 0; c < 3; c++) {
        const [p, q, r, s] = [values[3 * (up + a) + c], values[3 * (up + b) + c], values[3 * (low + a) + c], values[3 * (low + b) + c]];
        const [above, below] = [p + (x - x0) * (q - p), r + (x - x0) * (s - r)];
        fine[3 * column + c] = Math.floor(above + (y - y0) * (below - above)); // as Pillow does: half a level darker
      }
    }
    lines.forEach((line, i) => {
      for (let c = 0; c < 3; c++) narrow[(row * FACE_SIDE + i) * 3 + c] = weighted(line, fine, 3, c);
    });
  }
  const stretch = FACE_SIDE * 3;
  const face = new Uint8Array(FACE_SIDE * stretch);
  lines.forEach((line, row) => {
    for (let i = 0; i < stretch; i++) face[row * stretch + i] = weighted(line, narrow, stretch, i);
  });
  return face;
}
