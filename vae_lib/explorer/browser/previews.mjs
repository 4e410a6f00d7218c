// Small faces at both ends of a slider: the present face, with that slider there.

import { REST } from "./controller.mjs";
import { betaOf, position, reduce } from "./state.mjs";
import { h, paint } from "./dom.mjs";

/**
 * The previews of one view. The page decodes them, whoever decodes the face itself: one at a time,
 * only those in sight, and none before the hand rests, so that the face waits for one at most.
 */
export class Previews {
  constructor(controller) {
    Object.assign(this, { controller, ends: new Map(), version: 0, resting: false, running: false });
    this.sight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.ends.get(target).seen = isIntersecting;
      if (this.resting) this.run();
    });
  }

  /** Give a slider its faces; `actionAt` tells which action takes it to a value. */
  add({ range, input, shown }, actionAt) {
    for (const side of ["min", "max"]) {
      const canvas = h("canvas", {
        class: "ve-end", width: 64, height: 64, "aria-hidden": "true",
        onclick: () => {
          input(Number(range[side]));
          range.focus({ preventScroll: true });
        },
      });
      range[side === "min" ? "before" : "after"](canvas);
      this.ends.set(canvas, { canvas, range, side, shown, actionAt });
      this.sight.observe(canvas);
    }
  }

  update(what) {
    if (what === "state") {
      this.version++;
      this.resting = false;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => {
        this.resting = true;
        this.run();
      }, REST);
    }
    if (what === "frames" && this.resting) setTimeout(() => this.run()); // then decoding has ended
  }

  async run() {
    if (this.running) return;
    this.running = true;
    const { controller } = this;
    while (this.resting && !controller.decoding && !controller.ended) {
      const { version } = this;
      const end = [...this.ends.values()].find((one) => one.seen && one.version !== version);
      if (!end) break;
      const { lead } = controller.state;
      const value = Number(end.range[end.side]);
      const there = reduce(controller.state, end.actionAt(value));
      const z = position(controller.world, there, lead);
      const beta = betaOf(controller.world, there, lead);
      const key = z && `${lead} ${beta} ${z}`;
      if (z && key !== end.key) {
        let frame;
        try {
          [frame] = await controller.decodeHere(lead, [z], beta);
        } catch {
          this.end(); // a page that cannot decode goes without
        }
        if (!frame || version !== this.version) continue;
        paint(end.canvas, frame);
        Object.assign(end, { key });
        end.canvas.title = `To ${end.shown(value)}`;
      }
      end.version = version;
    }
    this.running = false;
  }

  end() {
    this.resting = false;
    clearTimeout(this.timer);
    this.sight.disconnect();
    for (const canvas of this.ends.keys()) canvas.remove();
    this.ends.clear();
  }
}
