// Small mathematics, and numbers from bytes.

/** Draws from N(0, 1), the same in every browser for a seed: Mulberry32, then Box and Muller. */
export function seededNormal(seed, count) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  const draws = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    draws[i] = radius * Math.cos(angle);
    if (i + 1 < count) draws[i + 1] = radius * Math.sin(angle);
  }
  return draws;
}

export const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
export const norm = (a) => Math.sqrt(dot(a, a));
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** The bytes behind what a trait or message delivers: a DataView, a typed array or a buffer. */
export const bytesOf = (data) =>
  data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** The bytes that Base64 tells. */
export const bytesFrom = (base64) => {
  const letters = atob(base64);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
};

/** IEEE half precision, little-endian bytes, to float32. */
export function floatsFromHalf(bytes) {
  const half = new Uint16Array(new Uint8Array(bytes).buffer); // a copy: halves must be aligned
  const bits = new Uint32Array(half.length);
  for (let i = 0; i < half.length; i++) {
    const sign = (half[i] & 0x8000) << 16;
    const exponent = (half[i] >> 10) & 31;
    const fraction = half[i] & 1023;
    if (exponent === 31) bits[i] = sign | 0x7f800000 | (fraction << 13);
    else if (exponent) bits[i] = sign | ((exponent + 112) << 23) | (fraction << 13);
    else if (fraction) {
      const shift = Math.clz32(fraction) - 21; // a subnormal half is a normal float
      bits[i] = sign | ((113 - shift) << 23) | ((fraction << (13 + shift)) & 0x7fffff);
    } else bits[i] = sign;
  }
  return new Float32Array(bits.buffer);
}

export const soon = (task, wait) => {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(task, wait);
  };
};

/** 0.5, 1.3, 12: a number with two digits that count. */
export const twoDigits = (value) => String(Number(value.toPrecision(2)));

export const decimals = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
