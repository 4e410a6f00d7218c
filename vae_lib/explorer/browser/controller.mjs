// The controller: one per widget, whatever the number of its views.

import { bytesOf, soon } from "./numbers.mjs";
import {
  GRAIN, History, atBeta, betaOf, codeOf, decodeState, encodeState, initialState, keyOf, logvarOf, makeWorld,
  position, stretch,
} from "./state.mjs";
import { Names } from "./names.mjs";
import { Kernel, PATIENCE, leaveDecoders, sharedDecoder, withAlpha } from "./sources.mjs";

export const REST = 120; // ms without a change after which the hand rests
const PAGE = `${Date.now()}-${Math.random()}`; // by which the kernel tells pages apart

/** Everything about one widget that its views share. */
export class Controller {
  constructor(model) {
    Object.assign(this, {
      model, views: new Set(), listening: [], frames: [], notice: "", changes: false, base: null, decodeTime: 0, decodedBy: "",
    });
    this.kernel = new Kernel(model, () => this.kernelChanged());
    this.listen(model, "msg:custom", (content, buffers) => this.kernel.hear(content, buffers ?? []));
    this.saveSoon = soon(() => this.save(), 400);
    this.refineSoon = soon(() => this.refine(), REST);
    this.ready = this.open();
  }

  async open() {
    const { model } = this;
    const find = (reference) => model.widget_manager.get_model(reference.replace("IPY_MODEL_", ""));
    const carriers = await Promise.all(model.get("models").map(find)); // widgets that hold weights
    this.carriers = carriers;
    this.world = makeWorld(
      carriers.map((carrier) => ({ spec: carrier.get("spec"), gallery: carrier.get("gallery") })),
      model.get("labels"),
      model.get("factors"),
    );
    this.drawsFrom = this.world.fits ? "fit" : "seed"; // by default faces are drawn where faces live
    this.names = new Names(model, carriers.map((carrier) => carrier.get("spec").digest), () => this.tell("state"));
    this.history = new History({ ...initialState(), start: this.opening() });
    if (!carriers.length) return;
    // What anywidget hands on does not tell whether there is a kernel; other widgets do.
    const [first] = carriers;
    this.listen(first, "comm_live_update", () => first.comm_live || this.kernel.mode === "none" || this.kernel.lose());
    this.listen(model, "change:state", () => this.stateSet());
    this.listen(model, "change:values", () => this.valuesSet());
    this.listen(model, "change:named", () => this.names.heard());
    const live = Boolean(first.comm_live);
    const hello = this.kernel.hello();
    if (live) await hello;
    const wanted = model.get("state");
    if (wanted) await this.load(wanted);
    this.changed();
    this.valuesSet();
  }

  /** Where a new explorer begins: the face that Python chose, else the prior's mean. */
  opening() {
    const { id, codes } = this.model.get("opening") ?? {};
    const index = this.world.ids.indexOf(id);
    if (codes?.length) {
      const start = { kind: "face", id };
      this.world.known.set(keyOf(start), { codes: this.codesIn(codes) });
      return start;
    }
    return index < 0 ? { kind: "mean" } : { kind: "gallery", index };
  }

  /** The code that each model sent; of a network for every β one for each β that is kept. */
  codesIn(buffers) {
    const { latent, models } = this.world;
    return buffers.map((bytes, m) => {
      const all = new Float32Array(bytesOf(bytes).slice().buffer);
      return models[m].rate ? models[m].rate.betas.map((_, b) => all.subarray(b * latent, (b + 1) * latent)) : all;
    });
  }

  listen(model, event, callback) {
    if (this.ended) return;
    model.on(event, callback);
    this.listening.push(() => model.off(event, callback));
  }

  /**
   * The widget is gone for good. Some notebooks keep its model for ever (JupyterLab's kernel
   * connection holds every comm that was ever closed), so that nothing of weight may hang from it.
   */
  end() {
    this.ended = true;
    for (const stop of this.listening.splice(0)) stop();
    this.kernel.lose();
    leaveDecoders(this);
  }

  show(view) {
    this.views.add(view);
    this.tellViews();
  }
  hide(view) {
    this.views.delete(view);
    this.tellViews();
  }
  tellViews() {
    this.model.send({ kind: "views", page: PAGE, count: this.views.size });
  }

  get state() {
    return this.history.present;
  }

  act(action, control = null) {
    const before = this.state;
    this.history.act(action, control, performance.now());
    if (this.state !== before) this.changed();
  }
  undo() {
    this.history.undo();
    this.changed();
  }
  redo() {
    this.history.redo();
    this.changed();
  }

  /** After every change of the state: a face is asked for, views are told. */
  changed() {
    this.notice = "";
    this.positions = this.world.models.map((_, m) => position(this.world, this.state, m));
    this.wantFrames(); // first: a worker decodes while the views are told
    this.tell("state");
    this.saveSoon();
  }

  tell(what) {
    for (const view of this.views) view(what);
  }
  complain(message) {
    this.notice = message;
    this.tell("notice");
  }

  // β, of networks that take one

  betaOf(m = this.state.lead) {
    return betaOf(this.world, this.state, m);
  }
  /** Nats of each dimension of a model, at its β; undefined where they are not known. */
  klOf(m = this.state.lead) {
    const { rate, kl } = this.world.models[m];
    return rate?.klPerDimension ? atBeta(rate.betas, rate.klPerDimension, this.betaOf(m)) : kl;
  }

  // where the sliders stand

  /** The leading model's value of a dimension, in standard deviations of the prior. */
  valueOf(rank) {
    const { lead } = this.state;
    return this.positions?.[lead]?.[this.world.models[lead].order[rank]] ?? 0;
  }
  /** The offset that takes a dimension there. */
  offsetTo(rank, value) {
    return (this.state.offsets[rank] ?? 0) + (value - this.valueOf(rank)) * GRAIN;
  }
  move(rank, value) {
    this.act({ type: "offset", rank, value: this.offsetTo(rank, value) }, `z${rank}`);
  }
  recentre(rank) {
    this.act({ type: "offset", rank, value: this.offsetTo(rank, 0) });
  }
  get values() {
    return Array.from({ length: this.world.latent }, (_, rank) => Math.round(1000 * this.valueOf(rank)) / 1000);
  }
  /** Python moved the sliders. */
  valuesSet() {
    const wanted = this.model.get("values") ?? [];
    if (wanted.length !== this.world.latent) return;
    const values = {};
    wanted.forEach((value, rank) => {
      if (Math.abs(value - this.valueOf(rank)) > 0.6 / GRAIN) values[rank] = this.offsetTo(rank, value);
    });
    this.act({ type: "offsets", values });
  }

  /** Python's copies follow when the hand rests, so that no face waits for them. */
  save() {
    const text = this.text() ?? "";
    const values = this.values;
    const moved = JSON.stringify(values) !== JSON.stringify(this.model.get("values"));
    if (text === this.model.get("state") && !moved) return;
    this.written = text;
    this.model.set("state", text);
    if (moved) this.model.set("values", values);
    this.model.save_changes();
  }

  // the state's text

  text() {
    return encodeState(this.world, this.state);
  }
  stateSet() {
    const text = this.model.get("state");
    if (text !== this.written) this.load(text);
  }
  async load(text) {
    try {
      const state = decodeState(this.world, text);
      for (const start of [state.start, state.end]) if (start) await this.learn(start);
      this.act({ type: "replace", state });
    } catch (error) {
      this.complain(error.message);
    }
  }

  // codes that only the kernel can tell

  /** Make sure that the codes of a start are known; throws a sentence where they cannot be. */
  async learn(start, question = start) {
    if (codeOf(this.world, start, 0, this.betaOf(0))) return start;
    if (this.kernel.mode !== "there")
      throw new Error("This face comes from the dataset, and only a kernel can encode it: run this cell in a notebook, with faces=….");
    const { content, buffers } = await this.encode(question);
    const found = start.kind === "face" ? { kind: "face", id: content.id } : start;
    this.remember(found, buffers);
    return found;
  }
  encode(question) {
    const { factors } = this.world;
    const content = { kind: "encode", what: question.kind, ...question };
    if (question.kind === "factors")
      content.values = question.values.map((v, i) => factors[i].low + (v / 1000) * (factors[i].high - factors[i].low));
    return this.kernel.ask({ ...content, kind: "encode" });
  }
  /** What an answer holds: mu of every model, logvar of every model, and the picture. */
  told(buffers) {
    const count = this.carriers.length;
    const [codes, logvars] = [0, count].map((from) => this.codesIn(buffers.slice(from, from + count)));
    return { codes, logvars, original: withAlpha(buffers.at(-1)) };
  }
  remember(start, buffers) {
    const { known } = this.world;
    known.set(keyOf(start), this.told(buffers));
    if (known.size <= 64) return;
    const { past, present, future } = this.history;
    const used = new Set([...past, present, ...future].flatMap(({ start, end }) => [keyOf(start), keyOf(end)]));
    for (const key of [...known.keys()].slice(0, -8)) if (!used.has(key)) known.delete(key);
  }
  async begin(target, start, question = start, control = null) {
    try {
      const found = await this.learn(start, question);
      this.act({ type: target, [target]: found }, control);
    } catch (error) {
      this.complain(error.silent ? "The kernel does not answer, so that this face cannot be encoded now. It may be busy with another cell." : error.message);
    }
  }
  /** The leading model's posterior of the starting face, where it is known. */
  get posterior() {
    const { start, lead } = this.state;
    const beta = this.betaOf();
    const logvar = logvarOf(this.world, start, lead, beta);
    return logvar && { mu: codeOf(this.world, { ...start, draw: undefined }, lead, beta), logvar };
  }
  /** The starting face anew, drawn from its posterior; without a seed its mean. */
  drawn(draw) {
    const { draw: _, ...start } = this.state.start;
    this.act({ type: "start", start: draw === undefined ? start : { ...start, draw } });
  }
  surprise() {
    return this.begin("start", { kind: this.drawsFrom, seed: Math.floor(Math.random() * 2 ** 32) });
  }
  /** True factors while a slider is dragged: only the newest are rendered and encoded. */
  async setFactors(values) {
    this.wantedFactors = values;
    if (this.factorsRunning) return;
    this.factorsRunning = true;
    while (this.wantedFactors) {
      const start = { kind: "factors", values: this.wantedFactors };
      this.wantedFactors = null;
      await this.begin("start", start, start, "factors");
    }
    this.factorsRunning = false;
  }
  get original() {
    return this.world.known.get(keyOf(this.state.start))?.original;
  }
  /** Of a gallery face the page has the code, and a kernel with the dataset has the picture. */
  async findOriginal(start) {
    const { known, ids } = this.world;
    const found = known.get(keyOf(start));
    const id = start.kind === "gallery" ? ids[start.index] : start.id;
    if (!id || found?.asked || found?.original || !this.kernel.faces || this.kernel.mode !== "there") return;
    known.set(keyOf(start), { ...found, asked: true });
    try {
      const { buffers } = await this.encode({ kind: "face", id });
      known.set(keyOf(start), { ...known.get(keyOf(start)), ...this.told(buffers), asked: true });
      this.tell("state");
    } catch {
      // These faces do not have it: there is no original to show.
    }
  }

  // faces

  /**
   * Decode items {model, z} → RGBA frames, by the kernel if it answers, else in this page. All of
   * one model are decoded at one β: `beta`, or the state's.
   */
  async decode(items, beta) {
    try {
      if (this.kernel.mode === "there") return await this.decodeThere(items, beta);
    } catch (error) {
      if (!error.silent) throw error;
    }
    return this.decodeAllHere(items, beta);
  }
  /** The β of a model, null where it takes none. */
  betaFor(m, beta) {
    return this.world.models[m].rate ? beta ?? this.betaOf(m) : null;
  }
  /** By the kernel. */
  async decodeThere(items, beta) {
    const models = items.map(({ model }) => model);
    const content = { kind: "decode", models, betas: models.map((m) => this.betaFor(m, beta)) };
    const { buffers } = await this.kernel.ask(content, items.map(({ z }) => z.buffer), PATIENCE);
    return buffers.map(withAlpha);
  }
  /** In this page, codes of one model. */
  decodeHere(m, codes, beta) {
    const carrier = this.carriers[m];
    return sharedDecoder(this, carrier.get("spec"), bytesOf(carrier.get("half")))(codes, beta);
  }
  async decodeAllHere(items, beta) {
    const frames = new Array(items.length);
    await Promise.all(
      this.carriers.map(async (_, m) => {
        const mine = items.flatMap(({ model }, i) => (model === m ? [i] : []));
        if (!mine.length) return;
        const found = await this.decodeHere(m, mine.map((i) => items[i].z), this.betaFor(m, beta));
        mine.forEach((i, k) => (frames[i] = found[k]));
      }),
    );
    return frames;
  }

  /** What is to be seen now: a face of every model and, for what changed, where it began. */
  wantedItems() {
    const { lead, start } = this.state;
    const items = this.positions.flatMap((z, model) => (z ? [{ model, z }] : []));
    const beta = this.betaOf();
    const code = this.changes && codeOf(this.world, start, lead, beta);
    return code ? { items: [...items, { model: lead, z: Float32Array.from(code) }], withBase: true } : { items };
  }
  async showDecoded(decodedBy, decode, stillWanted = () => true) {
    const { items, withBase } = this.wantedItems();
    const frames = await decode(items);
    if (!stillWanted()) return;
    const base = withBase ? frames.pop() : null;
    Object.assign(this, { frames, base, decodedBy });
    this.tell("frames");
  }

  /**
   * This page decodes while a hand moves something, so that no kernel can make a face late. One
   * question at a time, always about the newest state: nothing can pile up.
   */
  async wantFrames() {
    this.wanted = true;
    if (this.decoding) return;
    this.decoding = true;
    while (this.wanted) {
      this.wanted = false;
      const began = performance.now();
      try {
        await this.showDecoded("page", async (items) => {
          const frames = await this.decodeAllHere(items);
          this.decodeTime = performance.now() - began;
          return frames;
        });
        this.findOriginal(this.state.start);
      } catch (error) {
        if (this.kernel.mode !== "there") this.complain(`This face could not be decoded: ${error.message}`);
      }
    }
    this.decoding = false;
    this.refineSoon();
  }
  /** When the hand rests, the kernel's float32 face takes the place of the page's. */
  async refine() {
    if (this.ended || this.decoding || this.kernel.mode !== "there") return;
    const asked = this.positions;
    try {
      const stillWanted = () => asked === this.positions && !this.decoding;
      await this.showDecoded("kernel", (items) => this.decodeThere(items), stillWanted);
    } catch (error) {
      if (!error.silent) this.complain(`The kernel could not decode this face: ${error.message}`);
    }
  }
  showChanges(on) {
    this.changes = on;
    this.wantFrames();
  }

  kernelChanged() {
    if (this.ended) return;
    this.tell("kernel");
    if (this.kernel.mode === "silent") this.callAgain();
    if (this.kernel.mode === "there") this.refineSoon();
  }
  /** A busy kernel answers when its cell is done. */
  callAgain() {
    if (this.kernel.mode !== "silent") return;
    this.kernel.ask({ kind: "hello" }, [], 600_000).catch(() => {});
  }

  /** Frames on the way to where the state is, for a strip or a film. */
  async film(count) {
    const { lead } = this.state;
    const items = Array.from({ length: count }, (_, i) => ({
      model: lead,
      z: position(this.world, stretch(this.state, i / (count - 1)), lead),
    }));
    const frames = [];
    for (let at = 0; at < count; at += 8) frames.push(...(await this.decode(items.slice(at, at + 8))));
    return frames;
  }
}
