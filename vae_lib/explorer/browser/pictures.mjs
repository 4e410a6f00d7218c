// Pictures to keep: canvases, PNG, GIF.

export const LARGE = 128;

export function drawn(frame, side = LARGE) {
  const size = Math.sqrt(frame.length / 4);
  const small = Object.assign(document.createElement("canvas"), { width: size, height: size });
  small.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(frame), size, size), 0, 0);
  if (side === size) return small;
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, side, side);
  return canvas;
}

export function sideBySide(canvases) {
  const [{ width, height }] = canvases;
  const sheet = Object.assign(document.createElement("canvas"), { width: width * canvases.length, height });
  canvases.forEach((canvas, i) => sheet.getContext("2d").drawImage(canvas, i * width, 0));
  return sheet;
}

export async function pngOf(canvas, texts) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new Blob(withTexts(new Uint8Array(await blob.arrayBuffer()), texts), { type: "image/png" });
}

/** The check that ends a PNG's chunk: CRC-32. */
function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

/** The parts of a PNG with texts in it, of any letters (iTXt), between its head and its pixels. */
export function withTexts(png, texts) {
  const HEAD = 33; // bytes: the signature and IHDR
  const chunks = Object.entries(texts).map(([keyword, text]) => {
    const body = bytesOfText(`iTXt${keyword}\0\0\0\0\0${text}`); // not packed, of no language
    const chunk = new Uint8Array(body.length + 8);
    chunk.set(body, 4);
    new DataView(chunk.buffer).setUint32(0, body.length - 4);
    new DataView(chunk.buffer).setInt32(body.length + 4, crc32(body));
    return chunk;
  });
  return [png.subarray(0, HEAD), ...chunks, png.subarray(HEAD)];
}

/** At most `count` colours that stand for all: boxes of colours are halved where they are widest. */
export function palette(frames, count = 256) {
  const colours = [];
  const every = Math.max(1, Math.floor((frames.length * frames[0].length) / 4 / 20_000));
  for (const frame of frames)
    for (let at = 0; at < frame.length; at += 4 * every) colours.push([frame[at], frame[at + 1], frame[at + 2]]);
  const widest = (box) => {
    let best = { width: -1, channel: 0 };
    for (let channel = 0; channel < 3; channel++) {
      let [low, high] = [255, 0];
      for (const colour of box) {
        low = Math.min(low, colour[channel]);
        high = Math.max(high, colour[channel]);
      }
      if (high - low > best.width) best = { width: high - low, channel };
    }
    return best;
  };
  const boxes = [{ box: colours, ...widest(colours) }];
  while (boxes.length < count) {
    boxes.sort((a, b) => b.width * Math.sqrt(b.box.length) - a.width * Math.sqrt(a.box.length));
    const { box, width, channel } = boxes[0];
    if (width <= 0) break;
    const sorted = box.sort((a, b) => a[channel] - b[channel]);
    const half = sorted.length >> 1;
    const parts = [sorted.slice(0, half), sorted.slice(half)];
    boxes.splice(0, 1, ...parts.map((part) => ({ box: part, ...widest(part) })));
  }
  const mean = (box, channel) => Math.round(box.reduce((sum, colour) => sum + colour[channel], 0) / box.length);
  return boxes.map(({ box }) => [0, 1, 2].map((channel) => mean(box, channel)));
}

const DELAY = 8; // hundredths of a second that a film shows each face
const bytesOfText = (text) => new TextEncoder().encode(text);

/** What a GIF holds of any length: blocks of at most 255 bytes. */
function blocks(bytes) {
  const all = [];
  for (let at = 0; at < bytes.length; at += 255) {
    const block = bytes.slice(at, at + 255);
    all.push(block.length, ...block);
  }
  return [...all, 0];
}

/** An endless GIF (GIF89a) of square RGBA frames, with a comment. */
export function gif(frames, side, comment = "") {
  const colours = palette(frames);
  const nearest = new Map();
  const indexOf = (r, g, b) => {
    const key = ((r >> 2) << 12) | ((g >> 2) << 6) | (b >> 2);
    if (!nearest.has(key)) {
      let best = [Infinity, 0];
      colours.forEach(([x, y, z], i) => {
        const distance = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
        if (distance < best[0]) best = [distance, i];
      });
      nearest.set(key, best[1]);
    }
    return nearest.get(key);
  };
  const u16 = (n) => [n & 255, n >> 8];
  const table = Array.from({ length: 256 }, (_, i) => colours[i] ?? [0, 0, 0]).flat();
  const bytes = [
    ...bytesOfText("GIF89a"), ...u16(side), ...u16(side), 0xf7, 0, 0, ...table,
    0x21, 0xff, 11, ...bytesOfText("NETSCAPE2.0"), 3, 1, 0, 0, 0,
  ];
  if (comment) bytes.push(0x21, 0xfe, ...blocks(bytesOfText(comment)));
  for (const frame of frames) {
    bytes.push(0x21, 0xf9, 4, 4, ...u16(DELAY), 0, 0, 0x2c, 0, 0, 0, 0, ...u16(side), ...u16(side), 0, 8);
    const indices = new Uint8Array(side * side);
    for (let p = 0; p < indices.length; p++) indices[p] = indexOf(frame[4 * p], frame[4 * p + 1], frame[4 * p + 2]);
    bytes.push(...blocks(lzw(indices)));
  }
  bytes.push(0x3b);
  return new Uint8Array(bytes);
}

/** Lempel, Ziv and Welch's compression as GIF has it: codes of 9 to 12 bits, low bits first. */
function lzw(indices) {
  const bytes = [];
  let buffer = 0;
  let filled = 0;
  let width = 9;
  let table = new Map();
  let next = 258;
  const write = (code) => {
    buffer |= code << filled;
    for (filled += width; filled >= 8; filled -= 8, buffer >>>= 8) bytes.push(buffer & 255);
  };
  write(256);
  let prefix = indices[0];
  for (const index of indices.subarray(1)) {
    const key = (prefix << 8) | index;
    if (table.has(key)) {
      prefix = table.get(key);
      continue;
    }
    write(prefix);
    if (next === 4096) {
      write(256);
      [table, next, width] = [new Map(), 258, 9];
    } else {
      table.set(key, next);
      if (next++ === 1 << width) width++;
    }
    prefix = index;
  }
  write(prefix);
  write(257);
  if (filled) bytes.push(buffer & 255);
  return bytes;
}

/** Twice the absolute difference per channel: black where nothing changed. */
export function difference(frame, base) {
  return Uint8ClampedArray.from(frame, (value, i) => (i % 4 === 3 ? 255 : 2 * Math.abs(value - base[i])));
}
