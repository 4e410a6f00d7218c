// Where the explorer stands. It is never taller than what scrolls around it, so that it can be on
// the screen as a whole, and the controls scroll inside of it, beside the faces or below them. This
// only looks at the elements of the page around it; it changes none of their styles.

import { clamp } from "./numbers.mjs";

const GAP = 6; // pixels that stay free above and below the explorer
const TALL = 100_000;
const BESIDE = 540; // from this width on, controls stand beside the faces
const PANEL = 380; // and are at least this wide
const LEAST = 300; // in less height than this, nobody can use it

/** The elements that cut off what does not fit, however tall this element gets; the window apart. */
function clippersOf(element) {
  const { height, maxHeight } = element.style;
  Object.assign(element.style, { height: `${TALL}px`, maxHeight: "none" });
  const clippers = [];
  for (let box = element.parentElement ?? element.getRootNode().host; box; box = box.parentElement ?? box.getRootNode().host) {
    if (box === document.body || box === document.documentElement) continue;
    // An element that only grows with its content cuts nothing off.
    if (getComputedStyle(box).overflowY !== "visible" && box.clientHeight < TALL / 2) clippers.push(box);
  }
  Object.assign(element.style, { height, maxHeight });
  return clippers;
}

/** How much of the window's upper edge bars cover that stay there while the page scrolls. */
function coveredBy(element) {
  const { left, width } = element.getBoundingClientRect();
  const seen = new Set();
  let covered = 0;
  for (const part of [0.1, 0.5, 0.9]) {
    for (let y = 2; y < innerHeight / 3; y += 12) {
      const hit = document.elementsFromPoint(clamp(left + part * width, 1, innerWidth - 1), y);
      for (let box = hit[0]; box; box = box.parentElement) {
        if (seen.has(box)) break;
        seen.add(box);
        if (box.contains(element) || element.contains(box)) break;
        const { position } = getComputedStyle(box);
        const { top, bottom } = box.getBoundingClientRect();
        const stays = position === "fixed" || (position === "sticky" && parseFloat(getComputedStyle(box).top) >= 0);
        if (stays && top <= covered + 1 && bottom < innerHeight / 2) covered = Math.max(covered, bottom);
      }
    }
  }
  return Math.ceil(covered);
}

/**
 * What is left of the window where this page is only a frame of another, as in VS Code and Colab.
 * Such a frame is often as tall as what it shows, so that its own height says nothing.
 */
function frameRoom() {
  let [room, inner] = [Infinity, window];
  try {
    for (; inner !== inner.parent; inner = inner.parent) room = Math.min(room, inner.parent.innerHeight);
  } catch {
    room = Math.min(room, screen.availHeight - 240); // what editors and browsers show around it
  }
  return room;
}

/**
 * Keep the explorer no taller than its surroundings show, and give faces and controls their places.
 *
 * `parts` are root, body, left, faces, controls, chooser, probe; gives what to call when something
 * inside has changed, when all of it shall be on the screen, and when it ends.
 */
export function standing({ root, body, left, faces, controls, chooser, probe, alert }, models) {
  const framed = window !== window.parent;
  let [clippers, cover, room, measured, before, settled] = [[], 0, 600, -Infinity, "", undefined];
  let frameStays = Infinity;
  const watcher = new ResizeObserver(() => place());
  const resized = () => {
    frameStays = Infinity;
    measure();
    place();
  };
  const measure = () => {
    measured = performance.now();
    for (const box of clippers) watcher.unobserve(box);
    clippers = clippersOf(root);
    for (const box of clippers) watcher.observe(box);
    cover = clippers.length ? 0 : coveredBy(root);
  };
  const heights = () => {
    const window_ = framed ? Math.min(frameRoom(), frameStays) : Math.min(probe.offsetHeight || innerHeight, innerHeight);
    return Math.max(LEAST, Math.min(window_ - cover, ...clippers.map((box) => box.clientHeight)) - 2 * GAP);
  };
  const place = (force = false) => {
    const width = root.clientWidth;
    if (!width) return;
    if (measured === -Infinity) measure();
    room = heights();
    const extras = [...faces.querySelectorAll(".ve-extra:not([hidden])")].length;
    const inputs = `${width} ${room} ${extras} ${alert.offsetHeight}`;
    if (inputs === before && !force) return;
    before = inputs;
    const style = getComputedStyle(root);
    const edge = (names) => names.reduce((sum, name) => sum + parseFloat(style[name]), 0);
    const wide = width - edge(["paddingLeft", "paddingRight"]);
    const high = room - edge(["paddingTop", "paddingBottom", "borderTopWidth", "borderBottomWidth"]) - (alert.offsetHeight ? alert.offsetHeight + 8 : 0);
    const beside = wide >= BESIDE;
    root.style.setProperty("--ve-room", `${Math.floor(room)}px`);
    Object.assign(root.style, { scrollMarginTop: `${cover + GAP}px`, scrollMarginBottom: `${GAP}px` });
    root.style.setProperty("--ve-cover", `${cover}px`);
    body.classList.toggle("ve-beside", beside);
    const sizes = (caption) => {
      let best = { score: -1 };
      for (let columns = 1; columns <= models; columns++) {
        const rows = Math.ceil(models / columns);
        const gaps = 10 * (columns - 1);
        const most = beside ? wide - Math.max(PANEL, models > 1 ? 0.42 * wide : 0.5 * wide) : wide;
        const spare = beside && rows === 1 && high > 420 ? 150 : 0; // for the gallery under the faces
        const below = 24 + (extras && (beside || models > 1) ? 100 : 0) + spare;
        const share = beside ? 1 : models > 1 ? 0.44 : 0.5;
        const beyond = extras && !beside && models === 1 ? 0.66 : 1; // they stand to the right
        const side = Math.floor(Math.min((most - gaps) * beyond / columns, (share * high - below - 8 * (rows - 1)) / rows - caption, models > 1 ? 300 : 420));
        const score = side * (rows === 1 ? 1.45 : columns === 1 ? 1.2 : models % columns ? 0.8 : 1);
        if (score > best.score) best = { score, columns, rows, side: Math.max(48, side), spare, gaps };
      }
      return best;
    };
    const apply = ({ columns, side, gaps }) => {
      faces.style.setProperty("--ve-columns", columns);
      faces.style.setProperty("--ve-side", `${side}px`);
      left.style.setProperty("--ve-left", `${Math.max(columns * side + gaps, 150)}px`);
    };
    const captions = () => Math.max(...[...faces.querySelectorAll(".ve-model figcaption")].map((c) => c.offsetHeight)) + 6;
    apply(sizes(44));
    const best = sizes(captions());
    apply(best);
    const home = best.spare ? left : controls;
    if (chooser.parentElement !== home) home === left ? left.append(chooser) : controls.firstElementChild.after(chooser);
    if (framed) {
      clearTimeout(settled);
      settled = setTimeout(() => {
        // A frame that has not grown with the explorer by now has a height of its own.
        if (innerHeight < root.offsetHeight && frameStays === Infinity) {
          frameStays = innerHeight;
          place();
        }
      }, 700);
    }
  };
  /** The part of the window in which something here is seen. */
  const band = () =>
    clippers.reduce(
      ({ top, bottom }, box) => {
        const place = box.getBoundingClientRect();
        return { top: Math.max(top, place.top), bottom: Math.min(bottom, place.bottom) };
      },
      { top: cover, bottom: innerHeight },
    );
  const faceHidden = () => {
    const [{ top, bottom }, seen] = [faces.getBoundingClientRect(), band()];
    return top < seen.top - 1 || bottom > seen.bottom + 1;
  };
  /** Whether something that is not the explorer lies over the upper edge of the faces. */
  const covered = () => {
    const { left, top, width } = faces.getBoundingClientRect();
    return [0.05, 0.5, 0.95].some((part) => {
      const hit = document.elementFromPoint(left + part * width, top + 2);
      return hit && !root.contains(hit) && !hit.contains(root);
    });
  };
  const scroll = () => {
    // The controls may have become shorter since the browser brought this one into sight.
    const { activeElement } = document;
    if (controls.contains(activeElement)) activeElement.scrollIntoView({ block: "nearest", behavior: "instant" });
    root.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
    if (faceHidden()) faces.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
  };
  /** Scroll what is around until the explorer is on the screen as a whole. */
  const bring = () => {
    if (performance.now() - measured > 1000) {
      measure();
      place();
    }
    scroll();
    if (!covered()) return;
    measure(); // bars may come while one scrolls
    place();
    scroll();
  };
  // A page that moves under a pressed mouse takes its click away, so that the keyboard's focus
  // brings everything into sight at once, and the mouse when it has moved or clicked something.
  let pressed = false;
  const release = () => setTimeout(() => (pressed = false), 0);
  const again = () => root.contains(document.activeElement) && faceHidden() && bring();
  root.addEventListener("pointerdown", () => (pressed = true), true);
  for (const event of ["pointerup", "pointercancel"]) addEventListener(event, release, true);
  root.addEventListener("focusin", () => {
    if (pressed) return;
    bring();
    setTimeout(again, 60); // notebooks scroll too, a moment after a cell was entered
  });
  // Looking where things are costs a layout: not for every step of a slider, and after its face.
  let looking;
  const lookLater = () => {
    looking ??= setTimeout(() => {
      looking = undefined;
      if (faceHidden()) bring();
    }, 200);
  };
  root.addEventListener("input", lookLater);
  root.addEventListener("click", lookLater);
  addEventListener("resize", resized);
  watcher.observe(root);
  const end = () => {
    watcher.disconnect();
    clearTimeout(settled);
    clearTimeout(looking);
    removeEventListener("resize", resized);
    for (const event of ["pointerup", "pointercancel"]) removeEventListener(event, release, true);
  };
  /** Something was told: does it need other places? Asked often, so it looks at no layout. */
  let shown;
  const look = () => {
    const now = `${alert.textContent} ${faces.querySelectorAll(".ve-extra:not([hidden])").length}`;
    if (now === shown) return;
    shown = now;
    place();
  };
  return { look, end };
}
