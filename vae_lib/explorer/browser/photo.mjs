// A photo of the learner's own: chosen, its eyes marked, encoded by the kernel or by the page.

import { bytesOf, clamp } from "./numbers.mjs";
import { encoderBeside, encoderOf } from "./encoder.mjs";
import { FACE_SIDE, alignPhoto, reduced } from "./crop.mjs";
import { withAlpha } from "./sources.mjs";
import { h, section } from "./dom.mjs";
import { camera } from "./camera.mjs";
import { posteriorLine } from "./posterior.mjs";

const PART = 1_000_000; // bytes of a photo per message: servers refuse messages that are too long
const LARGEST = 50; // million pixels, as in vae_lib.explorer.photo
const PHOTO_SIDE = 1600; // which no photo is reduced below, as there
const PREVIEW_SIDE = 360;
const AT_ONCE = 16e6; // pixels of a canvas; some browsers allow no more

/** Means of blocks, as ImageData has them, of a photo that is drawn in parts. */
function inBlocks(draw, [across, down], factor) {
  const [width, height] = [across, down].map((length) => Math.ceil(length / factor));
  const data = new Uint8ClampedArray(4 * width * height);
  const most = Math.max(1, Math.floor(AT_ONCE / across / factor)) * factor;
  for (let top = 0; top < down; top += most) {
    const lines = Math.min(most, down - top);
    const { values } = reduced(draw(across, lines, top, lines), [0, 0, across, lines], factor);
    data.set(withAlpha(values), (4 * width * top) / factor);
  }
  return { data, width, height };
}

/** A photo, upright and not much larger than is of use, as vae_lib.explorer.photo.read_photo gives it; and its preview. */
async function readHere(file) {
  const image = new Image(); // which tells its size before it is decoded
  const url = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject, src: url }));
    const sizes = [image.naturalWidth, image.naturalHeight];
    const millions = (sizes[0] * sizes[1]) / 1e6;
    if (millions > LARGEST) throw Object.assign(new Error(`This photo has ${Math.round(millions)} million pixels; at most ${LARGEST} million can be read. Make it smaller first.`), { told: true });
    const draw = (width, height, top, lines) => {
      const context = h("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
      context.fillStyle = "#fff"; // behind transparent parts
      context.fillRect(0, 0, width, height);
      context.imageSmoothingQuality = "high";
      context.drawImage(image, 0, top, sizes[0], lines, 0, 0, width, height);
      return context.getImageData(0, 0, width, height);
    };
    const longer = Math.max(...sizes);
    const factor = Math.max(1, Math.floor(longer / PHOTO_SIDE));
    const photo = factor === 1 ? draw(...sizes, 0, sizes[1]) : inBlocks(draw, sizes, factor);
    const scale = Math.min(1, PREVIEW_SIDE / longer);
    return [photo, draw(...sizes.map((length) => Math.max(1, Math.round(scale * length))), 0, sizes[1])];
  } catch (error) {
    throw error.told ? error : new Error("This browser cannot read the file as a picture; choose a JPEG or a PNG.");
  } finally {
    URL.revokeObjectURL(url);
  }
}

export function photoPart(controller) {
  const { kernel } = controller;
  let eyes = [];
  let count = 0;
  const canvas = h("canvas", { class: "ve-photo", tabindex: 0, role: "application", "aria-label": "Your photo", hidden: true });
  const hint = h("p", { class: "ve-note", role: "status" });
  const file = h("input", { type: "file", accept: "image/*", "aria-label": "Choose a photo", onchange: () => upload(file.files[0]) });
  let encoders; // of every model; null where this page does not have all
  let reading; // them
  let ended = false;
  let photo; // where the page encodes
  let preview;
  let cursor = [0.35, 0.4];
  const upload = async (chosen) => {
    file.value = "";
    if (!chosen) return;
    try {
      if (chosen.size > 60e6) throw new Error("This file has more than 60 MB; choose a smaller photo.");
      if (kernel.mode === "there") {
        photo = null;
        preview = await send(chosen);
      } else [photo, preview] = await readHere(chosen);
      const { width, height } = preview;
      eyes = [];
      cursor = [0.35, 0.4];
      Object.assign(canvas, { width, height, hidden: false });
      controller.complain("");
      show();
    } catch (error) {
      controller.complain(error.silent ? "The kernel does not answer, so that the photo could not be read." : error.message);
    }
  };
  const send = async (chosen) => {
    const bytes = await chosen.arrayBuffer();
    const parts = Math.max(1, Math.ceil(bytes.byteLength / PART));
    let answer;
    for (let part = 0; part < parts; part++)
      answer = await kernel.ask({ kind: "photo", part, parts }, [bytes.slice(part * PART, (part + 1) * PART)]);
    const { width, height } = answer.content;
    return new ImageData(withAlpha(answer.buffers[0]), width, height);
  };
  /** What the kernel would answer: mu and logvar of every model, of some at every β, and the pixels. */
  const encodeHere = async () => {
    const pixels = alignPhoto(photo, eyes);
    await reading;
    const betas = ({ rate }) => rate?.betas ?? [undefined];
    const codes = await Promise.all(encoders.map(({ encode }, m) => encode(pixels, betas(controller.world.models[m]))));
    const all = (name) => codes.map((one) => bytesOf(Float32Array.from(one.flatMap((code) => [...code[name]]))));
    return [...all("mu"), ...all("logvar"), pixels];
  };
  const show = () => {
    const context = canvas.getContext("2d");
    context.putImageData(preview, 0, 0);
    const ring = ([x, y], colour) => {
      context.beginPath();
      context.arc(x * canvas.width, y * canvas.height, 7, 0, 2 * Math.PI);
      context.lineWidth = 3;
      context.strokeStyle = "#000a";
      context.stroke();
      context.lineWidth = 1.5;
      context.strokeStyle = colour;
      context.stroke();
    };
    for (const eye of eyes) ring(eye, "#ffd54a");
    if (document.activeElement === canvas && eyes.length < 2) ring(cursor, "#ffffff");
    hint.textContent = ["Click on one eye, or move the ring with the arrow keys and press Enter. Of several people, choose one.", "Now the other eye of the same face.", "Aligned. Click again to mark the eyes anew."][eyes.length];
    canvas.setAttribute("aria-label", `Your photo. ${hint.textContent} The ring is at ${Math.round(100 * cursor[0])} % from the left, ${Math.round(100 * cursor[1])} % from the top.`);
  };
  const markEye = async (eye) => {
    if (eyes.length === 2) eyes = [];
    eyes.push(eye);
    cursor = [clamp(1 - eye[0], 0, 1), eye[1]]; // the other eye is about there
    show();
    if (eyes.length === 2) {
      const id = ++count;
      try {
        if (photo) controller.remember({ kind: "photo", id }, await encodeHere());
        if (id !== count) return; // the eyes were marked anew meanwhile
      } catch (error) {
        return controller.complain(error.message);
      }
      controller.begin("start", { kind: "photo", id }, { kind: "photo", eyes });
    }
  };
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    markEye([clamp((event.clientX - box.left) / box.width, 0, 1), clamp((event.clientY - box.top) / box.height, 0, 1)]);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.05 : 0.01;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) cursor = cursor.map((value, i) => clamp(value + moves[event.key][i], 0, 1));
    else if (event.key === "Enter" || event.key === " ") markEye([...cursor]);
    else return;
    event.preventDefault();
    show();
  });
  for (const event of ["focus", "blur"]) canvas.addEventListener(event, () => preview && show());
  const cam = camera(upload, (text) => controller.complain(text));
  const line = posteriorLine(controller);
  const bars = h("p", { class: "ve-note" }, "On every latent slider, this face’s posterior: a bar of μ ± σ, before the prior’s 0 ± 1 (pale). Where the two agree, the model says nothing about this face.");
  const alone = h("p", { class: "ve-note" }, "This page has no encoder, which a photo needs. A page with one is written by vae explore --with-encoder, or by explorer.save(path, with_encoder=True) in a notebook of the course.");
  const where = h("span", {});
  const body = h("div", {},
    h("p", { class: "ve-note" }, "Choose a photo, paste one or drop it here, and mark the eyes of one face; it is turned and cropped as CelebA’s faces are. ", where),
    h("div", { class: "ve-line" }, file, ...cam.buttons),
    cam.video, canvas, hint, line.element, bars);
  const element = section("Your own photo", false, alone, body);
  const offered = ({ files }) => [...(files ?? [])].find(({ type }) => type.startsWith("image/")) ?? files?.[0];
  const wanted = (event, transfer) => {
    const found = !body.hidden && offered(transfer);
    if (!found) return;
    event.preventDefault();
    upload(found);
  };
  element.addEventListener("paste", (event) => wanted(event, event.clipboardData));
  element.addEventListener("drop", (event) => wanted(event, event.dataTransfer));
  element.addEventListener("dragover", (event) => body.hidden || event.preventDefault());
  const read = async () => {
    const { carriers } = controller;
    const specs = carriers.map((carrier) => carrier.get("spec"));
    const sized = specs.every(({ image_size }) => image_size === FACE_SIDE);
    const weights = sized ? await Promise.all(carriers.map(encoderOf)) : [null];
    if (!ended) encoders = weights.every(Boolean) ? weights.map((bytes, m) => encoderBeside(specs[m], bytes)) : null;
  };
  /** Without a kernel the page's own encoders are looked for, once somebody looks in here. */
  const look = async () => {
    const there = kernel.mode === "there";
    if (!there && !reading && element.open) {
      hint.textContent = "Reading the encoder …";
      await (reading = read());
      hint.textContent = "";
      return look();
    }
    alone.hidden = there || encoders !== null;
    body.hidden = !alone.hidden;
    if (body.hidden) cam.stop();
    where.textContent = there ? "It goes to your own kernel only, stays in its memory, and is never saved." : "It does not leave this page, and is never saved.";
  };
  element.addEventListener("toggle", () => (element.open ? look() : cam.stop()));
  const update = (what) => {
    line.update(what);
    if (what === "state") bars.hidden = !controller.posterior;
    if (what === "kernel") look();
  };
  const end = () => {
    ended = true;
    cam.stop();
    for (const encoder of encoders ?? []) encoder.end();
  };
  return { element, update, end };
}
