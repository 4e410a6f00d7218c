// A page of its own: what Jupyter's widget manager does elsewhere, for one explorer without a kernel.

import { bytesFrom } from "./numbers.mjs";
import { explorer } from "./view.mjs";

/** A widget's traits as a controller wants them: got, set, and told of when they change. */
export class PageModel {
  constructor(traits, find) {
    Object.assign(this, { traits, listeners: new Map(), widget_manager: { get_model: async (id) => find(id) } });
  }
  get(name) {
    return this.traits[name];
  }
  set(name, value) {
    if (this.traits[name] === value) return;
    this.traits[name] = value;
    for (const listener of [...(this.listeners.get(`change:${name}`) ?? [])]) listener();
  }
  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }
  off(event, listener) {
    this.listeners.set(event, (this.listeners.get(event) ?? []).filter((one) => one !== listener));
  }
  send() {} // nobody is there
  save_changes() {}
}

/** Show the explorer whose traits, bytes in Base64, are the page's text `written`. */
export async function start(written, el) {
  const all = JSON.parse(written, (_, value) => (typeof value?.base64 === "string" ? bytesFrom(value.base64) : value));
  const carriers = Object.fromEntries(Object.entries(all.carriers).map(([id, traits]) => [id, new PageModel(traits)]));
  const model = new PageModel(all.explorer, (id) => carriers[id]);
  // The address holds the position, so that a page that is loaded again, or a bookmark, has it.
  const addressed = () => location.hash.slice(1);
  if (addressed()) Object.assign(model.traits, { state: addressed(), values: [] });
  model.on("change:state", () => {
    try {
      history.replaceState(null, "", `#${model.get("state")}`);
    } catch {
      // Some frames have no address that could be changed.
    }
  });
  addEventListener("hashchange", () => addressed() && model.set("state", addressed()));
  const widget = explorer();
  widget.initialize({ model });
  el.replaceChildren();
  await widget.render({ model, el });
}
