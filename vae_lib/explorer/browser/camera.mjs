// The camera, after a click: a picture of what it sees, which goes nowhere else.

import { button, h } from "./dom.mjs";

const REFUSED = {
  NotAllowedError: "The camera was refused, by you or by this browser. Allow it in the browser’s settings of this page, or choose a file.",
  NotFoundError: "There is no camera here. Choose a file.",
  NotReadableError: "The camera is there but gives no picture; another program may be using it. Close that, or choose a file.",
};

/** A button, what the camera sees, and a second button that hands a picture (Blob) on. */
export function camera(taken, complain) {
  const video = h("video", { class: "ve-photo", playsinline: true, hidden: true });
  video.muted = true;
  let stream = null;
  let asked = 0;
  const stop = () => {
    asked++; // whoever is still being asked comes too late
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = video.srcObject = null;
    tell();
  };
  const start = async () => {
    const mine = ++asked;
    try {
      if (!navigator.mediaDevices) throw new DOMException("", "NotAllowedError"); // of pages that came unencrypted
      const found = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      if (mine !== asked) return found.getTracks().forEach((track) => track.stop());
      stream = video.srcObject = found;
      await video.play();
      complain("");
      tell();
    } catch (error) {
      if (mine !== asked) return;
      stop();
      complain(REFUSED[error.name] ?? `The camera did not start (${error.message || error.name}). Choose a file.`);
    }
  };
  const take = () => {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    stop();
    canvas.toBlob(taken, "image/png");
  };
  const first = button("Use the camera", () => (stream ? take() : start()));
  const second = button("Stop the camera", stop);
  const tell = () => {
    video.hidden = second.hidden = !stream;
    first.textContent = stream ? "Take the picture" : "Use the camera";
  };
  tell();
  return { buttons: [first, second], video, stop };
}
